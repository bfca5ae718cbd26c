"""Activations in a spreadsheet: filled anew, and the printed cells that are wrong found by computation."""

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from nbhelpers import published

TOLERANCE = 0.0011  # inputs and weight are printed with three decimals
COLUMNS = ("no_act", "relu", "sigmoid", "tanh")


def fill(inputs, weight: float) -> pd.DataFrame:
    """The sheet for inputs (n,): z = weight * input, then z itself, ReLU, sigmoid and tanh of it, a column each."""
    z = weight * np.asarray(inputs, float)
    return pd.DataFrame({"no_act": z, "relu": np.maximum(z, 0), "sigmoid": expit(z), "tanh": np.tanh(z)})


def wrong(printed: pd.DataFrame, weight: float) -> pd.DataFrame:
    """Which printed cells (columns `input`, `lesson_no_act` ...) are further than 0.0011 from the right value."""
    right = fill(printed["input"], weight)
    return pd.DataFrame({c: (printed[f"lesson_{c}"] - right[c]).abs() > TOLERANCE for c in COLUMNS})


def fitted_weight(printed: pd.DataFrame, shown: float = 0.511) -> float:
    """The weight, of those that print as `shown`, with the fewest wrong cells; of several the one in their middle."""
    candidates = np.round(np.arange(shown - 0.0005, shown + 0.0005, 0.0001), 4)
    counts = np.array([wrong(printed, weight).to_numpy().sum() for weight in candidates])
    best = candidates[counts == counts.min()]
    return float(best[len(best) // 2])


def marked(printed: pd.DataFrame, weight: float) -> pd.DataFrame:
    """The printed sheet with the right value behind every wrong cell: "0.842 ✗ 0.158"."""
    right, bad = fill(printed["input"], weight), wrong(printed, weight)
    table = pd.DataFrame({"input": printed["input"].map("{:.3f}".format)})
    for column in COLUMNS:
        cells = zip(printed[f"lesson_{column}"], right[column] + 0.0, bad[column], strict=True)
        table[column] = [f"{p:.3f} ✗ {r:.3f}" if no else f"{p:.3f}" for p, r, no in cells]
    return table.rename(columns={"no_act": "none"})


def mirrored(printed: pd.DataFrame, weight: float) -> int:
    """How many cells of the sigmoid column are the sigmoid of minus z, where the last input lost its minus sign."""
    inputs = printed["input"].to_numpy(float, copy=True)
    inputs[-1] = -inputs[-1]
    return int((np.abs(expit(-weight * inputs) - printed["lesson_sigmoid"]) <= TOLERANCE).sum())


def relu_example() -> tuple[int, int]:
    """Of how many printed values of ReLU on a map how many are right: (right, all)."""
    example = published.everything()["studies"]["building_first_neural_networks"]["tables"]["relu_layer_example"]
    right = np.maximum(np.array(example["input"]), 0) == np.array(example["output"])
    return int(right.sum()), right.size


def gelu(x):
    """x Φ(x), with Φ the distribution function of the normal distribution (arXiv:1606.08415)."""
    return x * ndtr(x)


def gelu_tanh(x):
    """The approximation x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) of the same paper."""
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_error() -> tuple[float, float]:
    """The largest difference between GELU and its tanh formula, and the |x| where it is, to 0.0001."""
    x = np.arange(0, 10, 0.0001)
    difference = np.abs(gelu(x) - gelu_tanh(x))
    return float(difference.max()), float(x[difference.argmax()])


def vanishing(depth: int) -> pd.DataFrame:
    """The largest factor that `depth` activations in a row can put on a gradient: their greatest slope to that power.

    Columns: activation, slope (the greatest, on a grid from -6 to 6 in steps of 0.001), factor.
    """
    z = np.arange(-6, 6.0005, 0.001)
    slopes = {"sigmoid": expit(z) * (1 - expit(z)), "tanh": 1 - np.tanh(z) ** 2, "ReLU": (z > 0).astype(float)}
    rows = [{"activation": name, "slope": float(s.max())} for name, s in slopes.items()]
    return pd.DataFrame([row | {"factor": row["slope"] ** depth} for row in rows])
