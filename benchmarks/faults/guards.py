"""Guards of the product taken away, in the driver of a light sweep: what is counted then must not be zero."""

import contextlib
import os
import signal
import time
from functools import partial
from pathlib import Path

from benchmarks.faults.accidents import two_at_once
from benchmarks.faults.signals import strike
from benchmarks.faults.stage import Fault
from nbhelpers import records, workers


def plain_write(path: Path, content: str | bytes) -> None:
    """Into the file itself, in two halves, as a slow disk does."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        os.fsync(file.fileno())
        time.sleep(0.05)
        file.write(data[len(data) // 2 :])


def serve_on(pipe, job) -> None:
    """A worker that does not look after its driver."""
    pipe.send(None)
    while True:
        pipe.send(job(pipe.recv()))


@contextlib.contextmanager
def no_lock(self):
    self.folder.mkdir(parents=True, exist_ok=True)
    (self.folder / ".lock").touch()
    yield


GUARDS = {
    "atomic write": lambda: setattr(records, "write", plain_write),
    "follow_parent": lambda: setattr(workers, "serve", serve_on),
    "lock": lambda: setattr(records.Store, "alone", no_lock),
}


def staged(guard: str, times: int) -> dict[str, Fault]:
    """Name -> a fault that the guard is there for, without it and at the moment that it guards."""
    kill = partial(strike, signal.SIGKILL, "kernel", False, times, guard)
    return {
        "atomic write": {"SIGKILL while a record is written": partial(kill, when=lambda play: play.halves())},
        "follow_parent": {"SIGKILL while workers train": partial(kill, when=lambda play: play.has_begun_all())},
        "lock": {"two executions at once": partial(two_at_once, "sweep", times, guard)},
    }[guard]
