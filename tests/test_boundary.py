"""The bound on the learning rate: where there is none, what agrees with it, and the twins well below it."""

import re

import numpy as np
import pandas as pd
import pytest

from nbhelpers import boundary


def test_a_sharpness_that_falls_as_the_scale_grows_bounds_nothing():
    found = boundary.bounds(pd.Series([2.0, 20.0, 1.0, 200.0, -1.0], [1, 2, 4, 8, 16]))
    assert found[[1, 2]].tolist() == [1.0, 0.1]
    assert found[[4, 8, 16]].isna().all()


def grid(**cells) -> pd.DataFrame:
    """Runs of r = 1 and 4 with two learning rates, with their accuracies, of 10 classes."""
    rows = [(r, lr, cells[f"r{r}"][i]) for r in (1, 4) for i, lr in enumerate((0.01, 1.0))]
    df = pd.DataFrame(rows, columns=["r", "lr", "test_accuracy"])
    df.insert(2, "seed", 0)
    return df.assign(train_loss=1.0, classes=10, test_images=1000, status="done")


def test_cells_agree_that_are_at_chance_above_the_line_or_not_below_it():
    df, found = grid(r1=[50.0, 10.0], r4=[10.0, 50.0]), pd.Series({1: 0.1, 4: 0.1})
    said = "2 of 4 cells are as predicted: 1 of 2 above the line are at chance, 1 of 2 below it are not."
    assert boundary.agreement(df, found) == said
    assert boundary.agreement(df, pd.Series({1: 0.1, 4: np.nan})) == (
        "2 of 2 cells are as predicted: 1 of 1 above the line are at chance, 1 of 1 below it are not. No line at r = 4:"
        " from there on the sharpness does not grow with the scale, as where the outputs are saturated, "
        "and bounds nothing."
    )


def test_there_is_a_power_only_where_the_sharpness_grows_throughout():
    cubes = pd.Series([1.0, 8.0, 64.0], [1, 2, 4])
    assert boundary.growth(cubes) == "; sharpness grows as r^3.0 at the largest scales"
    assert boundary.growth(cubes[:1]) == boundary.growth(pd.Series([1.0, 8.0, 4.0], [1, 2, 4])) == ""


@pytest.mark.parametrize("r", [4, 62])
def test_where_units_live_the_right_twin_follows_and_the_others_do_not(r):
    said = boundary.twins((8, 8), r, steps=30)
    assert "after 30 steps 0% of the units of the worst layer are dead" in said
    assert "the first twin differs by less than 1e-10" in said
    assert all(float(number) > 1e-3 for number in re.search(r"others by (\S+) and (\S+)\.$", said).groups())
