"""Positions added to elements, counted and as waves."""

import numpy as np

from nbhelpers.lesson import positions


def test_counted_positions_hide_the_elements_and_waves_do_not():
    found = positions.distortion().set_index("positions")
    assert found["kept"]["counted"] < 5 < 50 < found["kept"]["waves"] < found["kept"]["none"] + 1e-9
    assert np.array_equal(positions.codes(4, 3, "counted"), np.repeat([[1], [2], [3], [4]], 3, axis=1))


def test_order_matters_only_with_positions():
    assert positions.order_matters("none") < 1e-12
    assert min(positions.order_matters(kind) for kind in ("counted", "waves")) > 1e-3
