"""Positions added to elements, counted and as waves."""

import numpy as np

from nbhelpers.lesson import positions


def test_counted_positions_hide_the_elements_and_waves_do_not():
    found = positions.distortion().set_index("positions")
    assert found["kept"]["counted"] < 5 < 50 < found["kept"]["waves"] < found["kept"]["none"] + 1e-9
    assert np.array_equal(positions.codes(4, 3, "counted"), np.repeat([[1], [2], [3], [4]], 3, axis=1))


def test_where_an_element_stood_comes_back_with_positions_alone():
    found = positions.halves(seeds=1)
    assert abs(found["none"][0] - 50) < 5 and min(found["counted"][0], found["waves"][0]) > 65
    assert positions.halves(("waves",), seeds=1)["waves"] == found["waves"]
    said = positions.come_back(found)
    assert "of 1 seeds" in said and "the net guesses; with counted and with waves the place comes back" in said
    lost = positions.come_back({"none": [50.0, 51.0], "counted": [90.0, 52.0], "waves": [70.0, 71.0]})
    assert "with waves the place comes back" in lost and "with counted" not in lost
    assert "no kind brings the place back" in positions.come_back({"none": [50.0], "waves": [50.0]})


def test_order_matters_only_with_positions():
    assert positions.order_matters("none") < 1e-12
    assert min(positions.order_matters(kind) for kind in ("counted", "waves")) > 1e-3
