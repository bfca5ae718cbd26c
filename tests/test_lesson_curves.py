"""A line, small nets and linear nets on curved data."""

import numpy as np
import pytest

from nbhelpers.lesson import curves


def test_the_slopes_of_the_small_net_are_those_of_what_is_squared():
    x, y = curves.points(20)
    net = curves.Net(x, y, 3)
    numbers = np.linspace(-1, 1, net.size)
    slopes = net._slopes(numbers, x, y)
    for i in range(net.size):
        shift = np.eye(net.size)[i] * 1e-6
        slope = (net._rest(numbers + shift, x, y) - net._rest(numbers - shift, x, y)) / 2e-6
        assert slopes[:, i] == pytest.approx(slope, abs=1e-6)


def test_a_small_net_is_fitted_to_the_end_and_so_the_same_on_every_machine():
    x, y = curves.points()
    net, moved = curves.Net(x, y, 8), curves.Net(x * (1 + 1e-14), y, 8)
    assert np.abs(net._slopes(net.numbers, x, y).T @ net._rest(net.numbers, x, y)).max() < 1e-8
    assert moved(x) == pytest.approx(net(x), abs=1e-5)


def test_more_numbers_fit_better_and_the_line_fits_worst():
    _, errors = curves.fits(widths=(1, 4))
    assert list(errors["numbers"]) == [2, 4, 13]
    assert errors["error on the points"].is_monotonic_decreasing
    assert errors["error on new points"].iloc[-1] < 0.15 < errors["error on new points"].iloc[0]


def test_linear_layers_collapse_and_train_to_the_line():
    assert curves.collapse() < 1e-10
    losses, line = curves.linear_descent()
    assert losses[-1] < losses[0] and losses[-1] == pytest.approx(line, abs=1e-6)
