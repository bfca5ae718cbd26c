"""The two published comparisons of activations that the lesson repeats, read again."""

import re

import pandas as pd

from nbhelpers import published
from nbhelpers.lesson.listings import STUDY


def winners() -> pd.DataFrame:
    """The survey of 18 activations, a row per net: the best activations with their accuracy (per cent), ReLU's, how far
    ReLU is behind, its rank, and its training time over that of the fastest.
    """
    accuracy = pd.DataFrame(published.table(STUDY, "survey_accuracy")).set_index(["model", "activation"])[
        "acc_pct_mean"
    ]
    seconds = pd.DataFrame(published.table(STUDY, "survey_training_time")).set_index(["model", "activation"])["seconds"]
    rows = []
    for model, own in accuracy.groupby(level="model", sort=False):
        own, time = own.droplevel("model"), seconds[model]
        best = " and ".join(own.index[own == own.max()])
        row = {"net": model, "best": best, "accuracy": own.max(), "ReLU": own["ReLU"]}
        row |= {"behind": round(own.max() - own["ReLU"], 2), "rank of ReLU": int((own > own["ReLU"]).sum()) + 1}
        rows.append(row | {"ReLU's time / fastest": round(time["ReLU"] / time.min(), 3)})
    return pd.DataFrame(rows)


def gelu_runs() -> tuple[int, int]:
    """Of how many runs the lesson says the medians of `gelu_errors` are, and the paper says those of CIFAR are."""
    numbers = {"three": 3, "four": 4, "five": 5}
    rows = published.everything()["studies"][STUDY]["tables"]["statements"]["rows"]
    entry = next(row for row in rows if "runs_cifar" in row["right"])
    stated = re.search(r"medians of (\w+) runs", entry["statement"])[1]
    return numbers[stated], entry["right"]["runs_cifar"]


def gelu_errors() -> pd.DataFrame:
    """GELU against ReLU and ELU: test errors (per cent), and by how much GELU's is lower."""
    table = pd.DataFrame(published.table(STUDY, "gelu_test_error"))
    names = {"dataset": "task", "gelu_pct": "GELU", "relu_pct": "ReLU", "elu_pct": "ELU"}
    table = table[list(names)].rename(columns=names)
    for other in ("ReLU", "ELU"):
        table[f"{other} − GELU"] = (table[other] - table["GELU"]).round(2)
    return table
