"""Many arms against one reference: intervals that cover together, and verdicts on extremes that keep their promise."""

import numpy as np
import pandas as pd
import pytest

from nbhelpers import claims, pooled, stats
from nbhelpers.margins import Region
from nbhelpers.pooled import Extreme

ARMS, GROUPS = ["a", "b", "c"], ["x", "y"]
TRUE = {("x", "a"): 2.0, ("x", "b"): -1.0, ("x", "c"): 0.5, ("y", "a"): 1.0, ("y", "b"): 3.0, ("y", "c"): -4.0}


def frame(true=TRUE, seeds=6, sd=0.01, groups=GROUPS, arms=ARMS, rng=None, images=0, **columns) -> pd.DataFrame:
    """Runs of arms that differ from ReLU (50 %) by `true` points, with a common part of each seed."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for group in groups:
        for seed in range(seeds):
            common = rng.normal(0, 5)
            for arm in ["ReLU", *arms]:
                accuracy = 50 + true.get((group, arm), 0.0) + common + rng.normal(0, sd)
                correct = rng.integers(0, 2, images).astype(np.uint8) if images else None
                row = {"family": group, "activation": arm, "seed": seed, "test_accuracy": accuracy, "correct": correct}
                rows.append(row | {"classes": 10, "test_images": 1000, "status": "done", "train_loss": 1.0} | columns)
    made = pd.DataFrame(rows)
    made.attrs["labels"] = ["family", "activation"]
    return made


def runs(df):
    return pooled.runs(df, "activation", "ReLU", "family")


def test_differences_are_paired_with_the_pooled_sd_and_alpha_over_the_number_of_arms():
    df = frame(sd=1.0)
    found = pooled.differences(runs(df), "family", "activation").set_index(["family", "activation"])
    for group in GROUPS:
        own = df[df.family == group].pivot(index="activation", columns="seed", values="test_accuracy")
        expected = stats.many_to_one(own.loc[["ReLU", *ARMS]])
        for arm, interval in zip(ARMS, expected, strict=True):
            cell = found.loc[(group, arm)]
            assert (cell["mean"], cell["low"], cell["high"]) == pytest.approx(
                (interval.mean, interval.low, interval.high)
            )


@pytest.mark.parametrize(
    ("over", "arms", "value", "cell"),
    [
        (("least", "largest"), (), 1.0, "a, y"),  # the arm with the best worst group
        (("largest", "largest"), (), 3.0, "b, y"),
        (("least", "largest"), ("c",), -4.0, "c, y"),
        (("least", "largest"), ("b", "c"), -1.0, "b, x"),
        (("largest", "least"), (), 0.5, "c, x"),
    ],
)
def test_an_extreme_is_the_one_it_says(over, arms, value, cell):
    estimate, low, high, name = Extreme(runs(frame()), *over, arms).interval(0.05)
    assert estimate == pytest.approx(value, abs=0.05) and name == cell
    assert low < value < high


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [({"below": 0}, "fails"), ({"above": 0}, "holds"), ({"below": 1.5}, "holds"), ({"above": 1.0}, "undecided")],
)
def test_a_verdict_goes_by_the_interval_of_the_extreme(bound, verdict):
    found = claims.claim("t", Extreme(runs(frame()), "least"), planned=6, **bound)
    assert found.verdict == verdict and found.rule == "extreme" and found.part == "a, y"
    assert found.sentence.startswith(f"{verdict} at a, y: +1.0")
    assert (found.margin > 0) and found.n == 6 and found.seeds_needed is None


def test_fewer_seeds_than_planned_are_interim():
    found = claims.claim("t", Extreme(runs(frame(seeds=3)), "least"), planned=4, below=0)
    assert found.verdict == "interim" and found.sentence.startswith("interim at a, y: values ")
    assert claims.claim("t", Extreme(runs(frame(seeds=2)), "least"), below=0).verdict == "interim"
    single = claims.claim("t", Extreme(runs(frame(seeds=1)), "least"), below=0)
    assert single.verdict == "interim" and single.low is None and single.to_dict()["n"] == 1


def test_only_seeds_that_every_arm_has_count():
    df = frame()
    source = runs(df[~((df.activation == "b") & (df.family == "x") & (df.seed == 2))])
    assert source.n == 5


def test_an_arm_with_a_seed_at_chance_has_its_own_sd_and_leaves_that_of_the_others():
    df = frame(sd=1.0)
    df.loc[(df.family == "x") & (df.activation == "b") & (df.seed == 0), "test_accuracy"] = 10.0
    source = runs(df)
    assert source.apart.tolist() == [[False, True, False], [False, False, False]]
    _, halves = source.grid(0.05)
    own = df[df.family == "x"].pivot(index="activation", columns="seed", values="test_accuracy")
    alone = stats.interval(own.loc["b"] - own.loc["ReLU"], 0.05)
    together = stats.many_to_one(own.loc[["ReLU", "a", "c"]], alpha=0.1)
    assert halves[0].tolist() == pytest.approx([together[0].half_width, alone.half_width, together[1].half_width])


def test_a_reference_at_chance_sets_all_arms_apart():
    df = frame()
    df.loc[(df.family == "y") & (df.activation == "ReLU") & (df.seed == 0), "test_accuracy"] = 10.0
    assert runs(df).apart.tolist() == [[False] * 3, [True] * 3]
    assert np.isfinite(runs(df).grid(0.05)[1]).all()


def test_verdicts_that_new_images_could_undo_are_marked():
    rng = np.random.default_rng(1)
    few = Extreme(runs(frame({("x", "a"): 0.5, ("y", "a"): 0.5}, arms=["a"], images=40, rng=rng)), "least")
    found = claims.claim("t", few, above=0)
    assert found.verdict == "holds" and found.on_these_images
    assert claims.claim("t", few, above=-60).on_these_images is False
    unknown = claims.claim("t", Extreme(runs(frame()), "least"), above=0)
    assert unknown.verdict == "holds" and unknown.on_these_images is None


def test_with_one_seed_the_mean_is_judged_and_with_more_the_interval():
    table = claims.by_seeds(Extreme(runs(frame(seeds=5)), "least"), below=0)
    assert list(table["k"]) == [1, 2, 3, 4, 5] and list(table["subsets"]) == [5, 10, 10, 5, 1]
    assert (table["fails"] == 1).all()
    wide = claims.by_seeds(Extreme(runs(frame(sd=3.0, seeds=5)), "least"), below=0.9)
    assert wide["undecided"].iloc[0] == 0 and wide["undecided"].iloc[-1] == 1


def test_where_nothing_was_learnt_or_no_seed_differs_there_is_no_verdict():
    lost = runs(frame(train_loss=np.inf))  # a loss that is not finite counts as chance
    found = claims.claim("t", Extreme(lost, "least"), planned=6, above=-90)
    assert found.sentence == "undecided at a, y: all runs compared are at chance, n = 6, region > -90"
    assert (claims.by_seeds(Extreme(lost, "least"), above=-90)["undecided"] == 1).all()
    df = frame({("x", "a"): -3.0, ("x", "b"): -3.0, ("x", "c"): -3.0}, sd=0, groups=["x"])
    assert claims.claim("t", Extreme(runs(df), "largest"), below=0).verdict == "holds"
    df.loc[df.activation == "a", "test_accuracy"] += 3.0
    df["test_accuracy"] = df["test_accuracy"].round(6)
    found = claims.claim("t", Extreme(runs(df), "largest"), below=0)
    assert (found.verdict, found.rule, found.margin) == ("undecided", "equal", None)
    assert found.sentence == "undecided at a, x: no seed shows a difference, n = 6, region < 0"


def test_equal_arms_are_seldom_said_to_beat_the_reference():
    """18 equal arms in 3 groups, 400 times: "no arm beats the reference in some group" must seldom fail."""
    rng, wrong, cover = np.random.default_rng(2), 0, 0
    arms, groups = [f"a{i}" for i in range(18)], ["x", "y", "z"]
    for _ in range(400):
        values = rng.normal(0, 1, (3, 19, 3)) + rng.normal(0, 3, (3, 1, 3))
        sound = {"apart": np.zeros((3, 18), bool), "chance": np.zeros((3, 19, 3), bool)}
        source = pooled.Runs(groups, arms, values, errors=np.full((3, 18), np.nan), **sound)
        extreme = Extreme(source, "largest")
        wrong += pooled.judge(extreme, Region(high=0.0)) == "fails"
        _, low, high, _ = extreme.interval(0.05)
        cover += low <= 0 <= high
    assert wrong <= 20 and cover >= 380  # 5 %: Bonferroni keeps it below


PUBLISHED = pd.DataFrame(
    [
        {
            "family": group,
            "activation": arm,
            "value": 90 + TRUE.get((group, arm), 0.0),
            "sd": 0.3 if arm == "ReLU" else 0.4,
        }
        for group in GROUPS
        for arm in ["a", "ReLU", "b", "c"]
    ]
)


def test_published_differences_have_the_sd_of_a_difference_of_two_draws():
    source = pooled.stated(PUBLISHED, "activation", "ReLU", "family")
    assert (source.groups, source.arms) == (GROUPS, ARMS)
    found = pooled.differences(source, "family", "activation").set_index(["family", "activation"])
    assert {key: found.loc[key, "mean"] for key in TRUE} == pytest.approx(TRUE)
    half = stats.z_quantile(0.05 / 3) * 0.5
    assert (found["high"] - found["mean"]).to_numpy() == pytest.approx(half)


def test_a_claim_on_published_numbers_is_one_line():
    source = pooled.stated(PUBLISHED, "activation", "ReLU", "family")
    half = stats.z_quantile(0.05 / 6) * 0.5
    said = pooled.sentence(Extreme(source, "largest"), high=1)
    assert said == f"fails at b, y: +3.00 points [{3 - half:.2f}, {3 + half:.2f}], region < 1"
    assert pooled.sentence(Extreme(source, "least"), low=-5).startswith("holds at a, y: +1.00 points")


@pytest.mark.parametrize(("arms", "named"), [(ARMS, "a, b, c"), (["ReLU"], "ReLU")])
def test_a_comparison_needs_the_reference_and_another_arm(arms, named):
    df = frame()
    with pytest.raises(ValueError, match=f"expected runs with activation=ReLU and with another, not {named}"):
        runs(df[df.activation.isin(arms)])


def test_no_common_seed_and_an_unknown_arm_are_told():
    df = frame()
    with pytest.raises(ValueError, match="no seed has all 4 arms in all 2 groups"):
        runs(df[(df.activation != "b") | ((df.family == "x") & (df.seed == 0)) | ((df.family == "y") & (df.seed == 1))])
    with pytest.raises(ValueError, match="no arm d; there are a, b, c"):
        Extreme(runs(df), "least", arms=("d",))
    with pytest.raises(ValueError, match="takes one of above, below, inside"):
        claims.claim("t", Extreme(runs(df), "least"))
