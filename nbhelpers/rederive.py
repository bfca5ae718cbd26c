"""What ``summary.json`` tells of a set, derived again: the notebook shows the records, and trains nothing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nbhelpers import papermill_run, parameters, records
from nbhelpers.errors import OneLine

NAMES = {"set", "folder"}  # of a summary: these may be others where it is derived
NOT_COPIED = ("weights", "*.ipynb", ".*", "summary.json")


def known(summary: Mapping[str, Any]) -> bool:
    """Whether there is a notebook that made the summary."""
    return summary.get("study") in parameters.studies()


def rederive(folder: Path, summary: Mapping[str, Any]) -> str:
    """What comes out otherwise than `summary` tells it, of the records in `folder`; empty where all is as told.

    The notebook of the study is executed in a folder of its own, as ``nbhelpers run --recorded`` does.
    """
    kinds = {"set": str, "parameters": dict, "verdicts": list, "result": dict}
    if lacking := [name for name, kind in kinds.items() if not isinstance(summary.get(name), kind)]:
        return f"does not say its {', '.join(lacking)}"
    study, base, changes = summary["study"], summary["set"], summary["parameters"]
    base = base if base in parameters.sets(study) else "demo"  # the set may have been a file
    try:
        values = parameters.check(study, {**parameters.load(study, base), **changes}, parameters.load(study, "demo"))
        with TemporaryDirectory() as results:
            copy = Path(results) / study / parameters.which(study, values)[1]
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
            papermill_run.run(study, base, {**changes, "results": results, "train": False}, out=io.StringIO())
            made = records.read(copy / "summary.json")
            if not made:
                return "cannot be derived again: the notebook ended without one"
    except OneLine as error:
        return f"cannot be derived again: {error}"
    first = ["verdicts", "result", *sorted(made.keys() | summary.keys())]
    return next((said for name in first if name not in NAMES and (said := _different(name, summary, made))), "")


def _different(name: str, told: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """Where `name` of the two summaries differs first, as a phrase."""
    one, other = told.get(name), made.get(name)
    if one == other:
        return ""
    if name == "verdicts" and list(map(_text, one)) == list(map(_text, other)):
        for before, now in zip(one, other, strict=True):
            for field, value in now.items():
                if before.get(field) != value:
                    return f"says {field} {before.get(field)} of {now['text']!r}, from the records it is {value}"
    if name == "result" and (one.get("columns"), len(one.get("rows", ()))) == (other["columns"], len(other["rows"])):
        for before, now in zip(one["rows"], other["rows"], strict=True):
            for column, was, value in zip(other["columns"], before, now, strict=False):
                if was != value:
                    return f"says {column} {was} in the row {', '.join(now[:2])}, from the records it is {value}"
    return f"says something else in its {name} than the records do"


def _text(verdict: Any) -> Any:
    return verdict.get("text") if isinstance(verdict, dict) else None
