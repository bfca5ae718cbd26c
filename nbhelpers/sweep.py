"""Sweeps: carry out the runs that have no record yet, seed by seed, here or in worker processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from nbhelpers.records import Store
from nbhelpers.run import Run

LOST_TWICE = "its worker process died twice (out of memory, or killed)"


@dataclass(frozen=True)
class Failure:
    """A run that ended in an error, which is no result: it is tried again by the next execution."""

    run: Run
    reason: str


Outcome = dict[str, Any] | Failure
Job = Callable[[Run], dict[str, Any] | str]  # what carries out one run: `launch.attempt` with its device and folder


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
) -> Iterator[tuple[Run, Outcome]]:
    """Carry out what is missing and yield each run with its record, already written, or its Failure.

    workers: processes, each with one CPU thread; 0 takes one per CPU core, or one on a GPU; 1 stays in this
    process. limit: wall-clock seconds that one run may take (worker processes only). weights: keep the trained
    weights in the set's folder ``weights``. compiled: see `device.COMPILED`. processes: among how many each run is
    split, one run at a time then. The set's lock is held meanwhile: a second execution of the same set
    waits, and then finds the records of the first.
    """
    from nbhelpers.launch import attempt

    with store.lock():
        store.tidy()
        todo = missing(runs, store, fresh)
        workers = min(workers or default_workers(device), len(todo)) if processes == 1 else 1
        options = {"device": device, "weights": store.folder / "weights" if weights else None, "compiled": compiled}
        job = partial(attempt, processes=processes, **options)
        outcomes = in_process(todo, job) if workers <= 1 and limit is None else pool(todo, job, workers, limit)
        try:
            for run, outcome in outcomes:
                if isinstance(outcome, dict):
                    store.save(outcome)
                yield run, outcome
        finally:
            outcomes.close()


def default_workers(device: str) -> int:
    """One per core that this process may use; one where the runs share a GPU."""
    from nbhelpers.device import choose

    if choose(device).type == "cuda":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_process(runs: Sequence[Run], job: Job) -> Iterator[tuple[Run, Outcome]]:
    """One run after the other in this process, at one CPU thread; the number of threads is restored at the end."""
    import torch

    threads = torch.get_num_threads()
    try:
        for run in runs:
            yield run, _outcome(run, job(run))
    finally:
        torch.set_num_threads(threads)


def pool(runs: Sequence[Run], job: Job, workers: int, limit: float | None) -> Iterator[tuple[Run, Outcome]]:
    """Runs in `workers` spawned processes. A worker that dies costs the run it had, which is tried once more."""
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, wait

    from pebble import ProcessExpired, ProcessPool

    from nbhelpers.perform import follow_parent

    # Never forked: a child forked after torch has started its threads can deadlock.
    made = ProcessPool(workers, initializer=follow_parent, context=multiprocessing.get_context("spawn"))
    waiting, lost, running = list(reversed(runs)), set(), {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                run = waiting.pop()
                running[made.schedule(job, args=(run,), timeout=limit)] = run
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run = running.pop(future)
                try:
                    yield run, _outcome(run, future.result())
                except ProcessExpired:
                    if run.key in lost:
                        yield run, Failure(run, LOST_TWICE)
                    else:
                        lost.add(run.key)
                        waiting.append(run)
                except TimeoutError:
                    yield run, Failure(run, f"took longer than the limit of {limit:g} seconds")
        made.close()
    finally:
        made.stop()
        made.join()


def _outcome(run: Run, answer: dict[str, Any] | str) -> Outcome:
    return Failure(run, answer) if isinstance(answer, str) else answer
