"""Runs that do nothing: what is left of a sweep is what it costs to hand out, send back, and record."""

import json
from functools import cache
from pathlib import Path
from typing import Any

PATTERN = Path(__file__).resolve().parent.parent / "results" / "Sigmoid_vs_ReLU" / "ran" / "runs"
LABELS = {"blocks": 2, "activation": "relu"}


@cache
def pattern() -> dict[str, Any]:
    """A committed record, of a usual size."""
    return json.loads(min(PATTERN.glob("*.json")).read_text(encoding="utf-8"))


def nothing(run: Any, **_: Any) -> dict[str, Any]:
    """In place of `launch.attempt`: a record of a usual size, at once."""
    return pattern() | {"key": run.key, "run": run.canonical()}


def runs(count: int) -> list[Any]:
    """So many runs, which differ in their seed."""
    from nbhelpers.models import MLP
    from nbhelpers.run import Data, Recipe, Run

    data = Data(name="shapes", classes=3, size=8, per_class=10, test_per_class=10)
    common = {"data": data, "model": MLP(hidden=(4,)), "recipe": Recipe(lr=0.05, epochs=1, batch_size=16)}
    return [Run(seed=seed, labels=LABELS, **common) for seed in range(count)]
