"""Published numbers: the tables of ``published.json`` as tidy rows in our labels.

One mapping per study says which table holds what. A row is: our labels, `value`, `unit`, `n` (the repeats behind a
mean, 1 for a single run, None where they are not stated) and `source`.
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
        for row in table(LESSON, "assignment_notebook_curve"):
            yield {"arm": "the repaired net", "epoch": row["epoch"], "value": row[column], "unit": unit, "n": 1}

    return rows


def _resnet_rows() -> Iterator[Row]:
    curve = {row["epoch"]: row["test_acc_pct"] for row in table("resnet_cifar10", "resnet50_final_curve")}
    for row in table("resnet_cifar10", "description_results"):
        labels = {"net": _net(row["model"]), "epochs": row["epochs"], "parameters": row["parameters"]}
        labels |= {"train loss": row["train_loss"], "train %": row["train_acc_pct"], "test loss": row["test_loss"]}
        labels |= {"custom": row["custom_test_acc_pct"], "log": curve.get(row["epochs"]) == row["test_acc_pct"]}
        yield labels | {"value": row["test_acc_pct"], "n": 1}


def _net(model: str) -> str:
    return model.lower().replace("-", "")


def _resnet_curve(column: str, unit: str) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in table("resnet_cifar10", "resnet50_final_curve"):
            labels = {"net": "resnet50", "epochs": 300, "epoch": row["epoch"]}
            yield labels | {"value": row[column], "unit": unit, "n": 1}

    return rows


LESSON = "building_first_neural_networks"
SPELT = {"GoogleNet": "GoogLeNet"}


def _zoo_accuracy() -> Iterator[Row]:
    for row in table(LESSON, "survey_accuracy"):
        labels = {"family": SPELT.get(row["model"], row["model"]), "activation": row["activation"]}
        yield labels | {"value": row["acc_pct_mean"], "sd": row["acc_pct_std"], "n": None}  # repeats are not stated


def _zoo_seconds() -> Iterator[Row]:
    for row in table(LESSON, "survey_training_time"):
        labels = {"family": SPELT.get(row["model"], row["model"]), "activation": row["activation"]}
        yield labels | {"value": row["seconds"], "unit": "s", "n": None}


def _statement(number: int) -> Row:
    (found,) = (row for row in everything()["studies"][LESSON]["tables"]["statements"]["rows"] if row["id"] == number)
    return found


def _zoo_errors() -> Iterator[Row]:
    said, paper = _statement(21), everything()["provenance"][LESSON]["gelu_paper"]
    for row in table(LESSON, "gelu_test_error"):
        n = said["right"]["runs_cifar"] if row["dataset"].startswith("CIFAR") else said["quoted"]["runs"]
        for title in ("GELU", "ReLU", "ELU"):
            labels = {"data": row["dataset"], "activation": title}
            yield labels | {"value": row[f"{title.lower()}_pct"], "n": n, "source": paper}


def _zoo_factor() -> Iterator[Row]:
    labels = {"activation": "Tanh", "over": "ReLU", "source": everything()["provenance"][LESSON]["lesson"]}
    yield labels | {"value": _statement(16)["quoted"]["factor"], "unit": "×", "n": 1}


def _norm_steps(name: str, file: int) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for row in table("batchnorm_vs_groupnorm", f"{name}_steps_per_epoch"):
            yield {"batch_size": row["batch_size"], "file": file, "value": row["steps"], "unit": "steps", "n": 1}

    return rows


SETTINGS = {  # study -> the parameter sets with the settings that its published numbers come from
    "BatchNorm_vs_GroupNorm": ("ran", "ran_bf16", "ran_many_epochs"),
    "Conv_Activation_Norm_Position": ("ran", "ran_bf16"),
    "ImageNet_MLP_ScaledReLU": ("ran",),
}
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
            "baseline_steps": _norm_steps("baseline", 0),
            "many_epochs_steps": _norm_steps("many_epochs", 1),
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
    "ResNet_CIFAR10": (
        "resnet_cifar10",
        {
            "accuracy": _resnet_rows,
            "train_loss": _resnet_curve("train_loss", "nats"),
            "train_accuracy": _resnet_curve("train_acc_pct", "%"),
            "test_accuracy": _resnet_curve("test_acc_pct", "%"),
        },
    ),
    "Building_First_Neural_Networks": (
        f"{LESSON}/assignment_notebook",
        {
            "train_accuracy": _assignment("train_acc_pct"),
            "test_loss": _assignment("test_loss", "nats"),
            "test_accuracy": _assignment("test_acc_pct"),
        },
    ),
    "Activation_Zoo": (
        f"{LESSON}/survey",
        {"accuracy": _zoo_accuracy, "seconds": _zoo_seconds, "error": _zoo_errors, "factor": _zoo_factor},
    ),
}


def series(study: str, name: str):
    """The published series `name` of `study` as a DataFrame. ValueError for an unknown one, naming those there are."""
    import pandas as pd

    _, known = SERIES.get(study, ("", {}))
    if name not in known:
        raise ValueError(f"published: {name!r}: {study} has {', '.join(known) or 'no published numbers'}")
    found = origin(study)
    files = places_of(found)
    made = [{"unit": "%"} | row for row in known[name]()]
    return pd.DataFrame([{"source": f"{found['repository']}, {files[row.pop('file', 0)]}"} | row for row in made])


def note(study: str, name: str) -> str:
    """The note under the published table `name` of `study`."""
    return everything()["studies"][SERIES[study][0]]["tables"][name]["note"]


def origin(study: str) -> dict[str, Any]:
    """Where the description and the notebook of `study` were published: repository, file or paper, author, date."""
    found = everything()["provenance"]
    for key in SERIES[study][0].split("/"):
        found = found[key]
    return found


def places_of(origin: dict[str, Any]) -> list[str]:
    """The files of an origin, or its paper."""
    return origin.get("files") or [origin.get("file") or origin["paper"]]
