"""Worker processes: each carries out one run at a time, and has a pipe of its own to its driver.

Workers share nothing, neither a queue nor a lock: one that is killed, at whatever moment, costs the run that it had and
no other. A pool with one queue for all, as pebble's, is lost with a worker that is killed before any run has begun, or
in the moment when it takes one.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import connection
from typing import Any

from nbhelpers.errors import RunError
from nbhelpers.run import Run

LOST_TWICE = "its worker process died twice (out of memory, or killed)"
STARTS = 8  # worker processes that die one after the other, none of them with a run: there must be a reason
PATIENCE = 3  # seconds for a worker process to end

Job = Callable[[Run], Any]  # what carries out one run: `launch.attempt` with its options


class Worker:
    """A spawned process that carries out runs.

    run: the one that it has, given at the time `since`; answer: the last that it sent; ready: it waits for runs.
    """

    def __init__(self, job: Job):
        context = multiprocessing.get_context("spawn")  # a child forked after torch has started threads can deadlock
        self.run: Run | None = None
        self.answer: Any = None
        self.ready, self.since = False, 0.0
        self.pipe, self.theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.theirs, job))

    def start(self) -> None:
        self.process.start()
        self.theirs.close()  # so that the pipe ends with the process

    def give(self, run: Run) -> None:
        self.run, self.since = run, time.monotonic()
        with contextlib.suppress(OSError):  # it is dead: seen as soon as it is heard
            self.pipe.send(run)

    def hear(self) -> bool:
        """Take what it sent: that it is ready, or an answer. False where it is dead."""
        try:
            self.answer = self.pipe.recv()
        except (EOFError, OSError):
            return False
        self.run, self.ready = None, True
        return True

    def left(self, limit: float | None) -> float | None:
        """Seconds until its run is over the limit; None where it has none, or there is no limit."""
        return None if limit is None or self.run is None else max(0.0, self.since + limit - time.monotonic())

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.process.pid is not None:
            self.process.terminate()
            self.process.join(PATIENCE)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
        self.pipe.close()


def pool(runs: Sequence[Run], job: Job, workers: int, limit: float | None = None) -> Iterator[tuple[Run, Any]]:
    """Each run with what `job` answers, or with the reason why there is no answer, from `workers` processes.

    A run whose worker dies is tried once more; one that takes longer than `limit` seconds is ended with its worker.
    Raises RunError where worker processes die again and again before they have a run.
    """
    waiting, lost, staff, idle_deaths = deque(runs), set(), [], 0
    ending = partial(_end, staff)
    atexit.register(ending)  # for a driver that is stopped while it ends its workers
    try:
        while busy := len(waiting) + sum(worker.run is not None for worker in staff):
            while len(staff) < min(workers, busy):
                staff.append(Worker(job))
                staff[-1].start()
            for worker in staff:
                if waiting and worker.ready and not worker.run:
                    worker.give(waiting.popleft())
            left = [seconds for worker in staff if (seconds := worker.left(limit)) is not None]
            heard = connection.wait([worker.pipe for worker in staff], min(left, default=None))
            for worker in list(staff):
                run = worker.run
                if worker.pipe in heard and worker.hear():
                    idle_deaths = 0
                    if run:
                        yield run, worker.answer
                elif worker.pipe in heard or worker.left(limit) == 0:
                    staff.remove(worker)
                    worker.end()
                    idle_deaths += run is None
                    if worker.pipe not in heard:
                        yield run, f"took longer than the limit of {limit:g} seconds"
                    elif run and run.key in lost:
                        yield run, LOST_TWICE
                    elif run:
                        lost.add(run.key)
                        waiting.appendleft(run)
                    elif idle_deaths == STARTS:
                        raise RunError(f"worker processes die as they start (exit code {worker.process.exitcode})")
    finally:
        ending()
        atexit.unregister(ending)


def _end(staff: list[Worker]) -> None:
    for worker in staff:
        if worker.process.pid is not None:
            worker.process.terminate()  # all at once; then each is waited for
    while staff:
        staff[-1].end()
        staff.pop()


def serve(pipe: connection.Connection, job: Job) -> None:
    """A worker process: say that it is ready, then answer each run, until the driver is gone."""
    follow_parent()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(None)
        while True:
            pipe.send(job(pipe.recv()))


def follow_parent(parent: int = 0) -> None:
    """End this worker process when its driver is gone, however it went; leave Ctrl-C to the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not os.getppid(): that is another by now, if the driver died meanwhile.
    parent = parent or multiprocessing.parent_process().pid

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
