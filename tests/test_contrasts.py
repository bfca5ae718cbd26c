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
