"""1x1 convolutions, and how far a channel is suppressed."""

import pytest

from nbhelpers.lesson import pointwise


def test_one_by_one_is_a_matrix_product():
    assert pointwise.matrix_difference() < 1e-10
    assert pointwise.cost(32, 10, 4) == {"output": [32, 32, 4], "weights": 40, "multiply_accumulates": 40960}


def test_how_far_a_channel_is_suppressed():
    def probes(after):
        return {"background_channel@1": {"initial": {"before": [[1, -1], [1, 1]], "after": after}}}

    assert pointwise.suppressed(probes([[1, 0], [1, 0]])) == 100
    assert pointwise.noise_shares(probes([[3, 0], [2, 5]])) == (50, 50)
    assert pointwise.suppressed(probes([[-2, 2], [2, 2]])) == pytest.approx(0)
