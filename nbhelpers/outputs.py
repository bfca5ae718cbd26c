"""What an execution leaves besides its records: plan.json, runs.csv, summary.json, and pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nbhelpers import claims, estimate, records
from nbhelpers.run import VERSION, Run
from nbhelpers.spec import plain

FIGURE_DPI = 100


def write_plan(folder: Path, head: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """``plan.json``: `head`, then key, seed, labels and predicted seconds of all runs, a line for each.

    So that what is missing is known. A plan of the same runs is left as it is.
    """
    planned = [plain({"key": run.key, "seed": run.seed, "labels": run.labels}) for run in runs]
    written = [{k: run[k] for k in ("key", "seed", "labels")} for run in records.read_plan(folder)]
    if written == planned:
        return
    entries = [p | {"predicted_seconds": round(estimate.seconds(r), 1)} for p, r in zip(planned, runs, strict=True)]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    records.write(folder / "plan.json", json.dumps(head)[:-1] + ', "runs": [\n' + lines + "\n]}\n")


def write_csv(folder: Path, frame: pd.DataFrame) -> None:
    """``runs.csv``: a row per (key, labels) with a record; accuracies in per cent."""
    columns = ["key", "status", "seed", *frame.attrs["labels"], "parameters", "epochs", "train_loss", "train_accuracy"]
    columns += ["test_accuracy", "seconds", "device"]
    text = frame[columns].to_csv(index=False, float_format="%.6g", lineterminator="\n")
    records.write(folder / "runs.csv", text)


def write_summary(
    folder: Path,
    head: Mapping[str, Any],
    planned: int,
    found: Sequence[Mapping[str, Any]],
    verdicts: Sequence[claims.Verdict],
    shown: Mapping[str, Any],
) -> None:
    """``summary.json``: `head`, how many runs there are, the verdicts, and where the records were made.

    `shown` is what else a reader is to see: the table of the result as text, and the figures with their titles.
    `records` is the hash of the records behind it: a summary whose records have another one is stale. `courses` is
    that of their epochs and probes, `origins` that of their provenance.
    """
    made = [record["provenance"] for record in found]
    summary = {
        **head,
        "version": VERSION,
        "runs": {"planned": planned, "recorded": len(found)},
        "status": dict(sorted(Counter(record["status"] for record in found).items())),
        "records": records.digest(found),
        "courses": records.courses(found),
        "origins": records.origins(found),
        "verdicts": [verdict.to_dict() for verdict in verdicts],
        **shown,
        "hardware": dict(sorted(Counter(p["hardware"] for p in made).items())),
        "torch": sorted({p["versions"]["torch"] for p in made}),
        "finished": max((p["finished"] for p in made), default=""),
        "commits": sorted({p["commit"] for p in made} - {""}),
    }
    records.write(folder / "summary.json", records.dump(summary))


def png(figure) -> bytes:
    """A matplotlib figure as PNG, and the figure closed.

    The pixels are those that matplotlib draws; what a reader does not see is left out, for a smaller notebook: the
    transparency, which no figure has, and the name of the software.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=FIGURE_DPI)
    plt.close(figure)
    Image.open(drawn).convert("RGB").save(written, format="png", optimize=True)
    return written.getvalue()
