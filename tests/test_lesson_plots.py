"""The lesson's pictures show what they are given."""

import base64

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from nbhelpers.lesson import curves, listings, positions, strides, windows
from nbhelpers.plots import lesson as draw


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_fits_have_a_panel_per_model_with_its_line():
    x, y = curves.points()
    figure = draw.fits(x, y, {"line": curves.line(x, y), "other": np.sin}, title="found")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["line", "other"]
    grid, line = figure.axes[1].lines[0].get_data()
    assert np.allclose(line, np.sin(grid)) and figure._suptitle.get_text() == "found"


def test_square_waves_name_their_number_of_sines():
    x = np.linspace(0, 6, 50)
    figure = draw.square_waves(x, {1: np.sin(x), 3: x})
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["1 sine", "3 sines"]
    assert np.allclose(figure.axes[1].lines[1].get_ydata(), x)


def test_windows_are_cut_around_the_centre():
    image, found = windows.photo(), windows.by_side((3, 7))
    figure = draw.through_windows(image, found, centre=(100, 120))
    assert np.array_equal(figure.axes[1].images[0].get_array(), image[99:102, 119:122])
    assert np.array_equal(figure.axes[2].images[0].get_array(), image[97:104, 117:124])
    assert figure.axes[0].patches[0].get_xy() == (117, 97)
    assert list(figure.axes[3].lines[0].get_ydata()) == list(found["recognised"])


def test_fields_stand_beside_each_other():
    listing = listings.beside("receptive_field")
    lines = draw.fields(listing).axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [
        list(listing[column]) for column in ("lesson's field", "field", "measured")
    ]


def test_maps_write_their_numbers():
    figure = draw.maps({"a": strides.coverage(4, 3, 1), "b": np.ones((2, 2))})
    assert [text.get_text() for text in figure.axes[0].texts] == [f"{v}" for v in strides.coverage(4, 3, 1).ravel()]


def test_codes_are_shown_position_by_position():
    added = {"waves": positions.codes(5, 4, "waves")}
    axis = draw.codes(added).axes[0]
    assert np.allclose(axis.images[0].get_array(), added["waves"]) and axis.get_ylim() == (5.5, 0.5)


def test_the_word_map_does_not_depend_on_the_sign_of_a_vector():
    vectors = np.random.RandomState(0).standard_normal((6, 3))
    places = [[text.get_position() for text in draw.word_map("abcdef", v).axes[0].texts] for v in (vectors, -vectors)]
    assert np.allclose(*places) and len(places[0]) == 6


def test_kernels_and_favourites_have_a_row_per_layer():
    pixels = np.arange(2 * 1 * 2 * 2, dtype=np.uint8)
    entry = {"shape": [2, 1, 2, 2], "pixels": base64.b64encode(pixels.tobytes()).decode()}
    figure = draw.kernels(np.random.RandomState(0).rand(3, 1, 3, 3).tolist(), {"conv1": entry, "conv2": entry})
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 3 + 2 + 2
    assert np.allclose(shown[4].images[0].get_array(), pixels[4:].reshape(2, 2) / 255)
    assert [axis.get_ylabel() for axis in shown if axis.get_ylabel()] == ["first kernels", "conv1", "conv2"]


def test_fields_of_a_frame_keep_their_names():
    frame = pd.DataFrame({"layer": ["a"], "lesson's field": [3], "field": [3], "measured": [3]})
    assert [tick.get_text() for tick in draw.fields(frame).axes[0].get_xticklabels()] == ["a"]
