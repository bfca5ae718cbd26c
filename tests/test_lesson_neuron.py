"""A neuron and the sheet: each gradient against autograd and against differences."""

import numpy as np
import pytest
import torch

from nbhelpers.lesson import neuron


def test_a_neuron_is_tanh_of_the_weighted_sum_and_one_bias():
    assert neuron.neuron([1, 2], [0.5, -0.25], 0.3) == pytest.approx(np.tanh(0.3))
    assert neuron.as_written([1, 2], [0.5, -0.25], [0.1, 0.1]) == neuron.as_written([9, 9], [0.5, -0.25], [0.1, 0.1])


def test_the_gradients_by_hand_are_those_of_autograd():
    assert neuron.autograd_difference() < 1e-10
    other = {name: value * (-1) ** i * 3 for i, (name, value) in enumerate(neuron.WEIGHTS.items())}
    assert neuron.autograd_difference(other) < 1e-10


def test_the_sheet_is_a_net_of_torch_and_its_gradients_differences():
    w = neuron.WEIGHTS
    x, target = torch.tensor([0.05, 0.1]).double(), torch.tensor([0.01, 0.99]).double()
    hidden = torch.sigmoid(torch.tensor([[w["w1"], w["w2"]], [w["w3"], w["w4"]]]).double() @ x + w["b1"])
    y = torch.sigmoid(torch.tensor([[w["w5"], w["w6"]], [w["w7"], w["w8"]]]).double() @ hidden + w["b3"])
    assert neuron.error() == pytest.approx(((y - target) ** 2).sum().item() / 2, abs=1e-7)
    values = neuron.sheet().set_index("cell")["value"]
    for name in w:
        up, down = (neuron.error({**w, name: w[name] + shift}) for shift in (1e-5, -1e-5))
        assert values[f"d{name}"] == pytest.approx((up - down) / 2e-5, abs=1e-9)


def test_a_step_lowers_the_error_and_moves_every_weight():
    after = neuron.stepped(lr=0.5)
    assert neuron.error(after) < neuron.error()
    assert all(after[name] != value for name, value in neuron.WEIGHTS.items())


def test_every_cell_of_the_sheet_shows_the_formula_that_it_has():
    made = neuron.sheet()
    assert len(made) == len(neuron.INPUTS) + len(neuron.WEIGHTS) + len(neuron.FORWARD) + len(neuron.BACKWARD)
    grid = neuron.as_grid(made)
    assert any("E = (y1 - t1)**2 / 2 + (y2 - t2)**2 / 2 = 0.29" in text for text in grid["forward"])
