"""What windows of a photo show."""

import numpy as np
import pytest

from nbhelpers.lesson import windows


def test_a_gradient_has_nothing_beyond_it_and_a_checkerboard_all():
    rows, columns = np.mgrid[:5, :5]
    assert windows.beyond_a_gradient((0.1 * rows - 0.3 * columns)[None].astype(float)) < 1e-12
    assert windows.beyond_a_gradient(((rows + columns) % 2)[None].astype(float)) == pytest.approx(1)


def test_flat_windows_are_not_recognised_and_noise_is():
    assert windows.found_again(np.full((80, 80), 0.5), 7, count=100) < 0.1
    image = np.random.RandomState(0).rand(120, 120)
    assert windows.found_again(image, 15, count=50, noise=0.01) == 1


def test_larger_windows_of_the_photo_show_more():
    assert windows.photo().shape == (400, 341)
    found = windows.by_side((3, 11, 31))
    assert found["recognised"].is_monotonic_increasing and found["beyond a gradient"].is_monotonic_increasing
