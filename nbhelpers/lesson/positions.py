"""Positions added to elements: plain numbers against sinusoidal codes."""

import numpy as np
import pandas as pd
import torch

from nbhelpers.models.modules import Positions
from nbhelpers.streams import stream


def codes(count: int, width: int, kind: str) -> np.ndarray:
    """What `modules.Positions` adds at positions 1 ... count to elements of `width` numbers: (count, width)."""
    return Positions(kind)(torch.zeros((1, width, 1, count), dtype=torch.float64))[0, :, 0].T.numpy()


def distortion(count: int = 40, width: int = 32, seed: int = 0) -> pd.DataFrame:
    """What adding positions does to random elements of mean 0 and sd 1: a row per kind.

    Columns: mean, sd and largest absolute value after adding; kept, the squared correlation with what was there
    before, in per cent; order, `order_matters`.
    """
    elements = stream(seed, "lesson/positions").standard_normal((count, width))
    kinds = {"none": 0.0, "counted": codes(count, width, "counted"), "waves": codes(count, width, "waves")}
    rows = []
    for kind, added in kinds.items():
        made = elements + added
        kept = 100 * float(np.corrcoef(made.ravel(), elements.ravel())[0, 1]) ** 2
        row = {"positions": kind, "mean": made.mean(), "sd": made.std(), "largest": np.abs(made).max(), "kept": kept}
        rows.append(row | {"order": order_matters(kind)})
    return pd.DataFrame(rows)


def order_matters(kind: str, count: int = 40, width: int = 32, seed: int = 0) -> float:
    """How much the mean of a layer over all elements changes when these change places: the largest difference.

    The layer is one matrix and a ReLU, the same at every place, so that without positions nothing can change but
    rounding.
    """
    draws = stream(seed, "lesson/order")
    elements, matrix = draws.standard_normal((count, width)), draws.standard_normal((width, width)) / np.sqrt(width)
    added = 0.0 if kind == "none" else codes(count, width, kind)

    def pooled(rows: np.ndarray) -> np.ndarray:
        return np.maximum((rows + added) @ matrix, 0).mean(0)

    return float(np.abs(pooled(elements) - pooled(elements[draws.permutation(count)])).max())
