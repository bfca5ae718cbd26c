"""A line and small nets on curved data, and what a net without activations can and cannot do. All in float64."""

from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from nbhelpers.streams import stream

DECAY = 1e-6


def points(n: int = 60, noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n points on a curve, x in [-3, 3] rising and y = sin(2x) exp(-x²/6), with normal noise of that sd on y."""
    draws = stream(seed, "lesson/curve")
    x = np.sort(draws.uniform(-3, 3, n))
    return x, curve(x) + noise * draws.standard_normal(n)


def curve(x: np.ndarray) -> np.ndarray:
    """The curve behind the points."""
    return np.sin(2 * x) * np.exp(-(x**2) / 6)


def line(x: np.ndarray, y: np.ndarray):
    """The straight line with the least squared error, as a function of x."""
    slope, intercept = np.polyfit(x, y, 1)
    return lambda new: slope * np.asarray(new) + intercept


class Net:
    """A net with one input, `width` tanh neurons and one output, fitted to points by least squares.

    Its 3·width + 1 numbers start from a stream of `seed`; Levenberg-Marquardt, with the slopes by hand, takes them to
    a minimum of the mean squared error plus `DECAY` times their squares, which keeps it from wandering off. It goes
    all the way down: what stops early stops elsewhere on the next machine.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, width: int, seed: int = 0):
        self.width = width
        start = stream(seed, f"lesson/net/{width}").standard_normal(self.size)
        exact = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 5000}
        self.numbers = least_squares(self._rest, start, self._slopes, method="lm", args=(x, y), **exact).x

    @property
    def size(self) -> int:
        """How many weights and biases it has."""
        return 3 * self.width + 1

    def _parts(self, numbers):
        return *np.split(numbers[:-1], 3), numbers[-1]

    def _rest(self, numbers, x, y):
        """What the sum of squares is made of."""
        w, b, v, c = self._parts(numbers)
        off = np.tanh(np.outer(x, w) + b) @ v + c - y
        return np.concatenate([off / np.sqrt(len(x)), np.sqrt(DECAY) * numbers])

    def _slopes(self, numbers, x, y):
        """Its slopes in each of the numbers."""
        w, b, v, _ = self._parts(numbers)
        a = np.tanh(np.outer(x, w) + b)
        back = v * (1 - a**2)
        of_fit = np.concatenate([x[:, None] * back, back, a, np.ones((len(x), 1))], axis=1)
        return np.concatenate([of_fit / np.sqrt(len(x)), np.sqrt(DECAY) * np.eye(len(numbers))])

    def __call__(self, x) -> np.ndarray:
        w, b, v, c = self._parts(self.numbers)
        return np.tanh(np.outer(x, w) + b) @ v + c


@cache
def fits(widths=(1, 2, 4, 8), n: int = 60, noise: float = 0.1) -> tuple[dict, pd.DataFrame]:
    """A line and a net of each width on the points: name -> function, and a table of their errors.

    Columns: model, numbers (that were fitted), error on the points and on 1,000 new ones (root mean square, in units
    of y; the noise is what no model can get below on new points).
    """
    x, y = points(n, noise)
    new_x, new_y = points(1000, noise, seed=1)
    models = {"line": line(x, y), **{f"net of {w} tanh": Net(x, y, w) for w in widths}}
    rows = []
    for name, model in models.items():
        row = {"model": name, "numbers": getattr(model, "size", 2)}
        errors = [float(np.sqrt(np.mean((model(a) - b) ** 2))) for a, b in ((x, y), (new_x, new_y))]
        rows.append(row | dict(zip(("error on the points", "error on new points"), errors, strict=True)))
    return models, pd.DataFrame(rows)


def collapse(widths=(4, 16, 16, 3), seed: int = 0) -> float:
    """The largest difference between a net of linear layers without activations and the one layer that they make."""
    draws = stream(seed, "lesson/collapse")
    layers = [(draws.standard_normal((b, a)), draws.standard_normal(b)) for a, b in pairwise(widths)]
    x = draws.standard_normal((100, widths[0]))
    y, matrix, bias = x, np.eye(widths[0]), np.zeros(widths[0])
    for weight, shift in layers:
        y = y @ weight.T + shift
        matrix, bias = weight @ matrix, weight @ bias + shift
    return float(np.abs(y - (x @ matrix.T + bias)).max())


def linear_descent(lr: float = 0.05, steps: int = 2000) -> tuple[np.ndarray, float]:
    """Backpropagation through two linear layers in a row on the points: y = v (w x + b) + c.

    The mean squared error before every step (steps + 1,), and that of the least-squares line.
    """
    x, y = points()
    w, b, v, c = 0.5, 0.0, 0.5, 0.0
    losses = np.empty(steps + 1)
    for i in range(steps + 1):
        hidden = w * x + b
        off = v * hidden + c - y
        losses[i] = np.mean(off**2)
        dv, dc, dh = 2 * np.mean(off * hidden), 2 * np.mean(off), 2 * off * v / len(x)
        w, b, v, c = w - lr * (dh @ x), b - lr * dh.sum(), v - lr * dv, c - lr * dc
    return losses, float(np.mean((line(x, y)(x) - y) ** 2))
