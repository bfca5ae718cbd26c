"""How soon a run gets somewhere: steps until its training error falls to a given one."""

import numpy as np
import pandas as pd


def steps_to(df: pd.DataFrame, error: float, steps: int) -> pd.DataFrame:
    """For each run, the training steps until its training error is at most `error`, per cent, counted while training.

    steps: of an epoch, after which the error is known. A run that never gets there has all its steps, a lower bound,
    and `reached` False. The result has the labels, seed, value, at_chance and reached: a contrast of single arms.
    """
    labels, rows = list(df.attrs["labels"]), []
    for _, run in df.iterrows():
        errors = np.array([100 - float(row["train_accuracy"]) for row in run["history"]])
        there = np.flatnonzero(errors <= error)
        epochs = there[0] + 1 if len(there) else len(errors)
        own = {label: run[label] for label in [*labels, "seed"]}
        rows.append(
            own | {"value": float(epochs * steps), "images": None, "at_chance": "0", "reached": bool(len(there))}
        )
    frame = pd.DataFrame(rows, columns=[*labels, "seed", "value", "images", "at_chance", "reached"])
    frame.attrs = {"labels": labels, "unit": "steps"}
    return frame


def ratio(steps: pd.DataFrame, column: str, a, b) -> pd.DataFrame:
    """The steps of `column` = a over those of b, for each other label and seed: a contrast.

    `reached` is whether both got there. ValueError where no seed has both.
    """
    others = [label for label in steps.attrs["labels"] if label != column]
    left, right = (steps[steps[column] == wanted].drop(columns=column) for wanted in (a, b))
    both = left.merge(right, on=[*others, "seed"], suffixes=("", "_b"))
    if both.empty:
        raise ValueError(f"no seed has both {column}={a} and {column}={b} with the other labels equal")
    frame = both[[*others, "seed"]].assign(
        value=both["value"] / both["value_b"],
        images=None,
        at_chance="0",
        reached=both["reached"] & both["reached_b"],
    )
    frame.attrs = {"labels": others, "unit": "×"}
    return frame
