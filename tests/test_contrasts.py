import math

import numpy as np
import pandas as pd
import pytest

from nbhelpers import contrasts, stats


def runs(accuracies, **columns):
    """Runs of `accuracies` {(blocks, activation): one accuracy per seed}, labels in attrs."""
    df = pd.DataFrame(
        [
            {"status": "done", "blocks": blocks, "activation": activation, "seed": seed, "test_accuracy": accuracy}
            for (blocks, activation), cell in accuracies.items()
            for seed, accuracy in enumerate(cell)
        ]
    ).assign(train_loss=0.5, classes=10, test_images=10_000, **columns)
    df.attrs["labels"] = ["blocks", "activation"]
    return df


@pytest.fixture
def df():
    return runs(
        {
            (1, "relu"): [70.0, 72.0, 74.0],
            (1, "sigmoid"): [69.0, 70.0],
            (4, "relu"): [80.0, 81.0, 85.0],
            (4, "sigmoid"): [60.0, 10.0, 62.0],
        }
    )


def test_paired_takes_common_seeds_for_each_other_label(df):
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    assert list(gap.columns) == ["blocks", "seed", "value", "images", "at_chance"]
    assert gap[["blocks", "seed", "value"]].to_numpy().tolist() == [
        [1, 0, 1],
        [1, 1, 2],
        [4, 0, 20],
        [4, 1, 71],
        [4, 2, 23],
    ]
    assert gap["at_chance"].tolist() == ["00", "00", "00", "01", "00"]
    assert gap.attrs == {"labels": ["blocks"], "unit": "points"}


def test_labels_are_inferred_from_the_columns_before_seed(df):
    expected = contrasts.paired(df, "activation", "relu", "sigmoid")
    df.attrs = {}
    pd.testing.assert_frame_equal(contrasts.paired(df, "activation", "relu", "sigmoid"), expected)
    behind = df[["seed", "status", "blocks", "activation", "test_accuracy", "train_loss", "classes", "test_images"]]
    named = contrasts.paired(behind, "activation", "relu", "sigmoid", labels=["blocks"])
    pd.testing.assert_frame_equal(named, expected)


def test_images_follow_the_values():
    df = runs({(1, "relu"): [75.0], (1, "sigmoid"): [25.0], (2, "relu"): [50.0], (2, "sigmoid"): [50.0]})
    df["correct"] = list(np.array([[1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0]], np.uint8))
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    assert gap["images"][0].tolist() == [100, 100, 100, -100] and gap["images"][0].dtype == np.float32
    assert gap["images"].map(np.mean).tolist() == gap["value"].tolist() == [50, 0]
    # the slope over 1 and 2 blocks is their difference, for the images too
    slope = contrasts.slope(gap, "blocks")
    assert slope["value"].tolist() == [-50]
    assert slope["images"][0].tolist() == [0, -100, -200, 100]
    assert contrasts.paired(df, "activation", "relu", "sigmoid", "train_loss")["images"].tolist() == [None, None]
    df.at[1, "correct"] = None
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    assert gap["images"][0] is None and gap["images"][1] is not None
    assert contrasts.slope(gap, "blocks")["images"].tolist() == [None]


def test_slope_by_hand(df):
    gap = pd.DataFrame({"blocks": [4, 1, 2, 1, 2, 4, 1], "seed": [0, 0, 0, 1, 1, 1, 2]})
    gap["value"] = [7.0, 1.0, 3.0, 5.0, 5.0, 6.0, 9.0]
    gap["images"], gap["at_chance"] = None, ["01", "00", "00", "00", "00", "00", "00"]
    slope = contrasts.slope(gap, "blocks")
    assert slope["seed"].tolist() == [0, 1]  # seed 2 lacks two depths
    expected = [np.polyfit([1, 2, 4], values, 1)[0] for values in ([1, 3, 7], [5, 5, 6])]
    assert slope["value"].tolist() == pytest.approx(expected)
    assert slope["at_chance"].tolist() == ["000001", "000000"]
    assert contrasts.slope(contrasts.paired(df, "activation", "relu", "sigmoid"), "blocks").attrs == {
        "labels": [],
        "unit": "points per blocks",
    }
    assert contrasts.slope(gap, "blocks", per="block").attrs["unit"] == "per block"


def test_slope_keeps_other_labels_apart():
    gap = pd.DataFrame({"width": [8, 8, 16, 16], "blocks": [1, 2, 1, 2], "seed": 0, "value": [1.0, 2.0, 1.0, 5.0]})
    slope = contrasts.slope(gap.assign(images=None, at_chance="00"), "blocks")
    assert slope[["width", "seed", "value"]].to_numpy().tolist() == [[8, 0, 1], [16, 0, 4]]
    assert list(contrasts.each(slope, "width")) == ["width=8", "width=16"]


def test_each_and_spread_name_their_parts(df):
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    parts = contrasts.each(gap, "blocks")
    assert {label: part["value"].tolist() for label, part in parts.items()} == {
        "blocks=1": [1, 2],
        "blocks=4": [20, 71, 23],
    }
    assert not parts.symmetric
    assert all(part.attrs["unit"] == "points" for part in parts.values())
    df = runs({(1, name): [level] for name, level in (("relu", 70.0), ("tanh", 67.0), ("elu", 71.0))})
    pairs = contrasts.spread(df, "activation")
    assert {label: part["value"].item() for label, part in pairs.items()} == {
        "relu - tanh": 3,
        "relu - elu": -1,
        "tanh - elu": -4,
    }
    assert pairs.symmetric


def test_diverged_runs_stay_in_and_failed_ones_do_not():
    df = runs({(1, "relu"): [70.0, math.nan, 72.0], (1, "sigmoid"): [60.0, 61.0, 62.0]})
    df.loc[1, ["status", "train_loss"]] = ["diverged", math.inf]
    df.loc[5, "status"] = "failed"
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    assert gap["value"].tolist() == [10, 10 - 61]
    assert gap["at_chance"].tolist() == ["00", "10"]
    without_loss = contrasts.paired(df.drop(columns="train_loss"), "activation", "relu", "sigmoid")
    assert without_loss["at_chance"].tolist() == ["00", "10"]
    loss = contrasts.values(df, "train_loss")
    assert loss["value"].tolist() == pytest.approx([0.5, math.log(10), 0.5, 0.5, 0.5])
    df.loc[1, "train_loss"] = 1.5
    assert contrasts.values(df, "train_loss")["value"][1] == 1.5
    df.loc[1, "train_loss"] = math.nan
    assert contrasts.values(df, "train_loss")["value"][1] == pytest.approx(math.log(10))


def test_a_run_at_chance_has_at_most_the_loss_of_a_guess():
    df = runs({(1, "relu"): [10.0, 10.1, 10.2, 11.5, 50.0]})  # chance reaches up to 10.9
    df["train_loss"] = [7e11, 2.31, 2.2, 7.0, 7.0]
    df["test_loss"] = df["train_loss"]
    expected = [math.log(10), math.log(10), 2.2, 7, 7]
    for metric in ("train_loss", "test_loss"):
        frame = contrasts.values(df, metric)
        assert frame["value"].tolist() == pytest.approx(expected)
        assert frame["at_chance"].tolist() == list("11100")
    assert contrasts.values(df)["value"].tolist() == df["test_accuracy"].tolist()


@pytest.fixture
def courses():
    """Two arms, two seeds, three epochs, of which one run saw one before it diverged."""

    def rows(*losses):
        return [
            {"epoch": i, "train_loss": loss, "train_accuracy": 30.0 + i, "test_accuracy": 20.0 * i, "lr": 0.1}
            for i, loss in enumerate(losses, 1)
        ]

    df = runs({(1, "relu"): [60.0, 60.0], (1, "sigmoid"): [60.0, math.nan]}, parameters=9, train_accuracy=33.0)
    df["history"] = [rows(2.0, 1.5, 0.5), rows(1.9, 1.4, 0.4), rows(2.2, 2.1, 2.05), rows(2.25, "inf")]
    df["correct"] = [np.ones(4, np.uint8)] * 4
    df.loc[3, ["status", "train_loss"]] = ["diverged", math.inf]
    return df


def test_runs_stand_as_they_did_after_an_epoch(courses):
    before = courses.copy()
    found = contrasts.at_epochs(courses, [1, 3])
    assert list(found.columns[:3]) == found.attrs["labels"] == ["blocks", "activation", "epoch"]
    assert found[["activation", "seed", "epoch"]].values.tolist() == [
        [activation, seed, epoch] for epoch in (1, 3) for activation in ("relu", "sigmoid") for seed in (0, 1)
    ]
    measured = ["train_loss", "train_accuracy", "test_accuracy"]
    assert found[found["epoch"] == 1][measured].values.tolist() == [[x, 31, 20] for x in (2.0, 1.9, 2.2, 2.25)]
    last = found[found["epoch"] == 3][measured].values.tolist()
    assert last[:3] == [[x, 33, 60] for x in (0.5, 0.4, 2.05)] and np.isnan(last[3]).all()
    assert set(found["parameters"]) == {9} and "lr" not in found
    assert "correct" not in found and "history" not in found  # these are of the end
    pd.testing.assert_frame_equal(courses, before)


def test_a_contrast_may_be_of_an_epoch(courses):
    frame = contrasts.at_epochs(courses, [1, 2, 3])
    gap = contrasts.paired(frame, "activation", "sigmoid", "relu", "train_loss")
    expected = {1: [0.2, 0.35], 2: [0.6, math.log(10) - 1.4], 3: [1.55, math.log(10) - 0.4]}
    parts = contrasts.each(gap, "epoch")
    assert list(parts) == ["epoch=1", "epoch=2", "epoch=3"]
    for part, values in zip(parts.values(), expected.values(), strict=True):
        assert part["value"].tolist() == pytest.approx(values)
    assert gap["at_chance"].tolist() == ["00", "00", "00", "10", "00", "10"]
    assert contrasts.values(frame)["value"].tolist()[-1] == 10  # a guess, where the run was no more


def test_a_difference_of_differences(df):
    gap = contrasts.paired(df, "activation", "relu", "sigmoid")
    found = contrasts.difference(gap, "blocks", 4, 1)
    assert list(found.columns) == ["seed", "value", "images", "at_chance"]
    assert found[["seed", "value"]].values.tolist() == [[0, 20 - 1], [1, 71 - 2]]
    assert found["at_chance"].tolist() == ["0000", "0100"]
    assert found.attrs == {"labels": [], "unit": "points"}
    assert contrasts.difference(gap, "blocks", 1, 4)["value"].tolist() == [-19, -69]


def test_a_difference_keeps_images_other_labels_and_the_unit():
    images = [np.array(pixels, np.float32) for pixels in ([100, 0], [0, 0], [100, 100], [-100, 0])]
    gap = pd.DataFrame(
        {"width": [8, 8, 16, 16], "norm": ["a", "b", "a", "b"], "seed": 0, "value": [3.0, 1.0, 9.0, 2.0]}
    )
    gap = gap.assign(images=pd.Series(images), at_chance="0")
    gap.attrs["unit"] = "points per blocks"
    found = contrasts.difference(gap, "norm", "a", "b")
    assert found[["width", "seed", "value"]].values.tolist() == [[8, 0, 2], [16, 0, 7]]
    assert [pixels.tolist() for pixels in found["images"]] == [[100, 0], [200, 100]]
    assert found.attrs == {"labels": ["width"], "unit": "points per blocks"}


def test_a_cell_is_a_mean_or_a_count(df):
    def arm(blocks, activation):
        return df[(df["blocks"] == blocks) & (df["activation"] == activation)]

    assert contrasts.cell(arm(1, "relu")) == stats.interval([70, 72, 74])
    mixed = contrasts.cell(arm(4, "sigmoid"))
    assert (mixed.k, mixed.share) == (1, stats.binomial(1, 3))
    assert str(mixed) == "1 of 3 at chance [1%, 91%]"
    assert contrasts.cell(runs({(1, "relu"): [10.0, 10.2, 9.9]})) == stats.interval([10.0, 10.2, 9.9])
    assert contrasts.cell(arm(1, "relu"), "train_loss", alpha=0.1) == stats.interval([0.5] * 3, 0.1)


def test_chance_is_yes_or_no_for_each_run(df):
    ours = contrasts.chance(df[df["activation"] == "sigmoid"])
    assert ours["value"].dtype == bool
    assert ours["value"].tolist() == [False, False, False, True, False]


def test_nothing_is_changed_in_the_frame_given(df):
    before = df.copy()
    df.loc[0, "status"] = before.loc[0, "status"] = "diverged"
    contrasts.paired(df, "activation", "relu", "sigmoid", "train_loss")
    pd.testing.assert_frame_equal(df, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda df: contrasts.paired(df, "norm", "a", "b"), "no column 'norm'; there are status, blocks, activation"),
        (lambda df: contrasts.paired(df, "activation", "relu", "gelu"), "activation=gelu; there are relu, sigmoid"),
        (lambda df: contrasts.paired(df[:0], "activation", "relu", "gelu"), "activation=relu; there are no runs"),
        (lambda df: contrasts.paired(df.iloc[[0, 4]], "activation", "relu", "sigmoid"), "no seed has both"),
        (lambda df: contrasts.values(df, "f1"), "no column 'f1'"),
        (lambda df: contrasts.values(df.drop(columns="classes")), "no column 'classes'"),
        (lambda df: contrasts.values(df.drop(columns="seed").set_axis(range(7), axis=1), labels=[]), "'seed'"),
        (lambda df: contrasts.values(df, labels=["activation"]), "two runs have activation=relu, seed=0; name all"),
        (lambda df: contrasts.values(df.assign(train_loss=math.nan), "train_loss"), "train_loss is not a finite"),
        (lambda df: contrasts.cell(df), "one value of every label"),
        (lambda df: contrasts.cell(df[:0]), "one value of every label"),
        (lambda df: contrasts.spread(df[:3], "activation"), "two values of 'activation', not relu"),
        (lambda df: contrasts.spread(df, "norm"), "no column 'norm'"),
        (lambda df: contrasts.each(contrasts.values(df), "value"), "no column 'value'; there are blocks, activation"),
        (lambda df: contrasts.difference(contrasts.values(df), "value", 1, 2), "no column 'value'; there are blocks"),
        (lambda df: contrasts.difference(contrasts.values(df), "blocks", 1, 5), "both blocks=1 and blocks=5"),
        (lambda df: contrasts.at_epochs(df.assign(history=[[{"epoch": 1}]] * len(df)), [1, 2]), "has an epoch 2"),
        (lambda df: contrasts.slope(contrasts.values(df), "activation"), "two numbers in 'activation', not relu, sig"),
        (lambda df: contrasts.slope(contrasts.values(df[:3]), "blocks"), "two numbers in 'blocks', not 1"),
    ],
)
def test_errors(df, call, message):
    with pytest.raises(ValueError, match=message):
        call(df)


def test_no_seed_with_every_depth_and_different_images(df):
    apart = df[((df["blocks"] == 1) & (df["seed"] == 0)) | ((df["blocks"] == 4) & (df["seed"] == 1))]
    with pytest.raises(ValueError, match="no seed has a value for every blocks: 1, 4"):
        contrasts.slope(contrasts.paired(apart, "activation", "relu", "sigmoid"), "blocks")
    df["correct"] = [np.zeros(4 if a == "relu" else 5, np.uint8) for a in df["activation"]]
    with pytest.raises(ValueError, match="different images: 4 and 5"):
        contrasts.paired(df, "activation", "relu", "sigmoid")


def test_a_lead_is_above_zero_and_not_between_runs_that_are_all_at_chance():
    gap = pd.DataFrame({"seed": range(4), "value": [2.0, 0.1, 3.0, -1.0], "at_chance": ["00", "11", "01", "00"]})
    assert contrasts.ahead(gap)["value"].tolist() == [True, False, True, False]
    assert contrasts.mixed(gap) and not contrasts.mixed(gap[gap.at_chance == "00"])


def test_runs_are_partly_at_chance_or_all_of_them_or_none():
    some = runs({(1, "relu"): [10.0, 40.0]})
    assert contrasts.partly_at_chance(some)
    assert not contrasts.partly_at_chance(some[:1]) and not contrasts.partly_at_chance(some[1:])
