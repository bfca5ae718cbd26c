"""What a staged execution has in its own processes: a log of the runs that begin, light runs, a clock set back.

A play's settings are JSON in the environment variable FAULTS:
  stage     the folder of the play; FOLDER/begun gets a line for each run that begins: key, 1 if recorded already
  runs      how many light runs there are, of `seconds` each, the last two of `long` seconds
  workers, limit                  those of `sweep.execute`
  accident                        what befalls the run with the number 3: hang, memory, killed
  back                            seconds from the start of a process after which its clock is set back by a day
  real      the light runs are real trainings, the run with the number 3 one that diverges where `diverge` is set
  without   a guard that is taken away: see `guards`
"""

import json
import os
import signal
import sys
import time
import types
from functools import wraps
from pathlib import Path

SETTINGS = json.loads(os.environ.get("FAULTS", "{}"))
VICTIM = 3  # the number of the run that has the accident


def watch(command: str) -> None:
    """Set this process up; called as it starts, with its command line."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell's background process inherits it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if SETTINGS.get("back") is not None:
        _set_back(SETTINGS["back"])
    if SETTINGS.get("real") and ("ipykernel_launcher" in command or "spawn_main" in command):
        from nbhelpers import launch

        launch.attempt = logged(launch.attempt)


def logged(attempt):
    """The same job, with a line in the log for each run that it begins; found under the same name in a worker."""

    @wraps(attempt)
    def noted(run, *args, **options):
        begin(run)
        return attempt(run, *args, **options)

    return noted


def begin(run) -> None:
    """A line in the log, by one write that other processes' lines cannot cut."""
    stage = Path(SETTINGS["stage"])
    line = f"{run.key} {int(any(sound(path) for path in stage.glob(f'**/runs/{run.key}.json')))}\n"
    handle = os.open(stage / "begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)


def sound(path: Path) -> bool:
    """Whether the file is a whole record of the run in its name."""
    from nbhelpers.records import Store

    return Store(path.parent.parent).load(path.stem) is not None


def _set_back(seconds: float) -> None:
    started, right = time.monotonic(), time.time
    time.time = lambda: right() - (86400 if time.monotonic() - started > seconds else 0)


# ------------------------------------------------------------------ light runs


def light(run, **options):
    """A run of nothing: it sleeps, then gives a record of the usual size."""
    begin(run)
    last = run.seed >= SETTINGS["runs"] - 2
    time.sleep(SETTINGS["long"] if last and SETTINGS.get("long") else SETTINGS["seconds"])
    if run.seed == VICTIM and SETTINGS.get("accident") == "hang":
        time.sleep(3600)
    record = {"key": run.key, "version": 1, "status": "done", "run": run.canonical(), "final": {"test_accuracy": 50.0}}
    provenance = {"fingerprint": "0" * 16, "wall_seconds": SETTINGS["seconds"]}
    return record | {"history": [], "probes": {}, "correct": "A" * 8000, "provenance": provenance}


def net(shape, classes, number):
    """The net of a real run; the one with the victim's number has an accident as it is built."""
    import torch

    if number == VICTIM and SETTINGS.get("accident") == "memory":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))
        torch.ones(2**36)  # 256 GiB, of 64 allowed
    if number == VICTIM and SETTINGS.get("accident") == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1] * shape[2], classes))


def runs():
    """The runs of a light execution."""
    from nbhelpers.models import MLP, Custom
    from nbhelpers.run import Data, Recipe, Run

    data = Data(name="shapes", classes=3, size=8, per_class=10, test_per_class=10)
    recipe = Recipe(lr=0.05, epochs=1, batch_size=16)
    wild = Recipe(lr=1e38, epochs=3, batch_size=16)
    found = []
    for number in range(SETTINGS["runs"]):
        own = wild if number == VICTIM and SETTINGS.get("diverge") else recipe
        target = {"target": "benchmarks.faults.inside:net", "kwargs": {"number": number}}
        model = Custom(**target) if SETTINGS.get("real") else MLP(hidden=(4,))
        found.append(Run(data=data, model=model, recipe=own, seed=number))
    return found


def sweep(folder: Path) -> int:
    """Carry the runs out as a notebook does; the number of those that failed, each with a line."""
    from nbhelpers import sweep as sweeps
    from nbhelpers.errors import RunError
    from nbhelpers.records import Store

    if not SETTINGS.get("real"):  # a stand-in for the module of the real job, so that no process imports torch
        sys.modules["nbhelpers.launch"] = types.SimpleNamespace(attempt=light)
    if SETTINGS.get("without"):
        from benchmarks.faults import guards

        guards.GUARDS[SETTINGS["without"]]()
    options = {name: SETTINGS[name] for name in ("workers", "limit") if name in SETTINGS}
    failures = [
        o for _, o in sweeps.execute(runs(), Store(folder), device="cpu", **options) if isinstance(o, sweeps.Failure)
    ]
    if failures:
        raise RunError("; ".join(f"run {failure.run.seed}: {failure.reason}" for failure in failures))
    return 0


def main() -> int:
    """A process that drives a sweep, without a notebook."""
    from nbhelpers.errors import OneLine

    try:
        return sweep(Path(SETTINGS["stage"]) / "results" / "light")
    except OneLine as error:
        print(error, file=sys.stderr)
        return 1
