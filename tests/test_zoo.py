"""The properties of the zoo are those of the functions."""

import math

import numpy as np
import pytest

from nbhelpers import zoo
from nbhelpers.errors import InputError

# title: lowest, highest, monotone, smooth, zero-centred, slope at 0, as the formulas give them
KNOWN = {
    "Sigmoid": (0, 1, True, True, False, "0.25"),
    "Tanh": (-1, 1, True, True, True, "1"),
    "Elliott": (0, 1, True, True, False, "0.5"),
    "ReLU": (0, math.inf, True, False, False, "0, 1"),
    "LReLU": (-math.inf, math.inf, True, False, False, "0.01, 1"),
    "PReLU": (-math.inf, math.inf, True, False, False, "0.25, 1"),
    "ELU": (-1, math.inf, True, True, False, "1"),
    "SELU": (-1.758, math.inf, True, False, True, "1.76, 1.05"),
    "GELU": (-0.170, math.inf, False, True, False, "0.5"),
    "CELU": (-1, math.inf, True, True, False, "1"),
    "Softplus": (0, math.inf, True, True, False, "0.5"),
    "Swish": (-0.278, math.inf, False, True, False, "0.5"),
    "ABReLU": (0, math.inf, True, False, False, "0, 1"),
    "LiSHT": (0, math.inf, False, True, False, "0"),
    "SRS": (-1.416, 5, False, True, False, "1"),
    "Mish": (-0.309, math.inf, False, True, False, "0.6"),
    "PAU": (-math.inf, math.inf, False, False, False, "0.65, 0.58"),
    "PDELU": (-1, math.inf, True, True, False, "1"),
    "SReLU": (-math.inf, math.inf, True, False, False, "0.2, 1"),
}


def test_every_activation_is_in_the_table():
    assert list(zoo.properties(list(zoo.ZOO))["activation"]) == list(zoo.ZOO) and set(KNOWN) == set(zoo.ZOO)


@pytest.mark.parametrize("title", KNOWN)
def test_the_properties_are_those_of_the_formula(title):
    lowest, highest, monotone, smooth, centred, slope = KNOWN[title]
    found = zoo._properties(title)
    assert found["lowest"] == pytest.approx(lowest, abs=6e-4)
    assert found["highest"] == pytest.approx(highest, abs=6e-4)
    row = zoo.properties([title]).iloc[0]
    yes = {True: "yes", False: "no"}
    assert (row["monotone"], row["smooth"], row["zero-centred"]) == (yes[monotone], yes[smooth], yes[centred])
    assert row["bounded"] == yes[math.isfinite(lowest) and math.isfinite(highest)]
    assert row["slope at 0"] == slope


def test_the_mean_for_normal_x_is_the_expectation():
    assert zoo._properties("ReLU")["mean for normal x"] == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-6)
    assert zoo._properties("Sigmoid")["mean for normal x"] == pytest.approx(0.5, abs=1e-6)


def test_a_curve_is_the_function_at_the_points():
    x = np.linspace(-2, 2, 5)
    assert zoo.curve("ReLU", x).tolist() == [0, 0, 0, 1, 2]


def test_the_sheet_says_formula_range_source_and_learnable_numbers():
    sheet = zoo.sheet(list(zoo.ZOO)).set_index("activation")
    assert sheet.loc["PAU", "learnable"] == 10 and sheet.loc["GELU", "learnable"] == 0
    assert sheet.loc["GELU", "source"] == "arXiv:1606.08415, 2016"
    assert (sheet["f(x)"].str.len() > 0).all() and (sheet["range"].str.len() > 0).all()


def test_an_unknown_title_lists_the_known_ones():
    with pytest.raises(InputError) as caught:
        zoo.activation("zzz")
    assert str(caught.value).startswith("activations: 'zzz' is unknown (known: Sigmoid, Tanh, ")
