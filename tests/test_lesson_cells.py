"""The activation spreadsheet and its wrong cells; GELU and its formula."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import erf

from nbhelpers import published
from nbhelpers.lesson import cells, listings


@pytest.fixture
def printed():
    return pd.DataFrame(published.table(listings.STUDY, "activation_sheet"))


def test_eleven_cells_of_the_spreadsheet_are_wrong(printed):
    weight = cells.fitted_weight(printed)
    assert weight == pytest.approx(0.5109)
    wrong = cells.wrong(printed, weight)
    assert wrong.sum().to_dict() == {"no_act": 1, "relu": 1, "sigmoid": 8, "tanh": 1}
    assert wrong.iloc[-1].to_dict() == {"no_act": True, "relu": True, "sigmoid": False, "tanh": True}


def test_the_recomputed_cells_are_the_published_right_ones(printed):
    right = cells.fill(printed["input"], 0.5109)
    assert (right - printed[list(cells.COLUMNS)]).abs().max(axis=None) < 0.00051


def test_a_right_sheet_has_no_wrong_cell_and_one_changed_cell_is_found(printed):
    for column in cells.COLUMNS:
        printed[f"lesson_{column}"] = cells.fill(printed["input"], 0.5109)[column].round(3)
    assert not cells.wrong(printed, 0.5109).any(axis=None)
    printed.loc[3, "lesson_tanh"] += 0.002
    assert cells.wrong(printed, 0.5109).to_numpy().sum() == 1
    assert cells.marked(printed, 0.5109).loc[3, "tanh"].count("✗") == 1


def test_the_wrong_sigmoids_are_those_of_the_negative_input(printed):
    assert cells.mirrored(printed, 0.5109) == 11
    assert cells.relu_example() == (16, 16)


def test_gelu_and_its_formula():
    x = np.linspace(-4, 4, 9)
    assert np.allclose(cells.gelu(x), x / 2 * (1 + erf(x / np.sqrt(2))))
    approximate = torch.nn.functional.gelu(torch.from_numpy(x), approximate="tanh")
    assert np.allclose(cells.gelu_tanh(x), approximate.numpy())
    largest, at = cells.gelu_error()
    assert largest == pytest.approx(4.73e-4, abs=1e-6) and at == pytest.approx(2.70, abs=0.01)


def test_the_greatest_slopes():
    found = cells.vanishing(3).set_index("activation")
    assert found["slope"].to_dict() == pytest.approx({"sigmoid": 0.25, "tanh": 1, "ReLU": 1})
    assert found["factor"]["sigmoid"] == pytest.approx(1 / 64)
