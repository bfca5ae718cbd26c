"""Sentences say the numbers that are behind them, and nothing that these do not bear out."""

import math

import pandas as pd
import pytest
from frames import ARM, T2, frame, theirs

from nbhelpers import told


def lead(values, at_chance="00") -> pd.DataFrame:
    return pd.DataFrame({"setting": "ours", "seed": range(len(values)), "value": values, "at_chance": at_chance})


def test_a_mean_of_seeds_that_are_partly_at_chance_is_said_to_be_that():
    gap = lead([5.0, 0.1, 7.0], ["00", "11", "01"])
    assert told.leads(gap, "setting") == "ours +4.0 points, partly at chance, ahead in 2 of 3 seeds."
    assert told.briefly(gap, "setting") == "+4.0 (ours, partly at chance)"


def test_a_lead_shows_where_its_interval_lies_above_zero():
    half = T2 / math.sqrt(3)
    assert told.leads(lead([4.0, 5.0, 6.0]), "setting") == f"ours +5.0 points [{5 - half:.1f}, {5 + half:.1f}], n = 3."
    none = f"ours 0.0 points [{-half:.1f}, {half:.1f}], n = 3, so no lead shows."
    assert told.leads(lead([-1.0, -0.01, 1.0]), "setting") == none
    assert told.leads(lead([1.0]), "setting") == "ours +1.0 points, n = 1."


def test_published_values_beyond_all_seeds_are_named():
    df = frame(relu=[20, 22, 24], sigmoid=[20, 22, 24], tanh=[20, 22, 24])
    published = pd.concat([theirs("relu", 24.1), theirs("sigmoid", 24), theirs("tanh", 19)])
    said = "Published test accuracy above all of our seeds: 1 relu; below all of our seeds: 1 tanh."
    assert told.beyond(df, ARM, published) == said
    assert told.beyond(df[df.seed < 2], ARM, published) == ""
    assert "relu" not in told.beyond(df[(df.activation != "relu") | (df.seed > 0)], ARM, published)
    assert told.beyond(df, ARM, published[:0], name="number").endswith(
        "above all of our seeds: none; below all of our seeds: none."
    )


def test_cells_in_short_are_means_or_counts_at_chance():
    df = frame(relu=[20, 22, 24], sigmoid=[10, 22, 24])
    assert told.cells(df, "activation") == {"relu": "22.0", "sigmoid": "1 of 3 seeds at chance"}
    assert told.cells(df[:3], "activation", "train_loss") == {"relu": "2.00"}


@pytest.mark.parametrize(("number", "said"), [(1.26, "+1.3"), (-1.26, "-1.3"), (-0.04, "0.0"), (0.0, "0.0")])
def test_a_number_that_rounds_to_zero_has_no_sign(number, said):
    assert told.signed(number) == said


def test_runs_end_between_two_values_or_at_one():
    assert told.ends("Loss", pd.Series([1.234, 0.5, 2.0])) == "Loss ends between 0.5 and 2"
    assert told.ends("Loss", pd.Series([1.2341, 1.2342])) == "Loss ends at 1.23"


def test_one_thing_is_no_plural():
    assert [told.count(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]


def measured(**arms) -> pd.DataFrame:
    """A probe of one layer, at the start and after one epoch, of two seeds of each arm: the end is as given."""
    return pd.DataFrame(
        [
            {"arm": arm, "seed": seed, "epoch": epoch, "layer": "a", "value": end if epoch else 50.0}
            for arm, ends in arms.items()
            for seed, end in enumerate(ends)
            for epoch in (0, 1)
        ]
    )


def test_how_arms_end_is_said_and_what_a_saturated_softmax_would_lose():
    df = frame(relu=[20, 22], scaled=[10, 10]).rename(columns={"activation": "arm"})
    dead, norms = measured(relu=[0.0, 10.0], scaled=[100.0, 100.0]), measured(relu=[1.0, 1e-13], scaled=[0.0, 0.0])
    said = told.stuck(df, dead, norms, softmax=False)
    assert said == (
        "After the last epoch. relu: 5% dead units in the worst layer, gradient norms below 1e-12 in all layers in 1 "
        "of 2 seeds, training loss 2.0000; scaled: 100% dead units in the worst layer, gradient norms below 1e-12 in "
        "all layers in 2 of 2 seeds, training loss 2.0000."
    )
    flat = math.log(9 + math.e) - 0.1  # one of ten probabilities is 1, which is right for a tenth of the images
    assert told.stuck(df, dead, norms, softmax=True).removeprefix(said) == (
        f" A saturated softmax that is right by chance alone has a loss of {flat:.4f}."
    )


def test_an_arm_that_diverged_ends_where_it_stopped():
    df = frame(relu=[20, 22], scaled=[10, 10]).rename(columns={"activation": "arm"})
    df.loc[df["arm"] == "scaled", ["status", "train_loss"]] = ["diverged", math.nan]
    norms = pd.concat([measured(relu=[1.0, 2.0]), measured(scaled=[9.0, math.nan])])
    norms.loc[norms["arm"] == "relu", "epoch"] *= 8
    assert told.change(norms, "a") == "50 to 1.5 (relu), 50 to 9 (scaled)"
    assert told.last(norms).groupby("arm")["epoch"].max().to_dict() == {"relu": 8, "scaled": 1}
    said = told.stuck(df, norms, norms, softmax=False)
    assert said.endswith(
        "gradient norms below 1e-12 in all layers in 0 of 2 seeds, 2 diverged, training loss no number."
    )


def test_scaling_is_from_the_smallest_to_the_largest_images():
    rows = [("MLP", 8, 100, 20.0), ("MLP", 16, 400, 25.0), ("ConvNet", 8, 50, 40.0), ("ConvNet", 16, 50, 38.0)]
    df = pd.DataFrame(rows, columns=["net", "pixels", "parameters", "test_accuracy"])
    macs = {("MLP", 8): 100, ("MLP", 16): 400, ("ConvNet", 8): 1000, ("ConvNet", 16): 4000}
    assert told.scaling(df, macs) == (
        "From 8 to 16 pixels. MLP: parameters × 4.0, MACs × 4.0, accuracy +5.0 points; ConvNet: parameters × 1.0, "
        "MACs × 4.0, accuracy -2.0 points. At 16 pixels MLP has 8.0 times the parameters of ConvNet and 0.1 times its "
        "MACs."
    )
