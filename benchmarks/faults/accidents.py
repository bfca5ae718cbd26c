"""What befalls an execution other than signals: disks, damaged records, folders, clocks, runs that go wrong."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from benchmarks.faults.signals import duration, signalled, victim
from benchmarks.faults.stage import Ended, Execution, Fault, Stage, Tally, stage
from nbhelpers.records import read

MIB = 2**20


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A file system of `size` bytes at `folder`; False where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wait_for_records(play: Stage, execution: Execution, count: int) -> None:
    """Until so many runs are recorded, or the execution is over."""
    while len(play.recorded()) < count and execution.process.poll() is None:
        time.sleep(0.01)


def full_disk(kind: str, times: int) -> Tally:
    """No space is left after some records; then there is again."""
    tally, draw = Tally(), random.Random(1)
    for _ in tally.draws(times):
        with stage(kind) as play, small_disk(play.results, 4 * MIB) as mounted:
            if not mounted:
                tally.cannot = "this user may not mount a disk"
                break
            filler, execution = play.results / "filler", play.start()
            wait_for_records(play, execution, draw.randint(1, 6))
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while file.write(b"0" * 4096):
                    pass
            before, ended = play.whole(), execution.end()
            filler.unlink()
            if ended.code:  # else it was over already
                play.complete(tally, before, ended)
    return tally


def full_quota(kind: str, times: int) -> Tally:
    """A record cannot be written to its end, as its file may not grow so large: what needs no right to mount a disk."""
    tally, draw = Tally(), random.Random(2)
    for _ in tally.draws(times):
        with stage(kind) as play:
            execution = play.start()
            wait_for_records(play, execution, draw.randint(1, play.settings["runs"] // 2))
            before, pid = play.whole(), victim(execution, "kernel", kind)
            if pid:  # else it is over already
                with contextlib.suppress(psutil.Error):
                    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (4096, 4096))
            ended = execution.end()
            if ended.code:
                play.complete(tally, before, ended)
    return tally


def damaged(how: str, times: int) -> Tally:
    """A record of a finished study, cut off or with a sector of noise: found, said, and done again, it alone."""
    tally, draw = Tally(), random.Random(how)
    with stage("real") as play:
        play.start().end()
        for _ in range(times):
            path = draw.choice(sorted(play.folder.glob("**/runs/*.json")))
            content = bytearray(path.read_bytes())
            place = draw.randrange(len(content) - 64)
            content[place : None if how == "truncated" else place + 64] = draw.randbytes(64 * (how != "truncated"))
            path.write_bytes(content)
            play.log.unlink()
            last = play.complete(tally, play.whole(), Ended(0, "", 0), damaged=[path.stem])
            begun = [key for key, _ in play.begun()]
            tally.lost += path.stem not in begun
            tally.repeated += len(begun) - begun.count(path.stem)
            tally.said = Counter({re.sub(r"[0-9a-f]{20}", "KEY", last.line("damaged")): tally.times})
    return tally


def two_at_once(kind: str, times: int, guard: str = "") -> Tally:
    """The same command twice at the same time: each run begins once."""
    tally = Tally()
    for _ in range(times):
        with stage(kind, without=guard) as play:
            executions = [play.start(), play.start()]
            ended = [execution.end() for execution in executions]
            tally.orphans += ended[1].orphans
            play.complete(tally, play.whole(), ended[0])
            tally.repeated, tally.begun_again = tally.repeated + tally.begun_again, 0
            waited = next((end for end in ended if "waiting until" in end.text), ended[1])
            tally.said = Counter({waited.line("waiting until"): tally.times})
    return tally


def moved(kind: str, times: int, meanwhile: bool) -> Tally:
    """The results folder is moved, while runs are recorded or afterwards; then the command names its new place."""
    tally, draw = Tally(), random.Random(3)
    for _ in tally.draws(times):
        with stage(kind) as play:
            execution = play.start()
            wait_for_records(play, execution, draw.randint(1, 6))
            if not meanwhile:
                signalled(execution.process.pid, signal.SIGTERM)
                ended = execution.end()
            before, place = play.whole(), play.folder / "elsewhere"
            play.results.rename(place)
            play.results = place
            ended = execution.end() if meanwhile else ended
            if ended.code:  # else it was over already
                play.complete(tally, before, ended)
    return tally


def clock_set_back(kind: str, times: int) -> Tally:
    """The clock jumps back by a day in every process, at a random moment."""
    tally, draw = Tally(), random.Random(4)
    for _ in range(times):
        with stage(kind) as play:
            ended = play.start(back=draw.uniform(0, duration(kind))).end()
            play.complete(tally, play.whole(), ended)
    return tally


def goes_wrong(times: int, accident: str, **settings) -> Tally:
    """One run hangs, or runs out of memory; the others are recorded, and it is done when it can be."""
    tally = Tally()
    for _ in range(times):
        with stage("sweep", **{"runs": 8} | settings) as play:
            ended = play.start(accident=accident).end()
            before = play.whole()
            tally.lost += len(before) != 7
            play.complete(tally, before, ended)
    return tally


def diverges(times: int) -> Tally:
    """One run diverges: a result, recorded as such and not done again."""
    tally = Tally()
    for _ in range(times):
        with stage("sweep", runs=6, real=True, diverge=True) as play:
            ended = play.start().end()
            play.complete(tally, play.whole(), ended)
            found = [read(path)["status"] for path in play.folder.glob("**/runs/*.json")]
            tally.lost += found.count("diverged") != 1
            tally.said = Counter({f"recorded: {', '.join(sorted(set(found)))}": tally.times})
    return tally


def faults(light: int, studies: int) -> dict[str, Fault]:
    """Name -> what stages it: a quarter of `light` times, or `studies` times where it is a study."""
    few = max(1, light // 4)
    return {
        "no space left on the disk": partial(full_disk, "notebook", few),
        "a file may not grow": partial(full_quota, "sweep", few),
        "a truncated record, a study": partial(damaged, "truncated", studies),
        "a garbled record, a study": partial(damaged, "garbled", studies),
        "two executions at once": partial(two_at_once, "notebook", few),
        "two executions at once, a study": partial(two_at_once, "real", studies),
        "the results folder moved meanwhile": partial(moved, "notebook", few, meanwhile=True),
        "the results folder moved after SIGTERM, a study": partial(moved, "real", studies, meanwhile=False),
        "a clock that jumps back": partial(clock_set_back, "sweep", few),
        "a clock that jumps back, a study": partial(clock_set_back, "real", studies),
        "a run that hangs, limit 3 s": partial(goes_wrong, few, accident="hang", limit=3),
        "a run that hangs, and the clock jumps back": partial(goes_wrong, few, accident="hang", limit=3, back=2),
        "a run that asks for too much memory": partial(goes_wrong, few, accident="memory", real=True),
        "a run whose worker is killed twice": partial(goes_wrong, few, accident="killed", real=True),
        "a run that diverges": partial(diverges, few),
    }
