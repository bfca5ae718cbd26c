"""Signals, at random moments, to each process of an execution."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from functools import cache, partial

from benchmarks.faults.stage import AFTER, Execution, Fault, Stage, Tally, stage

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
TARGETS = ("kernel", "papermill", "worker")
LONG = AFTER + 10.0  # seconds of the last two light runs while kernel or papermill are struck: an orphan outlives AFTER

When = Callable[[Stage], bool]


def kind_of(target: str, real: bool) -> str:
    """A light sweep is its own kernel; papermill is in what executes a notebook only."""
    return "real" if real else "notebook" if target == "papermill" else "sweep"


def name_of(number: signal.Signals, target: str, real: bool) -> str:
    return f"{number.name} to {target}{', a study' if real else ''}"


@cache
def duration(kind: str) -> float:
    """Seconds that an execution takes which nothing befalls; of a study, from the start of its first run."""
    with stage(kind) as calm:
        execution, started = calm.start(), time.monotonic()
        if kind == "real":
            wait(execution, calm, has_begun)
            started = time.monotonic()
        ended = execution.end()
        if ended.code or len(calm.whole()) != calm.settings["runs"]:
            raise RuntimeError(f"an execution without a fault, {len(calm.whole())} runs: {ended.said}")
        return time.monotonic() - started


def has_begun(play: Stage) -> bool:
    """Whether a run has begun: what a study does before, imports most of all, light executions are struck in."""
    return bool(play.begun())


def wait(execution: Execution, play: Stage, when: When) -> None:
    """Until `when` is true, or the execution over."""
    while not when(play) and execution.process.poll() is None:
        time.sleep(0.005)


def victim(execution: Execution, target: str, kind: str) -> int | None:
    """The process to strike; None where the execution is over."""
    if target == "papermill" or (target == "kernel" and kind == "sweep"):
        return execution.process.pid if execution.process.poll() is None else None
    found = execution.find("ipykernel_launcher" if target == "kernel" else "spawn_main")
    return found.pid if found else None


def strike(
    number: signal.Signals, target: str, real: bool, times: int, guard: str = "", when: When | None = None
) -> Tally:
    """The signal to the target, `times` times, each on a new stage.

    when: is true at the moment to strike; the moments are random ones of an execution's usual `duration` without it.
    """
    kind, draw = kind_of(target, real), random.Random(f"{number}{target}{real}")
    tally, long = Tally(), LONG if target != "worker" and not real else 0
    for _ in tally.draws(times):
        moment = 0 if when else draw.uniform(0, duration(kind))
        with stage(kind) as play:
            execution = play.start(long=long, without=guard)
            if when or real:
                wait(execution, play, when or has_begun)
            time.sleep(moment)
            pid, before = victim(execution, target, kind), play.whole()
            struck = pid is not None and signalled(pid, number)
            ended = execution.end()
            if struck:  # else it was over already, and is drawn again
                tally.moments.append((round(moment, 2), len(before)))
                play.complete(tally, before, ended)
    return tally


def signalled(pid: int, number: signal.Signals) -> bool:
    """Send the signal; False where the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def faults(light: int, studies: int) -> dict[str, Fault]:
    """Name -> what stages it, as many times as is usual: `light`, or `studies` where it is a study."""
    return {
        name_of(number, target, real): partial(strike, number, target, real, studies if real else light)
        for real in (False, True)
        for target in TARGETS
        for number in SIGNALS
    }
