"""Waves: the overshoot, and the convolution theorem."""

import numpy as np
import pytest

from nbhelpers.lesson import fourier


def test_the_overshoot_is_the_highest_point_and_tends_to_gibbs():
    x = np.linspace(0, np.pi / 2, 20001)
    for terms in (1, 4, 9):
        assert fourier.overshoot(terms) == pytest.approx(50 * (fourier.square_wave(x, terms).max() - 1), abs=1e-4)
    assert fourier.gibbs() == pytest.approx(8.9490, abs=1e-4)
    assert fourier.overshoot(2000) == pytest.approx(fourier.gibbs(), abs=1e-4)


def test_the_convolution_theorem_holds_to_rounding():
    assert fourier.convolution_theorem() < 1e-10
    assert fourier.convolution_theorem(side=7, kernel=3, seed=4) < 1e-10
