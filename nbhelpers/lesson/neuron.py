"""A neuron, and a small feed-forward net as a sheet: every weight, sum, activation and gradient with its formula.

The formula that a row shows is the one that its number is computed with.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch


def neuron(x, w, b: float) -> float:
    """tanh(w_1 x_1 + ... + w_n x_n + b): inputs x (n,), weights w (n,), one bias."""
    return float(np.tanh(np.dot(np.asarray(w, float), np.asarray(x, float)) + b))


def as_written(x, w, b) -> float:
    """The lesson's formula, tanh((w_1 + b_1) + ... + (w_n + b_n)): the inputs x (n,) are not in it."""
    return float(np.tanh(np.sum(np.asarray(w, float) + np.asarray(b, float))))


INPUTS = {"x1": 0.05, "x2": 0.1, "t1": 0.01, "t2": 0.99}  # two inputs, two targets
WEIGHTS = {"w1": 0.15, "w2": 0.2, "w3": 0.25, "w4": 0.3, "w5": 0.4, "w6": 0.45, "w7": 0.5, "w8": 0.55}
WEIGHTS |= {"b1": 0.35, "b2": 0.35, "b3": 0.6, "b4": 0.6}
FORWARD = {
    "h1": "w1*x1 + w2*x2 + b1",
    "h2": "w3*x1 + w4*x2 + b2",
    "a1": "sigmoid(h1)",
    "a2": "sigmoid(h2)",
    "o1": "w5*a1 + w6*a2 + b3",
    "o2": "w7*a1 + w8*a2 + b4",
    "y1": "sigmoid(o1)",
    "y2": "sigmoid(o2)",
    "E": "(y1 - t1)**2 / 2 + (y2 - t2)**2 / 2",
}
STEP = 0.5  # the learning rate: times the gradient
BACKWARD = {  # the chain rule, from the error back: dE/do1 is written do1
    "do1": "(y1 - t1) * y1*(1 - y1)",
    "do2": "(y2 - t2) * y2*(1 - y2)",
    "dh1": "(do1*w5 + do2*w7) * a1*(1 - a1)",
    "dh2": "(do1*w6 + do2*w8) * a2*(1 - a2)",
    **{"dw5": "do1*a1", "dw6": "do1*a2", "dw7": "do2*a1", "dw8": "do2*a2", "db3": "do1", "db4": "do2"},
    **{"dw1": "dh1*x1", "dw2": "dh1*x2", "dw3": "dh2*x1", "dw4": "dh2*x2", "db1": "dh1", "db2": "dh2"},
}


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + math.exp(-x))


def evaluate(formulas: Mapping[str, str], values: Mapping[str, Any], sigmoid=sigmoid) -> dict[str, Any]:
    """`values` with those of `formulas`, row by row, each from what stands above it. NameError for an unknown name."""
    known = dict(values)
    for name, formula in formulas.items():
        known[name] = eval(formula, {"__builtins__": {}, "sigmoid": sigmoid}, known)
    return known


def sheet(weights: Mapping[str, float] = WEIGHTS) -> pd.DataFrame:
    """The net with two inputs, two hidden and two output neurons, as a sheet: columns cell, what, formula, value.

    what: "input", "weight", "forward", or "backward" (the gradient of the error E for the cell after the "d").
    """
    values = evaluate(BACKWARD, evaluate(FORWARD, {**INPUTS, **weights}))
    kinds = {"input": INPUTS, "weight": weights, "forward": FORWARD, "backward": BACKWARD}
    rows = [
        {"cell": cell, "what": what, "formula": cells[cell] if isinstance(cells[cell], str) else "", "value": value}
        for cell, value in values.items()
        for what, cells in kinds.items()
        if cell in cells
    ]
    return pd.DataFrame(rows)


def as_grid(made: pd.DataFrame) -> pd.DataFrame:
    """A sheet with its columns side by side, for reading: inputs and weights, forward, backward."""
    text = made.assign(
        text=[f"{c} = {f + ' = ' if f else ''}{v:.6f}" for c, f, v in made[["cell", "formula", "value"]].to_numpy()]
    )
    given = text[text.what.isin(["input", "weight"])]["text"]
    columns = {"given": given, **{w: text[text.what == w]["text"] for w in ("forward", "backward")}}
    return pd.DataFrame({name: pd.Series(list(column)) for name, column in columns.items()}).fillna("")


def autograd_difference(weights: Mapping[str, float] = WEIGHTS) -> float:
    """The largest difference between the backward rows of the sheet and torch's gradients, in float64."""
    leaves = {name: torch.tensor(v, dtype=torch.float64, requires_grad=True) for name, v in weights.items()}
    evaluate(FORWARD, {**INPUTS, **leaves}, sigmoid=torch.sigmoid)["E"].backward()
    ours = sheet(weights).set_index("cell")["value"]
    return max(abs(ours[f"d{name}"] - leaf.grad.item()) for name, leaf in leaves.items())


def stepped(weights: Mapping[str, float] = WEIGHTS, lr: float = STEP) -> dict[str, float]:
    """The weights after one step of gradient descent: each minus lr times its gradient."""
    values = sheet(weights).set_index("cell")["value"]
    return {name: value - lr * values[f"d{name}"] for name, value in weights.items()}


def error(weights: Mapping[str, float] = WEIGHTS) -> float:
    """The error E of the sheet."""
    return float(evaluate(FORWARD, {**INPUTS, **weights})["E"])
