"""What the tables of counts have in common: the machine and the date, rows in Markdown, a JSON file beside them."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbhelpers.records import write

CODE = (".", "../benchmarks/*.py")  # what a number comes from: the package and the scripts, not their results


def machine() -> dict[str, Any]:
    """The machine, the commit and the moment."""
    import torch

    from nbhelpers.device import describe
    from nbhelpers.perform import commit

    found = {"processor": describe(torch.device("cpu")), "cores": os.cpu_count(), "torch": torch.__version__}
    return found | {"commit": commit(*CODE), "date": datetime.now(UTC).isoformat(timespec="seconds")}


def row(cells: Sequence[Any]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def table(head: Sequence[str], align: Sequence[str], rows: Sequence[Sequence[Any]], about: dict, foot: str) -> str:
    """A table in Markdown between the machine and a foot. align: "---" or "--:" for each column."""
    at = f", commit {about['commit']}" if about.get("commit") else ""
    said = f"{about['processor']}, {about['cores']} cores, torch {about['torch']}{at}, {about['date']}."
    return "\n".join([said, "", *map(row, [head, align, *rows]), "", foot])


def save(path: Path, text: str, content: Any) -> None:
    """PATH.md and PATH.json."""
    write(path.with_suffix(".md"), text)
    write(path.with_suffix(".json"), json.dumps(content, indent=1, ensure_ascii=False) + "\n")
