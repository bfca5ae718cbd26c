"""The stage: an execution in processes of its own, what befalls it, the same command again, and what is counted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import inside

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PATIENCE = 180  # seconds after which an execution hangs
AFTER = 15  # seconds after which a process that is left is an orphan: one that starts must import torch before it looks
AGAIN = 4  # times that the same command is given, at most, to complete what an accident cut short
DRAWS = 10  # stagings for each that is wanted, at most: an accident that came too late is staged again
HANGS = -1000  # the code of an execution that did not end
REAL = "Sigmoid_vs_ReLU"
SMALL = {
    **{"images_per_class": 8, "test_images_per_class": 20, "size": 16, "width": 4, "epochs": 1, "lr": 0.005},
    **{"blocks": [1, 2], "rescaled_blocks": [1], "seeds": 3, "extra_seeds": 3, "device": "cpu", "workers": 2},
}
LIGHT = {"runs": 30, "seconds": 0.05, "workers": 2}
USUAL = {"sweep": {**LIGHT}, "notebook": {**LIGHT}, "real": {"runs": 15}}


@dataclass
class Tally:
    """What a fault did, over all times that it was staged; `wanted` is how often it was to be.

    cannot: why this user cannot stage it, such as for want of a right. moments: of each signal, the seconds from the
    start of the execution, or in a study from that of its first run, and how many runs were recorded then.
    """

    fault: str = ""
    wanted: int = 0
    times: int = 0
    lost: int = 0
    repeated: int = 0
    orphans: int = 0
    begun_again: int = 0
    said: Counter = field(default_factory=Counter)
    cannot: str = ""
    moments: list[tuple[float, int]] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        staged = bool(self.cannot) or self.times >= max(1, self.wanted)
        return staged and not (self.lost or self.repeated or self.orphans)

    def draws(self, wanted: int) -> Iterator[None]:
        """Once more until it was staged so often; given up, and not sound, where the product takes no notice of it."""
        self.wanted = wanted
        for _ in range(DRAWS * wanted):
            if self.times < wanted:
                yield


@dataclass(frozen=True)
class Ended:
    """How an execution ended: exit code, all that it printed, processes that it left."""

    code: int
    text: str
    orphans: int

    @property
    def said(self) -> str:
        """What its user sees at the end."""
        if self.code == 0:
            return "goes on to its end"
        if self.code < 0:
            return "hangs" if self.code == HANGS else f"nothing (killed by {signal.Signals(-self.code).name})"
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        last = re.sub(r'"/[^"]*/', '"', lines[-1]) if lines else "nothing"  # a file without the folders of this machine
        return f"{last} (exit code {self.code})"

    def line(self, words: str) -> str:
        """The line with these words in it."""
        return next((line.strip() for line in self.text.splitlines() if words in line), f"nothing of {words!r}")


class Execution:
    """A command under way on a stage."""

    def __init__(self, stage: Stage, command: list[str], settings: dict[str, Any], results: Path):
        self.mark = uuid.uuid4().hex
        self.output = tempfile.TemporaryFile("w+", dir=stage.outside)  # noqa: SIM115 (closed as it ends)
        paths = [str(HERE / "watched"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            **{"FAULTS": json.dumps(settings | {"stage": str(stage.folder)}), "FAULTS_MARK": self.mark},
            **{"PYTHONPATH": os.pathsep.join(paths), "NBHELPERS_RESULTS": str(results), "NBHELPERS_FRESH": ""},
        }
        streams = {"stdout": self.output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=stage.project, env=environment, start_new_session=True, **streams)

    def processes(self) -> list[psutil.Process]:
        """Its processes that are alive: they inherit its environment."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            mine = process.environ().get("FAULTS_MARK") == self.mark
            return mine and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def find(self, word: str) -> psutil.Process | None:
        """Its youngest process with `word` in its command, waited for; None where it ended before there was one."""
        while self.process.poll() is None:
            for process in sorted(psutil.Process(self.process.pid).children(recursive=True), key=lambda p: -p.pid):
                try:
                    if word in " ".join(process.cmdline()):
                        return process
                except psutil.Error:
                    pass
            time.sleep(0.01)
        return None

    def end(self) -> Ended:
        """Wait for its end, then for that of its processes; those that are left are killed."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = HANGS
        until = time.monotonic() + AFTER
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        for process in left:
            process.kill()
        self.process.wait()
        self.output.seek(0)
        text = self.output.read()
        self.output.close()
        return Ended(code, text, len(left))


class Stage:
    """A folder for one staging: where the results are, the log of runs that began, and how the command is given.

    kind: "sweep", a light process that drives light runs; "notebook", light runs in a kernel under ``nbhelpers run``;
    "real", a study under ``nbhelpers run``.
    """

    def __init__(self, folder: Path, kind: str, **settings: Any):
        self.folder, self.kind, self.settings = folder, kind, settings
        self.folder.mkdir(parents=True)
        self.outside = folder.parent  # not on the disk that an accident fills
        self.results, self.log = folder / "results", folder / "begun"
        self.project = self._project() if kind == "notebook" else CHECKOUT

    def _project(self) -> Path:
        """A project with one notebook, of light runs."""
        project = self.outside / "project"
        for name in ("notebooks", "params/Light"):
            (project / name).mkdir(parents=True, exist_ok=True)
        (project / "params" / "Light" / "demo.yaml").write_text("speed: 1\n")
        shutil.copy(HERE / "light.ipynb", project / "notebooks" / "Light.ipynb")
        return project

    def start(self, **changes: Any) -> Execution:
        """Give the command, with changed settings for this time."""
        python = [sys.executable, "-m"]
        if self.kind == "sweep":
            command = [*python, "benchmarks.faults.light"]
        else:
            command = [*python, "nbhelpers", "run", REAL if self.kind == "real" else "Light"]
            params = SMALL if self.kind == "real" else {}
            command += [word for name, value in params.items() for word in ("--param", f"{name}={value}")]
        return Execution(self, command, {"real": self.kind == "real"} | self.settings | changes, self.results)

    def recorded(self) -> dict[str, bool]:
        """Key -> whether its record is whole, of all files that have the name of a record."""
        found: dict[str, bool] = {}
        for path in self.folder.glob("**/runs/[!.]*.json"):
            found[path.stem] = found.get(path.stem, False) or inside.sound(path)
        return found

    def whole(self) -> set[str]:
        return {key for key, sound in self.recorded().items() if sound}

    def halves(self) -> bool:
        """Whether a file with the name of a record is none."""
        return not all(self.recorded().values())

    def has_begun_all(self) -> bool:
        """Whether every run has begun: the last of them are the long ones."""
        return len(self.begun()) >= self.settings["runs"]

    def begun(self) -> list[tuple[str, bool]]:
        """(key, whether it was recorded then) of each run that began, in turn."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [(key, recorded == "1") for key, recorded in map(str.split, lines)]

    def complete(self, tally: Tally, before: set[str], ended: Ended, damaged: Collection[str] = ()) -> Ended:
        """Give the same command until it succeeds, and count; how its last execution ended.

        before: keys that were recorded when the accident came; damaged: those whose records were damaged on purpose;
        ended: how the execution ended that had the accident.
        """
        found = self.recorded()
        lost = {key for key, sound in found.items() if not sound} - {*damaged} | (before - found.keys())
        tally.times, tally.orphans = tally.times + 1, tally.orphans + ended.orphans
        tally.said[ended.said] += 1
        for _ in range(AGAIN):
            last = self.start().end()
            tally.orphans += last.orphans
            if last.code == 0:
                break
        else:
            tally.said[f"NOT COMPLETED: {last.said}"] += 1
        whole, begun = self.whole(), self.begun()
        repeated = sum(recorded for _, recorded in begun)
        tally.lost += len(lost | (before - whole)) + max(0, self.settings["runs"] - len(lost | whole))
        tally.repeated += repeated
        tally.begun_again += len(begun) - len({key for key, _ in begun}) - repeated
        return last


@contextmanager
def stage(kind: str, **settings: Any) -> Iterator[Stage]:
    """A stage in a folder of its own, which is removed."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        yield Stage(Path(folder) / "stage", kind, **USUAL[kind] | settings)


Fault = Callable[[], Tally]  # what stages a fault some times, and counts
