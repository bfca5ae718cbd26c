"""A line, small nets and linear nets on curved data."""

import numpy as np
import pytest

from nbhelpers.lesson import curves


def test_the_gradient_of_the_small_net_is_the_slope_of_its_loss():
    x, y = curves.points(20)
    net = curves.Net(x, y, 3)
    numbers = np.linspace(-1, 1, net.size)
    _, gradient = net._loss(numbers, x, y)
    for i in range(net.size):
        shift = np.eye(net.size)[i] * 1e-6
        slope = (net._loss(numbers + shift, x, y)[0] - net._loss(numbers - shift, x, y)[0]) / 2e-6
        assert gradient[i] == pytest.approx(slope, abs=1e-6)


def test_more_numbers_fit_better_and_the_line_fits_worst():
    _, errors = curves.fits(widths=(1, 4))
    assert list(errors["numbers"]) == [2, 4, 13]
    assert errors["error on the points"].is_monotonic_decreasing
    assert errors["error on new points"].iloc[-1] < 0.15 < errors["error on new points"].iloc[0]


def test_linear_layers_collapse_and_train_to_the_line():
    assert curves.collapse() < 1e-10
    losses, line = curves.linear_descent()
    assert losses[-1] < losses[0] and losses[-1] == pytest.approx(line, abs=1e-6)
