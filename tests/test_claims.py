import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from nbhelpers import claims, stats
from nbhelpers.contrasts import Parts
from nbhelpers.margins import Region, margins

HALF = 4.302653 / math.sqrt(3)  # half-width of three values with sd 1


def contrast(*values, at_chance="00", images=None, unit="points", **labels):
    frame = pd.DataFrame({**labels, "seed": range(len(values)), "value": values})
    frame["images"] = None if images is None else list(np.asarray(images, np.float32))
    frame["at_chance"] = at_chance
    frame.attrs = {"labels": list(labels), "unit": unit}
    return frame


def each(**parts):
    return Parts(parts)


def spread(**parts):
    pairs = Parts(parts)
    pairs.symmetric = True
    return pairs


@pytest.mark.parametrize(
    ("values", "region", "verdict", "margin"),
    [
        ([4, 5, 6], {"above": 0}, "holds", 5 - HALF),
        ([-4, -5, -6], {"above": 0}, "fails", 5 - HALF),
        ([0, 1, 2], {"above": 0}, "undecided", HALF - 1),
        ([0, -1, -2], {"above": 0}, "undecided", HALF - 1),
        ([4, 5, 6], {"below": 8}, "holds", 3 - HALF),
        ([4, 5, 6], {"below": 2}, "fails", 3 - HALF),
        ([4, 5, 6], {"inside": (1, 9)}, "holds", 4 - HALF),
        ([4, 5, 6], {"inside": (2, 20)}, "holds", 3 - HALF),
        ([4, 5, 6], {"inside": (8, 20)}, "fails", 3 - HALF),
        ([4, 5, 6], {"inside": (7, 20)}, "undecided", HALF - 2),
    ],
)
def test_verdict_and_margin_by_hand(values, region, verdict, margin):
    ours = claims.claim("text", contrast(*values), **region)
    assert (ours.verdict, ours.rule, ours.n) == (verdict, "mean", 3)
    assert ours.margin == pytest.approx(margin, rel=1e-5)
    assert (ours.low, ours.high) == pytest.approx((np.mean(values) - HALF, np.mean(values) + HALF), rel=1e-5)


def test_the_margin_is_the_move_of_the_boundary_that_tips_the_verdict():
    rng = np.random.default_rng(0)
    for n in (3, 6, 10):
        for _ in range(20):
            parts = each(a=contrast(*rng.normal(1, 2, n)), b=contrast(*rng.normal(2, 2, n)))
            ours = claims.claim("text", parts, above=0)
            moved = [
                {claims.claim("text", parts, above=sign * factor * ours.margin).verdict for sign in (-1, 1)}
                for factor in (0.999, 1.001)
            ]
            assert moved[0] == {ours.verdict} and len(moved[1]) == 2


def test_each_holds_if_all_do_and_fails_if_one_does_at_alpha_over_k():
    good, bad = contrast(9, 10, 11), contrast(-9, -10, -11)
    ours = claims.claim("text", each(good=good, least=contrast(4, 5, 6)), above=0)
    assert (ours.verdict, ours.part, ours.estimate) == ("holds", "least", 5)
    ours = claims.claim("text", each(good=good, bad=bad, last=contrast(-4, -5, -6)), above=0)
    assert (ours.verdict, ours.part, [p["verdict"] for p in ours.parts]) == (
        "fails",
        "bad",
        ["holds", "fails", "fails"],
    )
    assert ours.high - ours.low == pytest.approx(2 * stats.t_quantile(2, 0.05 / 3) / math.sqrt(3))
    # -3 ± 2.5 fails alone, but not as one of two, where it is -3 ± 3.6
    alone = contrast(-2, -3, -4)
    assert claims.claim("text", alone, above=0).verdict == "fails"
    ours = claims.claim("text", each(good=good, bad=alone), above=0)
    assert (ours.verdict, ours.part, ours.low < 0 < ours.high) == ("undecided", "bad", True)


def test_the_level_is_that_of_the_interval_that_decides():
    good, bad = contrast(4, 5, 6), contrast(-4, -5, -6.5)
    assert claims.claim("text", each(a=good, b=good), above=0).level == 0.95
    assert claims.claim("text", each(a=good, b=contrast(*[-5, -6, -7.0] * 2)), above=0).level == 0.975
    assert claims.claim("text", bad, inside=(7, 8)).level == 0.975  # narrower than the interval: either side
    assert claims.claim("text", spread(a=contrast(50, 51, 52), b=good), below=30).level == 0.975


def test_spread_goes_by_the_pairs():
    pairs = spread(ab=contrast(0, 1, 2), ac=contrast(-3, -4, -5), bc=contrast(-4, -5, -6))
    ours = claims.claim("text", pairs, below=8)
    assert (ours.verdict, ours.rule, ours.part, ours.estimate) == ("holds", "spread", "bc", 5)
    assert ours.high == pytest.approx(5 + HALF, rel=1e-6) and ours.margin == pytest.approx(3 - HALF, rel=1e-5)
    assert ours.low == pytest.approx(5 - stats.t_quantile(2, 0.05 / 3) / math.sqrt(3))
    # a region narrower than the intervals can be missed on either side: half the alpha
    far = spread(ab=contrast(0, 1, 2), ac=contrast(-30, -31, -32))
    assert claims.claim("text", far, below=3).low == pytest.approx(31 - stats.t_quantile(2, 0.05 / 4) / math.sqrt(3))
    assert claims.claim("text", far, below=9).low == pytest.approx(31 - stats.t_quantile(2, 0.05 / 2) / math.sqrt(3))
    assert claims.claim("text", far, below=8).verdict == "fails"
    assert claims.claim("text", far, below=28).verdict == "undecided"


def test_fewer_seeds_than_planned_or_three_are_interim():
    assert claims.claim("text", contrast(50.0, 51.0), above=0).verdict == "interim"
    assert claims.claim("text", contrast(50.0, 51.0, 52.0), above=0).verdict == "holds"
    ours = claims.claim("text", contrast(50.0, 51.0, 52.0), above=0, planned=4)
    assert (ours.verdict, ours.margin, ours.seeds_needed, ours.on_these_images) == ("interim", None, None, False)
    one = claims.claim("text", contrast(50.0), above=0)
    assert (one.estimate, one.low, one.high) == (50, None, None)
    parts = each(many=contrast(50.0, 51.0, 52.0, 53.0), few=contrast(50.0, 51.0, 52.0))
    assert claims.claim("text", parts, above=0, planned=4).part == "few"
    assert claims.claim("text", parts, above=0, planned={"many": 4, "few": 3}).verdict == "holds"


def test_an_interim_claim_shows_the_part_that_supports_it_least():
    parts = each(good=contrast(50.0, 51.0), bad=contrast(-3.0, 1.0), fair=contrast(1.0, 2.0))
    assert claims.claim("text", parts, above=0).part == "bad"
    assert claims.claim("text", parts, inside=(-8, 8)).part == "good"


def test_a_second_look_halves_alpha():
    values = contrast(2, 3, 4)  # 3 ± 2.5, or 3 ± 3.6 at half the alpha
    assert claims.claim("text", values, above=0).verdict == "holds"
    ours = claims.claim("text", values, above=0, looks=2)
    assert (ours.verdict, ours.alpha) == ("undecided", 0.025)


def test_mixed_parts_go_by_the_share_of_seeds():
    chance = ["01", "00", "00", "00", "00", "00"]
    ours = claims.claim("text", contrast(60, 1, 2, 3, 4, 5, at_chance=chance), above=0)
    assert (ours.verdict, ours.rule, ours.estimate, ours.margin) == ("holds", "share", 1, 1)
    assert (ours.low, ours.high) == pytest.approx((0.025 ** (1 / 6), 1))
    ours = claims.claim("text", contrast(60, 1, 2, 3, 4, -5, at_chance=chance), above=0)
    assert (ours.verdict, ours.margin) == ("undecided", 5)
    five = claims.claim("text", contrast(60, 1, 2, 3, 4, at_chance=chance[:5]), above=0)
    assert (five.verdict, five.margin, five.seeds_needed) == ("undecided", None, 6)
    # all at chance, in the same arm: one mode, a mean
    assert claims.claim("text", contrast(60, 61, 62, at_chance="01"), above=0).rule == "mean"
    assert claims.claim("text", contrast(60, 61, 62, at_chance=["01", "10", "01"]), above=0).rule == "share"


LOST, SAME = "all runs compared are at chance", "no seed shows a difference"


@pytest.mark.parametrize("region", [{"above": 0}, {"below": 3}, {"inside": (-3, 3)}])
@pytest.mark.parametrize(
    ("gap", "why"), [(contrast(0.4, -0.2, 0.3, at_chance="11"), LOST), (contrast(0.0, 0.0, 0.0), SAME)]
)
def test_where_nothing_was_learnt_or_no_seed_differs_there_is_no_verdict(gap, why, region):
    ours = claims.claim("text", gap, **region)
    assert ours.verdict == "undecided" and ours.margin is None and ours.seeds_needed is None and ours.interval == ""
    assert ours.sentence == f"undecided: {why}, n = 3, region {ours.region}"
    assert (claims.by_seeds(gap, **region)["undecided"] == 1).all()
    assert claims.Verdict.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours


def test_a_part_that_shows_nothing_keeps_each_from_holding_and_not_from_failing():
    lost, good, bad = contrast(0.1, 0.2, -0.4, at_chance="11"), contrast(4, 5, 6), contrast(-4, -5, -6)
    ours = claims.claim("text", each(deep=lost, flat=good), above=0)
    assert ours.sentence == f"undecided at deep: {LOST}, n = 3, region > 0"
    assert [part["verdict"] for part in ours.parts] == ["undecided", "holds"]
    ours = claims.claim("text", each(deep=lost, flat=bad), above=0)
    assert (ours.verdict, ours.part) == ("fails", "flat")
    ours = claims.claim("text", each(one=lost, two=lost), above=0)
    assert ours.sentence == f"undecided: {LOST}, n = 3, region > 0"


def test_a_spread_shows_nothing_only_where_all_arms_are_at_chance():
    lost = contrast(0.1, 0.2, -0.4, at_chance="11")
    ours = claims.claim("text", spread(ab=lost, bc=lost, ac=lost), below=3)
    assert ours.sentence == f"undecided: {LOST}, n = 3, region spread < 3"
    far = contrast(20, 21, 22, at_chance="01")
    assert claims.claim("text", spread(ab=lost, bc=far, ac=far), below=3).verdict == "fails"
    near = contrast(0.2, 0.3, 0.1, at_chance="01")
    assert claims.claim("text", spread(ab=lost, bc=near, ac=near), below=3).verdict == "holds"


def test_single_arms_losses_and_counts_of_chance_are_judged_also_at_chance():
    assert claims.claim("text", contrast(9.8, 10.1, 10.2, at_chance="1", unit="%"), above=50).verdict == "fails"
    assert claims.claim("text", contrast(0.0, 0.0, 0.0, at_chance="1", unit="%"), below=5).verdict == "holds"
    loss = contrast(-0.5, -0.4, -0.6, at_chance="11", unit="")  # of the training loss, which is lower in one arm
    assert claims.claim("text", loss, below=0).verdict == "holds"
    never = contrast(*[False] * 6, at_chance="00", unit="")
    assert claims.claim("text", never).verdict == "fails"


def test_at_chance_is_a_claim_without_a_region():
    yes, no = contrast(*[True] * 6), contrast(*[False] * 6)
    assert claims.claim("text", yes).verdict == "holds"
    assert claims.claim("text", no).verdict == "fails"
    assert claims.claim("text", contrast(*[True] * 5)).verdict == "undecided"
    assert claims.claim("text", contrast(*[True] * 3, *[False] * 3)).seeds_needed is None
    assert (claims.claim("text", yes).margin, claims.claim("text", yes).region) == (None, "most seeds")


def test_on_these_images():
    def of(images):
        return claims.claim("text", contrast(4.0, 5.0, 6.0, images=images), above=0).on_these_images

    # error over images 2 or 0.2 points: half-width 2.5 becomes 4.6 or 2.5; 4.6 still below 5, 3 points make 6.4
    assert of([[5 - 2, 5 + 2]] * 3) is False
    assert of([[5 - 3, 5 + 3]] * 3) is True
    assert of(None) is None
    failing = contrast(-4.0, -5.0, -6.0, images=[[-8, -2]] * 3)
    assert claims.claim("text", failing, above=0).on_these_images is True
    undecided = contrast(0.0, 1.0, 2.0, images=[[-8, 2]] * 3)
    assert claims.claim("text", undecided, above=0).on_these_images is False


def test_seeds_needed():
    values = np.array([-2.0, -1, 0, 1, 2])
    near, nearer = contrast(*(values + 1)), contrast(*(values + 0.5))
    alone = [claims.claim("text", part, above=0).seeds_needed for part in (near, nearer)]
    assert alone == [stats.seeds_needed(values + shift, (0, math.inf)) for shift in (1, 0.5)]
    assert claims.claim("text", each(a=near, b=nearer), above=0).seeds_needed == max(alone)
    # one part lies outside: until it fails, at alpha / 2
    failing = claims.claim("text", each(a=near, b=contrast(*(values - 1))), above=0)
    assert failing.seeds_needed == stats.seeds_needed(values - 1, (0, math.inf), alpha=0.025)
    assert claims.claim("text", contrast(0.0, 1.0, 2.0, 1.5), above=0).seeds_needed is None
    narrow = claims.claim("text", contrast(*(values + 2.1)), inside=(0, 0.1))  # ± 2.0 at alpha, ± 2.5 at half of it
    assert (narrow.verdict, narrow.seeds_needed) == ("undecided", 6)


def test_by_seeds_by_hand():
    ours = claims.by_seeds(contrast(1.0, 2.0, -2.0), above=0)
    assert list(ours.columns) == ["k", "subsets", "holds", "fails", "undecided"]
    # pairs have the means 1.5, -0.5 and 0: a mean on the boundary is outside
    assert ours.to_numpy() == pytest.approx(
        np.array([[1, 3, 2 / 3, 1 / 3, 0], [2, 3, 1 / 3, 2 / 3, 0], [3, 1, 0, 0, 1]])
    )


def test_by_seeds_ends_at_the_verdict_and_uses_common_seeds():
    rng = np.random.default_rng(0)
    for shift in (-2, 0, 2):
        parts = each(a=contrast(*rng.normal(shift, 1, 6)), b=contrast(*rng.normal(shift, 1, 8))[:6])
        last = claims.by_seeds(parts, above=0).iloc[-1]
        assert last["k"] == 6 and last[claims.claim("text", parts, above=0).verdict] == 1
    parts = each(a=contrast(1.0, 2.0, 3.0), b=contrast(1.0, 2.0, 3.0, 4.0)[1:])
    assert claims.by_seeds(parts, above=0)["subsets"].tolist() == [2, 1]


def test_by_seeds_samples_large_sets():
    rng = np.random.default_rng(0)
    ten = claims.by_seeds(each(**{str(i): contrast(*rng.normal(1, 1, 10)) for i in range(8)}), above=0)
    assert ten["subsets"].tolist() == [math.comb(10, k) for k in range(1, 11)]
    many = contrast(*rng.normal(1, 1, 20))
    twenty = claims.by_seeds(many, above=0)
    assert twenty["subsets"].tolist() == [min(math.comb(20, k), stats.MOST_SUBSETS) for k in range(1, 21)]
    triples = np.array(list(combinations(many["value"], 3)))
    exact = np.mean(margins(triples, np.zeros((len(triples), 3)), Region(low=0))[0] > 0)
    assert 0.05 < exact < 0.95 and twenty["holds"][2] == pytest.approx(exact, abs=0.06)
    pd.testing.assert_frame_equal(twenty, claims.by_seeds(many, above=0))


def test_from_runs_to_verdict():
    rng = np.random.default_rng(0)
    runs = []
    for blocks, gain in ((1, 0.1), (4, 0.3)):
        for activation, right in (("relu", 0.5 + gain), ("sigmoid", 0.5)):
            for seed in range(6):
                correct = (rng.random(1000) < right).astype(np.uint8)
                runs.append({"blocks": blocks, "activation": activation, "seed": seed, "correct": correct})
    df = pd.DataFrame(runs).assign(status="done", classes=10, test_images=1000, train_loss=1.0)
    df["test_accuracy"] = [100 * correct.mean() for correct in df["correct"]]
    gap = claims.paired(df, "activation", "relu", "sigmoid")
    ours = claims.claim("ReLU wins", claims.each(gap, "blocks"), above=0, planned=6)
    assert (ours.verdict, ours.part, ours.on_these_images) == ("holds", "blocks=1", False)
    assert ours.estimate == pytest.approx(10, abs=2)
    slope = claims.claim("the gap grows", claims.slope(gap, "blocks"), inside=(5, 8))
    assert (slope.verdict, slope.unit) == ("holds", "points per blocks")
    stable = claims.claim("depth does not matter", claims.spread(df[df["activation"] == "relu"], "blocks"), below=5)
    assert (stable.verdict, stable.on_these_images) == ("fails", False)
    parts = claims.each(claims.chance(df), ["blocks", "activation"])
    at_chance = claims.claim("at chance", parts)
    assert (at_chance.verdict, at_chance.part) == ("undecided", "blocks=1, activation=relu")
    assert [part["verdict"] for part in at_chance.parts] == ["undecided"] * 4  # 0 of 6 is too few at alpha / 4
    json.dumps([v.to_dict() for v in (ours, slope, stable, at_chance)], allow_nan=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: claims.claim("t", c), "one of above, below, inside, not none"),
        (lambda c: claims.claim("t", c, above=0, below=1), "not above and below"),
        (lambda c: claims.claim("t", c, inside=(2, 2)), r"inside=\(2, 2\) is empty"),
        (lambda c: claims.claim("t", c, above=0, looks=3), "looks is 1, or 2 .* not 3"),
        (lambda c: claims.claim("t", c.assign(value=c["value"] > 0), above=0), "yes and no takes no region"),
        (lambda c: claims.claim("t", spread(a=c), above=1), "takes below="),
        (lambda c: claims.claim("t", spread(a=c), below=-1), "a positive number"),
        (lambda c: claims.claim("t", c[:0], above=0), "no seed has a value"),
        (lambda c: claims.claim("t", each(a=c, b=c[:0]), above=0), "b: no seed has a value"),
        (lambda c: claims.claim("t", each(), above=0), "needs a contrast"),
        (lambda c: claims.claim("t", [1, 2, 3], above=0), "needs a contrast"),
        (lambda c: claims.claim("t", c.assign(value=math.nan), above=0), "finite value"),
        (lambda c: claims.claim("t", c.assign(seed=7), above=0), r"seed 7 has several values: select.* \['blocks'\]"),
        (lambda c: claims.by_seeds(each(a=c[:1], b=c[1:]), above=0), "no seed in common"),
        (lambda c: claims.by_seeds(c, above=0, alpha=5), "alpha must lie between 0 and 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(contrast(1.0, 2.0, 3.0, blocks=4))
