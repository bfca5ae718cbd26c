"""Accidents on a Ray cluster of four nodes, staged and counted: ``python -m benchmarks.cluster``, some minutes.

A worker, a node and the driver are killed at random moments of a sweep of light runs; the nodes are processes of this
machine. Then what a node is worth that joins, and the bytes that a run sends there and back. Exit code 1 where a run is
lost or repeated, or a process left. Results go to cluster.json and cluster.md.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import idle, written

HERE = Path(__file__).resolve().parent
NODES = 4
RUNS = 40
SECONDS = 0.5  # of a light run
AFTER = 15  # seconds after which a process that carries out a run of a driver that is gone is an orphan
VICTIMS = ("worker", "node", "driver")
FOOT = f"""\
Four nodes with a CPU each, all processes of this machine; {RUNS} runs that sleep {SECONDS:g} s and leave a record of a
usual size. Each kill at a moment drawn DRAWN the {RUNS * SECONDS / NODES:g} s that follow the start of the first
run; a worker or a node is one that has a run then, and not of the head node, which is the cluster. A killed node is
replaced by one that joins while the sweep goes on; a killed driver is started again by the same command. Runs lost: not
recorded at the end. Runs repeated: begun after they were recorded. Orphans: processes that carry out a run {AFTER} s
after the end of their driver. These three must be zero. Begun again: cut short before they were recorded. Seconds: of
the whole sweep, the second start of a killed driver included; without a kill it took CALM s.
"""
JOINS_AFTER = RUNS * SECONDS / 4  # seconds: with a quarter of the runs done on one node
LOG = "NBHELPERS_STAGED"  # the environment variable with the folder of the log, of which every run begins a line


# ------------------------------------------------------------------ in the processes of a sweep


def light(run: Any, **_: Any) -> dict[str, Any]:
    """In place of `launch.attempt`: notes where the run begins and whether it was recorded before, and sleeps."""
    import ray

    folder = Path(os.environ[LOG])
    recorded = int((folder / "set" / "runs" / f"{run.key}.json").exists())
    line = f"{run.key} {ray.get_runtime_context().get_node_id()} {os.getpid()} {recorded}\n"
    handle = os.open(folder / "begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)
    time.sleep(SECONDS)
    return idle.nothing(run)


def drive(address: str, folder: Path) -> None:
    """The sweep."""
    from benchmarks import cluster  # a function of __main__ would travel with all that it uses

    sys.modules["nbhelpers.launch"] = types.SimpleNamespace(attempt=cluster.light)  # no process imports torch
    from nbhelpers import sweep
    from nbhelpers.records import Store

    for _, outcome in sweep.execute(idle.runs(RUNS), Store(folder / "set"), device="cpu", ray=address):
        if isinstance(outcome, sweep.Failure):
            raise SystemExit(outcome.reason)


# ------------------------------------------------------------------------------------- the stage


class Stage:
    """A cluster, and sweeps on it one after the other, each with a folder of its own."""

    def __init__(self, folder: Path, nodes: int = NODES):
        from ray.cluster_utils import Cluster

        # What else runs on this machine is no reason to kill a worker.
        os.environ |= {"RAY_memory_monitor_refresh_ms": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        os.environ[LOG] = self.log = str(folder / "now")  # a link: the nodes have their environment from their start
        self.base, self.cluster = folder, Cluster()
        for _ in range(nodes):
            self.join()

    def join(self) -> str:
        """One more node; its id."""
        small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        for last in (False, False, True):  # one that takes over 15 s to start gives up
            try:
                return self.cluster.add_node(**small).node_id
            except Exception:
                if last:
                    raise
        raise AssertionError

    def leave(self, joined: str) -> None:
        """The node with this id is killed."""
        (node,) = (node for node in self.cluster.worker_nodes if node.node_id == joined)
        self.cluster.remove_node(node, allow_graceful=False)

    def place(self, name: str) -> None:
        """A new folder for the next sweep."""
        (self.base / name).mkdir()
        Path(self.log).unlink(missing_ok=True)
        Path(self.log).symlink_to(self.base / name)

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "benchmarks.cluster", "--drive", self.cluster.address, self.log]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)

    def begin(self) -> subprocess.Popen:
        """Start the driver, and wait until its first run begins."""
        driver = self.start()
        while not self.begun() and driver.poll() is None:
            time.sleep(0.01)
        return driver

    def begun(self) -> list[tuple[str, str, int, bool]]:
        """(key, node, process, whether it was recorded then) of each run that began."""
        path = Path(self.log, "begun")
        lines = path.read_text().splitlines() if path.exists() else []
        return [(key, node, int(pid), recorded == "1") for key, node, pid, recorded in map(str.split, lines)]

    def recorded(self) -> set[str]:
        """The keys that have a sound record."""
        from nbhelpers.records import Store

        return set(Store(Path(self.log, "set")).load_all(path.stem for path in Path(self.log).glob("set/runs/*.json")))

    def busy(self) -> list[tuple[str, int]]:
        """(node, process) of each run that is carried out now."""
        done = self.recorded()
        return sorted({(node, pid) for key, node, pid, _ in self.begun() if key not in done and alive(pid)})


def alive(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(stage: Stage, victim: str, driver: subprocess.Popen, draw: random.Random) -> str:
    """Kill one; the id of a node that joined in place of a killed one."""
    if victim == "driver":
        os.kill(driver.pid, signal.SIGKILL)
        return ""
    able = {node.node_id for node in stage.cluster.worker_nodes}  # without the head, which is the cluster
    while not (busy := [one for one in stage.busy() if one[0] in able]) and driver.poll() is None:
        time.sleep(0.01)
    node, pid = draw.choice(busy) if busy else ("", 0)
    if victim == "worker" and busy:
        os.kill(pid, signal.SIGKILL)
    if victim == "node" and busy:
        stage.leave(node)
        return stage.join()
    return ""


def strike(stage: Stage, victim: str, number: int, times: int, draw: random.Random) -> dict[str, Any]:
    """One kill in one sweep, and what came of it; at a random moment of the part `number` of `times` equal ones."""
    stage.place(f"{victim} {number}")
    moment, begun = (number + draw.random()) / times * RUNS * SECONDS / NODES, time.monotonic()
    driver = stage.begin()
    time.sleep(moment)
    before = stage.recorded()
    joined, orphans = kill(stage, victim, driver, draw), []
    if victim == "driver":
        driver.wait()
        until = time.monotonic() + AFTER
        ran = {pid for _, _, pid, _ in stage.begun()}
        while (orphans := [pid for pid in ran if alive(pid)]) and time.monotonic() < until:
            time.sleep(0.1)
        driver = stage.start()
    code = driver.wait()
    lines = stage.begun()
    repeated = sum(recorded for *_, recorded in lines)
    return {
        **{"victim": victim, "moment": moment, "recorded_before": len(before), "code": code},
        **{"seconds": time.monotonic() - begun, "lost": RUNS - len(stage.recorded())},
        **{"repeated": repeated, "orphans": len(orphans)},
        **{"begun_again": len(lines) - len({key for key, *_ in lines}) - repeated},
        **{"on_joined": sum(node == joined for _, node, _, _ in lines) if joined else None},
    }


def calm(stage: Stage) -> float:
    """Seconds of a sweep that nothing befalls."""
    stage.place("calm")
    begun = time.monotonic()
    if code := stage.start().wait():
        raise RuntimeError(f"a sweep without a kill: exit code {code}")
    return time.monotonic() - begun


def killing(folder: Path, times: int) -> dict[str, Any]:
    """Kills of each kind, `times` of each, and what they are held against."""
    found: dict[str, Any] = {"machine": written.machine(), "bytes": sizes(), "nodes": NODES, "runs": RUNS, "kills": []}
    found["parts"] = times
    draw, stage = random.Random(7), Stage(folder)
    try:
        found["calm"] = calm(stage)
        for victim in VICTIMS:
            for number in range(times):
                found["kills"].append(strike(stage, victim, number, times, draw))
                print(json.dumps(found["kills"][-1]), flush=True)
    finally:
        stage.cluster.shutdown()
    return found


def paced(stage: Stage, name: str, joins: bool) -> dict[str, float]:
    """A sweep, which another node joins or not: seconds from its first run on, and the runs on that node."""
    stage.place(name)
    driver, joined = stage.begin(), ""
    begun = time.monotonic()
    if joins:
        time.sleep(JOINS_AFTER)
        joined = stage.join()
    if code := driver.wait():
        raise RuntimeError(f"a sweep without a kill: exit code {code}")
    seconds = time.monotonic() - begun
    if joined:
        stage.leave(joined)
    return {"seconds": seconds, "on_joined": sum(node == joined for _, node, _, _ in stage.begun())}


def joining(folder: Path, times: int) -> dict[str, Any]:
    """A sweep on one node, and one that a second node joins, taking turns."""
    stage = Stage(folder, nodes=1)
    try:
        pairs = [(paced(stage, f"alone {i}", False), paced(stage, f"joined {i}", True)) for i in range(times)]
    finally:
        stage.cluster.shutdown()
    return {
        "machine": written.machine(),
        "after": JOINS_AFTER,
        "alone": [a for a, _ in pairs],
        "joined": [b for _, b in pairs],
    }


def joins(found: Mapping[str, Any]) -> str:
    """What a node that joins is worth, in a sentence."""
    own, n = found["joining"], len(found["joining"]["joined"])
    alone, joined = (statistics.median(one["seconds"] for one in own[name]) for name in ("alone", "joined"))
    runs = statistics.median(one["on_joined"] for one in own["joined"])
    about = f"{own['machine']['processor']}, {own['machine']['cores']} cores, {own['machine']['date'][:10]}"
    return (
        f"On one node the {found['runs']} runs took {alone:.1f} s from the first one's start on; where a second node "
        f"was started {own['after']:g} s later, {joined:.1f} s, {runs:g} of them on that one (medians of {n}, taking "
        f"turns; {about})."
    )


def sizes() -> dict[str, int]:
    """Bytes that a run sends to its node, and that its record sends back."""
    from functools import partial

    import ray.cloudpickle

    run = idle.runs(1)[0]
    images = [((run.data.name, run.data.size, run.data.classes), "0" * 16, None)]
    job = partial(idle.nothing, processes=1, compiled="no")
    there = ray.cloudpickle.dumps(("0.1.0", job, run, images, {"device": "cpu", "weights": False}))
    return {"there": len(there), "back": len(pickle.dumps(idle.nothing(run)))}


def rows(found: Mapping[str, Any]) -> list[list[Any]]:
    """A row of the table for each kind of victim."""
    made = []
    for victim in VICTIMS:
        own = [kill for kill in found["kills"] if kill["victim"] == victim]
        counts = [sum(kill[name] for kill in own) for name in ("lost", "repeated", "orphans", "begun_again")]
        middle = statistics.median(kill["seconds"] for kill in own)
        joined = [kill["on_joined"] for kill in own if kill["on_joined"] is not None]
        made.append([victim, len(own), *counts, f"{middle:.0f}", sum(joined) if joined else "–"])
    return made


def text(found: Mapping[str, Any]) -> str:
    head = ["Killed", "times", "runs lost", "runs repeated", "orphans", "begun again", "seconds, median"]
    drawn = f"from each of {found['parts']} equal parts of" if "parts" in found else "evenly from"
    foot = FOOT.replace("CALM", f"{found['calm']:.0f}").replace("DRAWN", drawn)
    foot += f"\n{joins(found)}\n\n"
    foot += f"A run's task is {found['bytes']['there']:,} bytes, its record {found['bytes']['back']:,}.\n"
    return written.table(
        [*head, "runs on a node that joined"], ["---", *["--:"] * 7], rows(found), found["machine"], foot
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="kills of each kind, and sweeps that a node joins")
    parser.add_argument("--only", choices=("kills", "joining"), help="this part anew, the other as it was")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--drive", nargs=2, help=argparse.SUPPRESS)  # the sweep, in this process
    options = parser.parse_args()
    if options.drive:
        drive(options.drive[0], Path(options.drive[1]).resolve())
        return 0
    found: dict[str, Any] = json.loads((options.out / "cluster.json").read_text()) if options.only else {}
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        if options.only != "kills":
            found["joining"] = joining(Path(folder), options.times)
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        if options.only != "joining":
            found |= killing(Path(folder), options.times)
    written.save(options.out / "cluster", text(found), found)
    print(text(found))
    wrong = [one for one in found["kills"] if one["lost"] or one["repeated"] or one["orphans"] or one["code"]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
