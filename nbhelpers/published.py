"""Published numbers: the tables of ``published.json`` as tidy rows in our labels.

One mapping per study says which table holds what. A row is: our labels, `value`, `unit`, `n` (the repeats behind a
mean, 1 for a single run) and `source`.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from nbhelpers import places

Row = dict[str, Any]


@cache
def everything() -> dict[str, Any]:
    """The content of ``published.json``."""
    return json.loads((places.PACKAGE / "published.json").read_text(encoding="utf-8"))


def table(study: str, name: str) -> list[Row]:
    """The rows of one table as dicts by column name."""
    found = everything()["studies"][study]["tables"][name]
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def _sigmoid_accuracy() -> Iterator[Row]:
    for row in table("sigmoid_vs_relu", "accuracy_summary"):
        for activation in ("sigmoid", "relu"):
            yield {"blocks": row["blocks"], "activation": activation, "value": row[f"{activation}_mean"], "n": 5}


def _sigmoid_repeats() -> Iterator[Row]:
    for row in table("sigmoid_vs_relu", "accuracy_by_repeat"):
        labels = {"blocks": row["blocks"], "activation": row["activation"].lower(), "repeat": row["repeat"]}
        yield labels | {"value": row["test_acc_pct"], "n": 1}


def _sigmoid_gap() -> Iterator[Row]:
    for row in table("sigmoid_vs_relu", "accuracy_summary"):
        yield {"blocks": row["blocks"], "value": row["relu_minus_sigmoid"], "unit": "points", "n": 5}


def _sigmoid_parameters() -> Iterator[Row]:
    for row in table("sigmoid_vs_relu", "parameter_counts"):
        yield {"blocks": row["blocks"], "value": row["parameters"], "unit": "parameters", "n": 1}


NORMS = {"batch": "batchnorm", "group": "groupnorm"}


def _norm_accuracy(name: str, file: int) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in table("batchnorm_vs_groupnorm", f"{name}_accuracy"):
            for norm, column in NORMS.items():
                labels = {"batch_size": row["batch_size"], "norm": norm, "file": file}
                yield labels | {"value": row[f"{column}_acc_pct"], "n": 1}

    return rows


def _norm_loss(name: str, file: int) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        norms = {"BatchNorm": "batch", "GroupNorm": "group"}
        for row in table("batchnorm_vs_groupnorm", f"{name}_train_loss"):
            labels = {"batch_size": row["batch_size"], "norm": norms[row["norm"]], "epoch": row["epoch"], "file": file}
            yield labels | {"value": row["mean_train_loss"], "unit": "nats", "n": 1}

    return rows


ORDERS = {
    "Conv->BN->ReLU": "conv-BN-ReLU",
    "Conv->ReLU->BN": "conv-ReLU-BN",
    "Conv->LeakyReLU->BN": "conv-LeakyReLU-BN",
}


def _order_accuracy() -> Iterator[Row]:
    for row in table("conv_activation_norm_position", "accuracy_summary"):
        yield {"order": ORDERS[row["order"]], "value": row["mean_acc_pct"], "n": 3}


def _order_repeats() -> Iterator[Row]:
    for row in table("conv_activation_norm_position", "accuracy_by_repeat"):
        yield {"order": ORDERS[row["order"]], "repeat": row["seed"], "value": row["test_acc_pct"], "n": 1}


def _order_loss() -> Iterator[Row]:
    for row in table("conv_activation_norm_position", "train_loss"):
        labels = {"order": ORDERS[row["order"]], "epoch": row["epoch"], "repeat": row["seed"]}
        yield labels | {"value": row["mean_train_loss"], "unit": "nats", "n": 1}


RECTIFIERS = {"ReLU": "ReLU", "Scaled ReLU (r=62)": "scaled ReLU"}


def _curve(column: str, unit: str) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in table("imagenet_mlp_scaled_relu", "curves"):
            labels = {"arm": RECTIFIERS[row["activation"]], "epoch": row["epoch"]}
            yield labels | {"value": row[column], "unit": unit, "n": 1}

    return rows


def _assignment(column: str, unit: str = "%") -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in table("building_first_neural_networks", "assignment_notebook_curve"):
            yield {"arm": "the repaired net", "epoch": row["epoch"], "value": row[column], "unit": unit, "n": 1}

    return rows


SERIES: dict[str, tuple[str, dict[str, Callable[[], Iterator[Row]]]]] = {
    "Sigmoid_vs_ReLU": (
        "sigmoid_vs_relu",
        {
            "accuracy": _sigmoid_accuracy,
            "repeats": _sigmoid_repeats,
            "gap": _sigmoid_gap,
            "parameters": _sigmoid_parameters,
        },
    ),
    "BatchNorm_vs_GroupNorm": (
        "batchnorm_vs_groupnorm",
        {
            "baseline": _norm_accuracy("baseline", 0),
            "many_epochs": _norm_accuracy("many_epochs", 1),
            "baseline_loss": _norm_loss("baseline", 0),
            "many_epochs_loss": _norm_loss("many_epochs", 1),
        },
    ),
    "Conv_Activation_Norm_Position": (
        "conv_activation_norm_position",
        {"accuracy": _order_accuracy, "repeats": _order_repeats, "train_loss": _order_loss},
    ),
    "ImageNet_MLP_ScaledReLU": (
        "imagenet_mlp_scaled_relu",
        {
            "train_loss": _curve("mean_train_loss", "nats"),
            "train_accuracy": _curve("train_acc_pct", "%"),
            "test_accuracy": _curve("val_acc_pct", "%"),
        },
    ),
    "Building_First_Neural_Networks": (
        "building_first_neural_networks",
        {
            "train_accuracy": _assignment("train_acc_pct"),
            "test_loss": _assignment("test_loss", "nats"),
            "test_accuracy": _assignment("test_acc_pct"),
        },
    ),
}


def series(study: str, name: str):
    """The published series `name` of `study` as a DataFrame. ValueError for an unknown one, naming those there are."""
    import pandas as pd

    _, known = SERIES.get(study, ("", {}))
    if name not in known:
        raise ValueError(f"published: {name!r}: {study} has {', '.join(known) or 'no published numbers'}")
    found = origin(study)
    files = found.get("files") or [found["file"]]
    made = [{"unit": "%"} | row for row in known[name]()]
    return pd.DataFrame([row | {"source": f"{found['repository']}, {files[row.pop('file', 0)]}"} for row in made])


def origin(study: str) -> dict[str, Any]:
    """Where the description and the notebook of `study` were published: repository, file, author, date."""
    found = everything()["provenance"][SERIES[study][0]]
    return found.get("assignment_notebook", found)
