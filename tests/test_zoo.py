"""The properties of the zoo are those of the functions."""

import math

import numpy as np
import pandas as pd
import pytest

from nbhelpers import claims, contrasts, published, zoo
from nbhelpers.errors import InputError
from nbhelpers.models import layers

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


def test_the_recorded_costs_are_ratios_to_relu_of_the_same_round():
    found, costs = zoo.benchmark(), zoo.costs()
    assert set(found["machine"]) >= {"processor", "threads", "torch", "date"} and found["machine"]["threads"] == 1
    assert len(costs) == len(zoo.ZOO) * found["rounds"] and set(costs["activation"]) == set(zoo.ZOO)
    relu = costs[costs.activation == "ReLU"]
    assert (relu[["forward", "backward", "step"]] == 1).all(axis=None)
    row = costs[(costs.activation == "PAU") & (costs["round"] == 2)].iloc[0]
    steps = [found["ratios"][name]["PAU"][2] for name in ("depthwise", "inception", "dense")]
    assert row["forward"] == found["ratios"]["forward"]["PAU"][2] and row["step"] == pytest.approx(sum(steps) / 3)


def test_costs_of_a_step_can_be_judged_over_the_rounds():
    frame = zoo.cost_of_a_step(["PAU", "Mish"])
    assert set(frame["activation"]) == {"PAU", "Mish"}
    verdict = claims.claim("t", contrasts.each(frame, "activation"), planned=zoo.benchmark()["rounds"], above=1)
    assert verdict.verdict == "holds" and verdict.n == zoo.benchmark()["rounds"] and verdict.unit == "×"


def test_the_newer_ones_are_gelu_and_what_was_published_after_its_year():
    assert set(zoo.newer()) == {"GELU", "SELU", "CELU", "Swish", "ABReLU", "LiSHT", "SRS", "Mish", "PAU", "PDELU"}


def test_what_ran_as_another_function_can_be_left_out():
    left = set(zoo.as_named(published.series("Activation_Zoo", "accuracy"))["activation"])
    assert len(left) == 13 and not left & {"PDELU", "LReLU", "ELU", "CELU", "Softplus"} and "ReLU" in left


def test_the_title_of_a_parameter_is_that_of_the_zoo_or_its_own_text():
    assert zoo.title_of("leaky_relu") == "LReLU"
    assert zoo.title_of("silu") == "silu"
    assert zoo.title_of({"name": "elu", "alpha": 2.0}) == "{'name': 'elu', 'alpha': 2.0}"


@pytest.mark.parametrize(
    ("activation", "family", "spec", "same"),
    [
        ("LReLU", "GoogLeNet", {"name": "leaky_relu", "negative_slope": 1.0}, lambda x: x),
        ("PDELU", "all", "relu", lambda x: np.maximum(x, 0)),
    ],
)
def test_what_ran_in_the_survey_is_what_the_table_says(activation, family, spec, same):
    """The two that are functions of the zoo under another name."""
    import torch

    row = zoo.as_coded().set_index(["activation", "family"]).loc[(activation, family)]
    assert row["what ran"] in ("x itself", "ReLU")
    x = np.linspace(-3, 3, 13)
    assert layers.activation(spec, inplace=False)(torch.from_numpy(x)).numpy() == pytest.approx(same(x))


def test_the_survey_stands_beside_the_family_that_stands_for_its_net():
    results = pd.DataFrame({"family": ["depthwise", "VGG16", "dense"], "activation": ["ReLU", "GELU", "SReLU"]})
    found = zoo.beside(results, published.series("Activation_Zoo", "accuracy"))
    assert list(found["published"]) == ["90.10 (MobileNet)", "92.42 (VGG16)", ""]


def test_no_unit_that_is_stuck_is_a_sentence_and_some_are_a_table():
    def runs(*shares):
        probes = [{"constant_units@1": {"final": {"a": share, "b": 0.0}}} for share in shares]
        return pd.DataFrame({"activation": ["ReLU", "GELU"], "family": "dense", "probes": probes})

    table, said = zoo.constant_units(runs(0.0, 0.0))
    assert table.empty and said.startswith("In none of them") and "2 of 2 runs" in said
    table, said = zoo.constant_units(runs(5.0, 0.0))
    assert table.set_index("activation")["dense"].to_dict() == {"ReLU": "2.50", "GELU": "0.00"}
