"""A sweep as a person watches it: what it will cost, which runs are done, and how much is left."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from nbhelpers import data as datasets
from nbhelpers import estimate, sweep
from nbhelpers.errors import InputError, RunError
from nbhelpers.models import layers
from nbhelpers.records import Store
from nbhelpers.run import Run

SAVE_EVERY = 10  # seconds between two rewritings of what follows from the records
BAR = 20  # characters
REST = 20  # times that a rewriting took until the next one: of thousands of records it takes seconds


def carry_out(
    runs: Sequence[Run],
    store: Store,
    *,
    device: str,
    workers: int,
    fresh: sweep.Fresh,
    save: Callable[[], None],
    **how: Any,
) -> list[sweep.Failure]:
    """Carry out the runs without a record, saying which are done, and return those that failed.

    `save` is called now and then meanwhile; `how` are further options of `sweep.execute`. Raises InputError for a run
    that cannot work and RunError where the images are not those of the recorded runs, both before anything is trained.
    """
    from nbhelpers import device as devices

    todo, unique = sweep.missing(runs, store, fresh), len({run.key for run in runs})
    on_cluster = how.get("ray", "")
    place = None if on_cluster and device != "cpu" else devices.choose(device)
    for run in todo if place else ():  # the nodes of a cluster find out for themselves
        devices.check_precision(run.recipe.precision, place)
        devices.check_compiled(how.get("compiled", "no"), place, run.recipe.precision, how.get("processes", 1))
    for images in {_images(run) for run in todo} if fresh != "all" else ():
        _check_fingerprint(runs, store, images)
    processes, per_gpu = how.get("processes", 1), how.get("runs_per_gpu", 1)
    if on_cluster:
        from nbhelpers import cluster

        there = cluster.Cluster(on_cluster, device, processes, per_gpu)
        there.connect()
        at_once, said = workers or max(1, there.places()), there.describe()
    else:
        at_once = workers = sweep.local_workers(len(todo), workers, device, processes, per_gpu)
        shared = f"processes: {processes}" if processes > 1 else f"workers: {workers}"
        said = f"device: {devices.describe(place)}, {shared}"
    if not fresh and (damaged := [run.key for run in todo if store.path(run.key).exists()]):
        print(f"damaged, or of another version, and done again: {', '.join(f'{key}.json' for key in damaged)}")
    predicted = sum(estimate.seconds(run) for run in todo) / min(at_once, len(todo)) * pace(runs, store)
    print(f"{unique} runs, {unique - len(todo)} recorded, about {duration(predicted)}; {said}", flush=True)
    if reason := devices.unusable_gpu():
        print(reason, flush=True)
    failures, started, saved, pause = [], time.monotonic(), 0.0, SAVE_EVERY
    tell = _teller(len(todo))
    outcomes = sweep.execute(todo, store, workers=workers, device=device, fresh=fresh, **how)
    for done, (run, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, sweep.Failure):
            failures.append(outcome)
        left = duration((time.monotonic() - started) / done * (len(todo) - done))
        tell(done, f"{name(run)}: {_said(outcome)}, {left} left")
        if (begun := time.monotonic()) - saved > pause:
            save()
            saved = time.monotonic()
            pause = max(SAVE_EVERY, REST * (saved - begun))
    return failures


def _has_width(stream: TextIO) -> bool:
    """Whether the stream is a terminal on which a live line would be seen: some say that they are 0 columns wide."""
    try:
        return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:  # it has no number of its own, as where it is redirected in Python
        return True


def _teller(total: int) -> Callable[[int, str], None]:
    """What tells of each finished run: a line each in a log; before a person one bar, which is written over."""
    if not _watched():
        return lambda done, said: print(f"[{done:>{len(str(total))}}/{total}] {said}", flush=True)
    length = 0

    def bar(done: int, said: str) -> None:
        nonlocal length
        full = BAR * done // total
        line = f"{'█' * full}{'░' * (BAR - full)} {done}/{total} {said}"
        print(f"\r{line.ljust(length)}", end="", flush=True)  # blanks over what is left of a longer one
        length = len(line)

    bar(0, "")
    return bar


def _watched() -> bool:
    """Whether this is a notebook before a person: its front end could be asked a question; papermill's cannot."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


class Live:
    """The training of one net as a person watches it: one live line on a terminal, a line an epoch in a log."""

    def __init__(self, epochs: int, run: Run):
        from tqdm import tqdm

        self.epochs, self.started, self.seen = epochs, time.monotonic(), 0
        _, classes = datasets.describe(*_images(run))
        steps = run.recipe.steps_per_epoch
        self.images = steps * run.recipe.batch_size if steps else estimate.images(run, classes)[0]
        hidden = not _has_width(sys.stderr)
        line = "{percentage:.0f}%, {rate_noinv_fmt}, {remaining} left{desc}"  # what is cut off is the end
        total = epochs * self.images
        self.bar = tqdm(total=total, unit=" images", disable=hidden, dynamic_ncols=True, bar_format=line)

    def step(self, images: int) -> None:
        """A step on so many images is done."""
        self.seen += images
        self.bar.update(images)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is done, of which `row` is the history."""
        said = {"train_accuracy": "training", "validation_accuracy": "validation", "test_accuracy": "test"}
        accuracies = ", ".join(f"{name} {row[key]:.2f} %" for key, name in said.items() if key in row)
        numbers = f"epoch {row['epoch']}/{self.epochs}: loss {row['train_loss']:.4f}, {accuracies}"
        self.bar.set_description_str(f"; {numbers}")
        if self.bar.disable:
            pace = self.seen / (time.monotonic() - self.started)
            left = duration((self.epochs - row["epoch"]) * self.images / pace)
            print(f"{numbers}, {pace:,.0f} images/s, {left} left", flush=True)

    def close(self) -> None:
        self.bar.close()


def check(run: Run) -> None:
    """Raise InputError for what cannot work on any device."""
    from nbhelpers import probes

    probes.check(run.probes)
    norm, size = getattr(run.model, "norm", "none"), run.recipe.batch_size
    if size == 1 and layers.name_of(norm) == "batch":
        raise InputError("batch_size: 1: must be at least 2: BatchNorm has nothing to normalise one image with")
    if hasattr(run.model, "check"):
        shape, classes = datasets.describe(*_images(run))
        run.model.check(shape, run.recipe.smallest_batch(estimate.images(run, classes)[0]))


def _images(run: Run) -> tuple[str, int | None, int | None]:
    """The arguments of `data.load` for a run."""
    return run.data.name, run.data.size, run.data.classes


def _check_fingerprint(runs: Sequence[Run], store: Store, images: tuple[str, int | None, int | None]) -> None:
    fingerprint = datasets.load(*images).fingerprint
    for run in runs:
        record = store.load(run.key) if _images(run) == images else None
        if record and record["provenance"]["fingerprint"] != fingerprint:
            raise RunError(
                f"{images[0]}: these images ({fingerprint}) are not those of the recorded runs "
                f"({record['provenance']['fingerprint']}): run with --fresh, or on the same images"
            )


def pace(runs: Sequence[Run], store: Store) -> float:
    """How much longer recorded runs took than was predicted; 1 where there are none."""
    recorded = [(record["provenance"]["wall_seconds"], run) for run in runs if (record := store.load(run.key))]
    predicted = sum(estimate.seconds(run) for _, run in recorded)
    return sum(seconds for seconds, _ in recorded) / predicted if recorded else 1.0


def _said(outcome: sweep.Outcome) -> str:
    if isinstance(outcome, sweep.Failure):
        return f"failed: {outcome.reason}"
    accuracy = f"{outcome['final']['test_accuracy']:.2f} %" if outcome["status"] == "done" else "diverged"
    return f"{accuracy}, {outcome['provenance']['wall_seconds']:.1f} s"


def name(run: Run) -> str:
    """A run by its labels and seed."""
    return ", ".join([*(f"{label} {value}" for label, value in run.labels.items()), f"seed {run.seed}"])


def arms(runs: Sequence[Run]) -> str:
    """The arms of some runs by their labels, each once, with how many of the runs it has where that is several."""
    counts = Counter(", ".join(f"{label} {value}" for label, value in run.labels.items()) for run in runs)
    return "; ".join(arm + (f" ({n} seeds)" if n > 1 else "") for arm, n in counts.items())


def absent(runs: Sequence[Run], most: int = 6) -> str:
    """The first of some missing runs by name, and how many more."""
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    return "; ".join(name(run) for run in runs[:most]) + more


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
