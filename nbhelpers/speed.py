"""How soon a run gets somewhere: steps until its training error falls to a given one, and the ratio of two runs'."""

import numpy as np
import pandas as pd


def errors(history) -> np.ndarray:
    """The training error after each epoch, per cent, counted while training."""
    return np.array([100 - float(row["train_accuracy"]) for row in history])


def never(df: pd.DataFrame, column: str, error: float) -> pd.Series:
    """How many runs of each arm of `column` never have a training error of `error` per cent or less."""
    return df["history"].map(lambda history: errors(history).min() > error).groupby(df[column], sort=False).sum()


def ratio(df: pd.DataFrame, column: str, a, b, error: float) -> pd.DataFrame:
    """The steps of `column` = a until a training error, over those of b, for each other label and seed: a contrast.

    All runs take equally many steps an epoch, after which the error is known. The error is `error` where both runs get
    there, else the lowest that both reach: a run that is too slow for `error` would else have no number, or only a
    bound. `reached` says which. ValueError where no seed has both.
    """
    others = [label for label in df.attrs["labels"] if label != column]
    left, right = (df[df[column] == wanted][[*others, "seed", "history"]] for wanted in (a, b))
    both = left.merge(right, on=[*others, "seed"], suffixes=("", "_b"))
    if both.empty:
        raise ValueError(f"no seed has both {column}={a} and {column}={b} with the other labels equal")
    rows = []
    for _, row in both.iterrows():
        pair = [errors(row["history"]), errors(row["history_b"])]
        lowest = max(found.min() for found in pair)
        first = [int(np.argmax(found <= max(error, lowest))) + 1 for found in pair]
        own = {label: row[label] for label in [*others, "seed"]} | {"value": first[0] / first[1], "images": None}
        rows.append(own | {"at_chance": "0", "reached": bool(lowest <= error)})
    frame = pd.DataFrame(rows)
    frame.attrs = {"labels": others, "unit": "×"}
    return frame
