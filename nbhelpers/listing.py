"""What is recorded, what is missing, and about how long the rest takes: read from files alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nbhelpers import parameters, places, records


def rows(results: str = "") -> list[dict[str, str]]:
    """A row per study and parameter set: runs planned and recorded, state, and the time left on one CPU core.

    The time left is the plan's prediction, corrected by what the recorded runs took. "stale": tables and verdicts
    were made from other records than those that are there; the run command makes them anew.
    """
    found = []
    for study in parameters.studies():
        for name in parameters.sets(study):
            found.append({"study": study, "set": name} | _state(study, name, results))
    return found


def _state(study: str, name: str, results: str) -> dict[str, str]:
    folder = places.results(results) / study / name
    plan = {run["key"]: run for run in records.read_plan(folder)}
    if not plan:
        return {"runs": "", "recorded": "", "state": "never started", "left": ""}
    store, took = records.Store(folder), {}

    def found() -> Iterator[dict]:
        for key in plan:
            if record := store.load(key):
                took[key] = record["provenance"]["wall_seconds"]
                yield record

    digest = records.digest(found())  # one after the other: thousands need not be held at once
    left = sum(run["predicted_seconds"] for key, run in plan.items() if key not in took)
    predicted = sum(plan[key]["predicted_seconds"] for key in took)
    pace = sum(took.values()) / predicted if predicted else 1
    state = "complete" if len(took) == len(plan) else "interim" if took else "planned"
    state += ", stale" if records.stale(records.read(folder / "summary.json"), digest) else ""
    return {"runs": str(len(plan)), "recorded": str(len(took)), "state": state, "left": hours(left * pace)}


def hours(seconds: float) -> str:
    """A duration in the unit that suits it; empty for none."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s" if seconds else ""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def text(results: str = "") -> str:
    """The rows as a table of text."""
    table = [["study", "set", "runs", "recorded", "state", "left (one core)"]]
    table += [list(row.values()) for row in rows(results)]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
