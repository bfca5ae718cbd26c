"""Recorded runs and published values as rows, for the tests of tables."""

import pandas as pd

T2 = 4.302652729911275  # the 97.5% quantile of Student's t with 2 degrees of freedom
ARM = ["blocks", "activation"]


def frame(**arms) -> pd.DataFrame:
    """``frame(relu=[20, 22, 24])``: a run with 1 block per activation and accuracy, seeds from 0."""
    rows = [
        {"blocks": 1, "activation": activation, "seed": seed, "test_accuracy": float(accuracy), "train_loss": 2.0}
        | {"parameters": 1290, "seconds": 1.0 + seed**2, "status": "done", "classes": 10, "test_images": 1000}
        for activation, accuracies in arms.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    made = pd.DataFrame(rows)
    made.attrs["labels"] = ARM
    return made


def theirs(activation: str, *values: float, n: int = 5) -> pd.DataFrame:
    """Published values of an activation at 1 block."""
    return pd.DataFrame([{"blocks": 1, "activation": activation, "value": value, "n": n} for value in values])
