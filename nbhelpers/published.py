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
}


def series(study: str, name: str):
    """The published series `name` of `study` as a DataFrame. ValueError for an unknown one, naming those there are."""
    import pandas as pd

    entry, known = SERIES.get(study, ("", {}))
    if name not in known:
        raise ValueError(f"published: {name!r}: {study} has {', '.join(known) or 'no published numbers'}")
    origin = everything()["provenance"][entry]
    source = f"{origin['repository']}, {origin.get('file') or origin['files'][0]}"
    return pd.DataFrame([{"unit": "%", "source": source} | row for row in known[name]()])


def origin(study: str) -> dict[str, Any]:
    """Where the description and the notebook of `study` were published: repository, file, author, date."""
    return everything()["provenance"][SERIES[study][0]]
