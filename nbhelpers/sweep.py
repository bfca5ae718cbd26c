"""Sweeps: carry out the runs that have no record yet, seed by seed, here or in worker processes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from nbhelpers.records import Store
from nbhelpers.run import Run
from nbhelpers.workers import Job, pool


@dataclass(frozen=True)
class Failure:
    """A run that ended in an error, which is no result: it is tried again by the next execution."""

    run: Run
    reason: str


Outcome = dict[str, Any] | Failure
Fresh = Literal["", "all", "probes"]  # which recorded runs are done again: none, all, or those that lack a probe


def missing(runs: Sequence[Run], store: Store, fresh: Fresh = "") -> list[Run]:
    """The runs without a sound record, or to be done again, each key once, in seed-major order."""

    def due(run: Run) -> bool:
        record = store.load(run.key)
        return record is None or fresh == "all" or (fresh == "probes" and not record["probes"].keys() >= {*run.probes})

    unique = {run.key: run for run in runs if due(run)}
    return sorted(unique.values(), key=lambda run: run.seed)


def execute(
    runs: Sequence[Run],
    store: Store,
    *,
    workers: int = 0,
    device: str = "auto",
    fresh: Fresh = "",
    limit: float | None = None,
    weights: bool = False,
    compiled: str = "no",
    processes: int = 1,
    ray: str = "",
    runs_per_gpu: int = 1,
) -> Iterator[tuple[Run, Outcome]]:
    """Carry out what is missing and yield each run with its record, already written, or its Failure.

    workers: processes, each with one CPU thread; 0 takes one per CPU core, or `runs_per_gpu` on a GPU; 1 stays in this
    process. limit: wall-clock seconds that one run may take; None for no limit. weights: keep the trained
    weights in the set's folder ``weights``. compiled: see `device.check_compiled`. processes: among how many each run
    is split, one run at a time then. ray: the address of a cluster that carries the runs out, `cluster.Cluster`. The
    set's lock is held meanwhile: a second execution of the same set waits, and then finds the records of the first.
    """
    from nbhelpers.launch import attempt

    with store.alone():
        store.tidy()
        todo = missing(runs, store, fresh)
        kept = store.folder / "weights" if weights else None
        job = partial(attempt, processes=processes, compiled=compiled)
        if ray:
            from nbhelpers import cluster

            place = cluster.Cluster(ray, device, processes, runs_per_gpu)
            outcomes = cluster.pool(todo, job, place, workers, limit, kept)
        else:
            workers = local_workers(len(todo), workers, device, processes, runs_per_gpu)
            job = partial(job, device=device, weights=kept)
            outcomes = in_process(todo, job) if workers <= 1 and limit is None else pool(todo, job, workers, limit)
        try:
            for run, answer in outcomes:
                if isinstance(answer, dict):
                    store.check_place()
                    store.save(answer)
                yield run, Failure(run, answer) if isinstance(answer, str) else answer
        finally:
            outcomes.close()


def local_workers(count: int, workers: int, device: str, processes: int = 1, runs_per_gpu: int = 1) -> int:
    """How many processes of this machine carry out `count` runs; see `execute`."""
    return min(workers or default_workers(device, runs_per_gpu), count) if processes == 1 else 1


def default_workers(device: str, runs_per_gpu: int = 1) -> int:
    """One per core that this process may use; `runs_per_gpu` where the runs share a GPU."""
    from nbhelpers.device import choose

    if choose(device).type == "cuda":
        return runs_per_gpu
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_process(runs: Sequence[Run], job: Job) -> Iterator[tuple[Run, Any]]:
    """One run after the other in this process, at one CPU thread; the number of threads is restored at the end."""
    import torch

    threads = torch.get_num_threads()
    try:
        for run in runs:
            yield run, job(run)
    finally:
        torch.set_num_threads(threads)
