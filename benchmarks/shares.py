"""Where the time of a run goes: ``python benchmarks/shares.py``.

Some runs of each study, as they are recorded in ``results/``, are carried out once more for a few of their epochs with
a clock around each part, at one thread; what happens in every epoch is then counted for all of the run's epochs. It
takes the images of the data sets: rows whose images are not here are left out. Results go to shares.json, shares.md and
shares.png; ``--only`` replaces its rows there.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import side_by_side as bench
from side_by_side import Row

from nbhelpers import data as datasets
from nbhelpers import places, records
from nbhelpers.run import Run

CHOSEN = {  # row: study, set, labels of the run
    "study1, 4 blocks": ("Sigmoid_vs_ReLU", "ran", {"blocks": 4, "activation": "relu"}),
    "study2, batch 2": ("BatchNorm_vs_GroupNorm", "ran", {"setting": "as published", "batch_size": 2, "norm": "batch"}),
    "study2, batch 32": (
        "BatchNorm_vs_GroupNorm",
        "ran",
        {"setting": "as published", "batch_size": 32, "norm": "batch"},
    ),
    "study2, batch 128": (
        "BatchNorm_vs_GroupNorm",
        "ran",
        {"setting": "as published", "batch_size": 128, "norm": "batch"},
    ),
    "study3": ("Conv_Activation_Norm_Position", "ran", {"order": "conv-BN-ReLU"}),
    "study4": ("ImageNet_MLP_ScaledReLU", "ran", {"arm": "ReLU, softmax"}),
    "study5": ("ResNet_CIFAR10", "cpu", {"arm": "resnet26, 5 epochs"}),
    "zoo": ("Activation_Zoo", "cpu", {"family": "inception", "activation": "ReLU"}),
    "lesson": ("Building_First_Neural_Networks", "ran", {"part": "shape", "arm": "squeeze and expand"}),
}
PARTS = {  # in the order of a run
    "preparing": "reading the images, drawing the subset, building the net",
    "loading": "batches by index, crop and flip",
    "forward": "the net and the loss",
    "backward": "gradients",
    "optimizer": "its step",
    "loop": "order, sums and the loop itself",
    "evaluation": "on the test images",
    "probes": "measurements on the net",
    "rest": "layout, optimizer, record",
}


class Clock:
    """Seconds by part, each without the parts inside it; and whether they recur in every epoch."""

    def __init__(self):
        self.seconds: Counter[tuple[str, bool]] = Counter()
        self.open: list[list[Any]] = []  # part, seconds of the parts inside it

    def around(self, part: str, function: Callable, inside: str = "") -> Callable:
        """The function, timed as `part`; with `inside`, only where it is called directly from that part."""

        @wraps(function)
        def timed(*args: Any, **options: Any):
            if inside and (not self.open or self.open[-1][0] != inside):
                return function(*args, **options)
            recurs, frame, began = any(name == "fit" for name, _ in self.open), [part, 0.0], time.perf_counter()
            self.open.append(frame)
            try:
                return function(*args, **options)
            finally:
                whole = time.perf_counter() - began
                self.open.pop()
                self.seconds[part, recurs] += whole - frame[1]
                if self.open:
                    self.open[-1][1] += whole

        return timed


def timed(run: Run, epochs: int) -> dict[str, float]:
    """Seconds of all of a run, by part, from carrying out its first `epochs` epochs."""
    from unittest.mock import patch

    import torch

    from nbhelpers import augment, perform, probes, steps, tensors, train

    clock, short = Clock(), run.model_copy(update={"recipe": run.recipe.model_copy(update={"stop_after": epochs})})
    perform._load.cache_clear()
    where = [
        ("preparing", perform, "load", ""),
        ("preparing", perform, "build", ""),
        ("fit", train, "fit", ""),
        ("loop", train, "train_epoch", ""),
        ("loading", tensors.Images, "batch", "loop"),
        ("loading", augment.Augmenter, "__init__", "loop"),
        ("loading", augment.Augmenter, "batch", "loop"),
        ("forward", steps, "gradient", "loop"),
        ("backward", torch.Tensor, "backward", "forward"),
        ("optimizer", torch.amp.GradScaler, "step", "loop"),
        ("evaluation", train, "evaluate", ""),
        ("probes", probes, "measure", ""),
    ]
    from contextlib import ExitStack

    with ExitStack() as stack:
        for part, owner, name, inside in where:
            stack.enter_context(patch.object(owner, name, clock.around(part, getattr(owner, name), inside)))
        clock.around("rest", perform.perform)(short, "cpu", threads=1)
    found = dict.fromkeys(PARTS, 0.0)
    whole = min(run.recipe.stop_after or run.recipe.epochs, run.recipe.epochs)
    for (part, recurs), seconds in clock.seconds.items():
        found["rest" if part == "fit" else part] += seconds * (whole / epochs if recurs else 1)
    return found


def recorded(study: str, set_name: str, labels: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """The first recorded run of the set that has these labels, with its probes, and its record."""
    folder = places.results() / study / set_name
    store = records.Store(folder)
    for planned in records.read_plan(folder):
        if planned["labels"].items() >= labels.items() and (record := store.load(planned["key"])):
            return Run(**record["run"], probes=tuple(record["probes"])), record
    raise SystemExit(f"{study} {set_name}: no recorded run has the labels {labels}")


def measure(name: str, rounds: int, seconds: float) -> Row | None:
    """The row of a run; None where its images are not here."""
    from nbhelpers import perform

    study, set_name, labels = CHOSEN[name]
    run, record = recorded(study, set_name, labels)
    if not datasets.available(run.data.name):
        print(f"{name}: the images of {run.data.name} are not here", file=sys.stderr)
        return None
    whole = min(run.recipe.stop_after or run.recipe.epochs, run.recipe.epochs)
    each = record["provenance"]["seconds"] / whole
    epochs = max(1, min(whole, round(seconds / each)))
    print(f"{name}: {epochs} of {whole} epochs", file=sys.stderr, flush=True)
    perform.commit()  # it asks git, once in a process
    timed(run, 1)
    rows = [timed(run, epochs) for _ in range(rounds)]
    totals = [sum(row.values()) for row in rows]
    shares = {part: sorted(row[part] / total for row, total in zip(rows, totals, strict=True)) for part in PARTS}
    folder = places.results() / study / set_name
    store = records.Store(folder)
    done = [one for key in {run["key"] for run in records.read_plan(folder)} if (one := store.load(key))]
    return {
        "name": name,
        "study": study,
        "set": set_name,
        "labels": labels,
        "recorded": {"runs": len(done), "seconds": round(sum(one["provenance"]["seconds"] for one in done))},
        "epochs": whole,
        "epochs_measured": epochs,
        "run": bench.spread(totals),
        "shares": {part: bench.spread(values, "share") for part, values in shares.items()},
        "machine": bench.machine(1),
    }


def table(rows: list[Row]) -> str:
    head = ["Run", "Epochs", "measured", "The whole run, s", *(f"{part}, %" for part in PARTS)]
    lines = []
    for row in rows:
        cells = [f"{100 * row['shares'][part]['share']:.1f}" for part in PARTS]
        lines.append([row["name"], str(row["epochs"]), str(row["epochs_measured"]), bench.cell(row["run"]), *cells])
    said = "; ".join(f"{part}: {what}" for part, what in PARTS.items())
    n = min(row["run"]["n"] for row in rows)
    return f"{bench.about(rows)}. Median (quartiles) of {n} rounds. {said}.\n\n{bench.table(head, lines)}"


def figure(rows: list[Row]) -> Any:
    from nbhelpers.plots.style import new, title_of

    drawn, axis = new(10, 1.6 + 0.4 * len(rows))
    left = [0.0] * len(rows)
    for part in PARTS:
        widths = [100 * row["shares"][part]["share"] for row in rows]
        axis.barh([row["name"] for row in rows], widths, left=left, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set_xlabel("share of the run's time (%)")
    axis.legend(fontsize=8, ncols=1, bbox_to_anchor=(1.01, 1), loc="upper left")
    title_of(drawn, "Where the time of a run goes, at one thread")
    return drawn


def main() -> None:
    parser = bench.parser(__doc__, rounds=3, seconds=3.0)
    options = parser.parse_args()
    for name in bench.chosen(options, parser, list(CHOSEN)):
        if row := measure(name, options.rounds, options.seconds):
            bench.keep(Path(options.out), "shares", list(CHOSEN), row, table, figure)


if __name__ == "__main__":
    main()
