"""What a small window sees of a real photo: the portrait of Grace Hopper that ships with matplotlib."""

from functools import cache

import numpy as np
import pandas as pd
from matplotlib import cbook
from PIL import Image

from nbhelpers.streams import stream


def photo(height: int = 400) -> np.ndarray:
    """The photo in grey, `height` pixels high, as float64 in [0, 1] (height, width)."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        picture = Image.open(file).convert("L")
        width = round(height * picture.width / picture.height)
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), float) / 255


def patches(image: np.ndarray, side: int, corners: np.ndarray) -> np.ndarray:
    """Windows of `side` pixels at `corners` (n, 2), rows and columns: (n, side, side)."""
    return np.stack([image[top : top + side, left : left + side] for top, left in corners])


def beyond_a_gradient(windows: np.ndarray) -> float:
    """The share of the variance within windows (n, side, side) that a plane, grey rising in one direction, leaves."""
    n, side, _ = windows.shape
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    basis = np.stack([np.ones(side * side), rows.ravel(), columns.ravel()], 1)
    flat = windows.reshape(n, -1)
    centred = flat - flat.mean(1, keepdims=True)
    rest = flat - flat @ basis @ np.linalg.pinv(basis)
    return float((rest**2).sum() / (centred**2).sum())


def found_again(image: np.ndarray, side: int, count: int = 400, noise: float = 0.1, seed: int = 0) -> float:
    """The share of `count` windows that are recognised: nearest among all of them after noise and a shift of light.

    Each window gets normal noise of sd `noise` (the whole range of grey is 1), both copies lose their mean, and the
    nearest by squared distance is named. A flat window looks like any other; one with a pattern of its own does not.
    """
    draws = stream(seed, "lesson/windows")
    corners = draws.randint(0, np.array(image.shape) - 31, (count, 2))  # the same places for every side up to 31
    seen = patches(image, side, corners + (31 - side) // 2).reshape(count, -1)
    noisy = seen + noise * draws.standard_normal(seen.shape)
    seen, noisy = (part - part.mean(1, keepdims=True) for part in (seen, noisy))
    distance = (seen**2).sum(1) - 2 * noisy @ seen.T
    return float((distance.argmin(1) == np.arange(count)).mean())


@cache
def by_side(sides=(3, 5, 7, 9, 11, 15, 21, 31)) -> pd.DataFrame:
    """For windows of each side: per cent of variance beyond a gradient, per cent recognised."""
    image = photo()
    corners = stream(0, "lesson/places").randint(0, np.array(image.shape) - 31, (2000, 2))
    return pd.DataFrame(
        {
            "side": side,
            "beyond a gradient": 100 * beyond_a_gradient(patches(image, side, corners + (31 - side) // 2)),
            "recognised": 100 * found_again(image, side),
        }
        for side in sides
    )
