"""Thousands of recorded runs that do nothing: ``python -m benchmarks.scale``, some minutes. See scale.md.

The cost of a run that is not the run itself, by the local worker processes and by Ray on this machine; the memory of
the driver on the way; then `nbhelpers list` and the table of all runs. Results go to scale.json and scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
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
WORKERS = 2
POINTS = 10  # how often the memory is noted
STUDY, SET = "Sigmoid_vs_ReLU", "demo"  # whose place the records take
TARGETS = {"local": 12, "list": 2, "table": 2}  # milliseconds; seconds; seconds
FLAT = 10  # MiB that the driver may grow by, from a tenth of the runs to all of them
POOLS = {"local": "local worker processes", "ray": "Ray on this machine"}
FOOT = """\
The runs do nothing: each answers at once with a record as large as a committed one, and what is left is handing out,
sending back and recording. Milliseconds: from the first record to the last, over the runs between; the start of the
workers is apart. A record is written to a temporary file, flushed to the disk and renamed: the first row does that
alone. Memory: resident set of the process that drives the sweep. List: `nbhelpers list`, with the start of Python,
median of three.
Table: all records read and arranged as rows, with `runs.csv` written, imports apart.
"""


def drive(pool: str, folder: Path, count: int) -> dict[str, Any]:
    """Carry out `count` runs in this process's pool: milliseconds per run, and the memory on the way."""
    sys.modules["nbhelpers.launch"] = types.SimpleNamespace(attempt=idle.nothing)  # no process imports torch
    import psutil

    from nbhelpers import sweep
    from nbhelpers.records import Store

    own, memory, runs = psutil.Process(), {}, idle.runs(count)
    options = {"ray": "local"} if pool == "ray" else {"workers": WORKERS}
    begun = time.perf_counter()
    for done, (_, outcome) in enumerate(sweep.execute(runs, Store(folder), device="cpu", **options), 1):
        if not isinstance(outcome, dict):
            raise SystemExit(outcome.reason)
        if done == 1:
            first = time.perf_counter()
        if done % (count // POINTS) == 0:
            memory[done] = round(own.memory_info().rss / 2**20, 1)
        last = time.perf_counter()
    return {"ms": 1000 * (last - first) / (count - 1), "start": first - begun, "memory": memory, "runs": count}


def writes(folder: Path, count: int) -> dict[str, Any]:
    """Only the records, written one after the other."""
    from nbhelpers.records import Store

    store, made = Store(folder), [idle.nothing(run) for run in idle.runs(count)]
    begun = time.perf_counter()
    for record in made:
        store.save(record)
    seconds, size = time.perf_counter() - begun, store.path(made[0]["key"]).stat().st_size
    return {"ms": 1000 * seconds / count, "runs": count, "bytes": size}


def table(folder: Path, count: int) -> dict[str, Any]:
    """All records as rows, and ``runs.csv``."""
    import psutil

    from nbhelpers import outputs, tables
    from nbhelpers.records import Store

    planned = [(run.key, run.labels, run.seed) for run in idle.runs(count)]
    begun = time.perf_counter()
    frame = tables.runs(planned, Store(folder).load_all(key for key, _, _ in planned))
    outputs.write_csv(folder, frame)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": len(frame), "memory": round(psutil.Process().memory_info().rss / 2**20, 1)}


def listed(results: Path, folder: Path, count: int) -> dict[str, Any]:
    """`nbhelpers list`, median of three."""
    entries = [
        {"key": run.key, "seed": run.seed, "labels": run.labels, "predicted_seconds": 1.0} for run in idle.runs(count)
    ]
    (folder / "plan.json").write_text(json.dumps({"study": STUDY, "runs": entries}), encoding="utf-8")
    # A summary, so that it is found out whether it is of these records; and it is of none.
    (folder / "summary.json").write_text(json.dumps({"version": 1, "records": ""}), encoding="utf-8")
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        text = run_here("-m", "nbhelpers", "list", "--results", str(results))
        took.append(time.perf_counter() - begun)
    if f"{SET} {count} {count} complete, stale" not in " ".join(text.split()):
        raise RuntimeError(text)
    return {"seconds": sorted(took)[1], "runs": count}


def run_here(*words: str) -> str:
    """What a process of its own prints."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=HERE.parent)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def apart(what: str, folder: Path, count: int) -> dict[str, Any]:
    """One of the measurements in a process of its own."""
    return json.loads(run_here("-m", "benchmarks.scale", "--part", what, str(folder), str(count)).splitlines()[-1])


def measure(count: int) -> dict[str, Any]:
    """All of them."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=HERE) as made:  # where records are, not a file system in memory
        results = Path(made, "results")
        folder = results / STUDY / SET
        writing = [apart("writing", Path(made, "writing 0"), count // 10)]
        found["local"] = apart("local", folder, count)
        print(f"{found['local']['ms']:.1f} ms a run in local processes", flush=True)
        found["list"] = listed(results, folder, count)
        found["table"] = apart("table", folder, count)
        writing.append(apart("writing", Path(made, "writing 1"), count // 10))
        found["ray"] = apart("ray", Path(made, "ray"), count)
        writing.append(apart("writing", Path(made, "writing 2"), count // 10))
        times = [one["ms"] for one in writing]
        found["writing"] = writing[0] | {"ms": statistics.median(times), "each": times}
    return found


def grown(memory: Mapping[Any, float]) -> float:
    """MiB by which the driver grew, from the first point to the last."""
    values = list(memory.values())
    return values[-1] - values[0]


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The rows of the table."""

    def mark(value: float, target: float | None) -> str:
        return f"{target:g} {'✓' if value < target else '✗'}" if target else "–"

    writing, made = found["writing"], []
    what = f"a record written, {writing['bytes']:,} bytes"
    what += f", median of {len(writing['each'])}: before, between and after the sweeps" if "each" in writing else ""
    made.append([what, f"{writing['runs']:,}", f"{writing['ms']:.1f} ms", "–"])
    for name, said in POOLS.items():
        one = found[name]
        made.append([f"a run by {said}", f"{one['runs']:,}", f"{one['ms']:.1f} ms", mark(one["ms"], TARGETS.get(name))])
        made.append([f"the start of {said}", "1", f"{one['start']:.1f} s", "–"])
        ends = list(one["memory"].items())
        text = f"{ends[0][1]:.0f} MiB after {int(ends[0][0]):,}, {ends[-1][1]:.0f} MiB after {int(ends[-1][0]):,}"
        made.append([f"memory of the driver, {said}", f"{one['runs']:,}", text, f"+{mark(grown(one['memory']), FLAT)}"])
    made.append(
        ["list", f"{found['list']['runs']:,}", f"{found['list']['seconds']:.2f} s", mark(found["list"]["seconds"], 2)]
    )
    one = found["table"]
    made.append(["table", f"{one['rows']:,}", f"{one['seconds']:.2f} s", mark(one["seconds"], TARGETS["table"])])
    return made


def text(found: Mapping[str, Any]) -> str:
    head, align = ["What", "runs", "measured", "less than"], ["---", "--:", "--:", "--:"]
    return written.table(head, align, rows(found), found["machine"], FOOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # one measurement, in this process
    options = parser.parse_args()
    if options.part:
        what, folder, count = options.part
        part = {"writing": writes, "table": table}.get(what) or (lambda *args: drive(what, *args))
        print(json.dumps(part(Path(folder), int(count))))
        return
    found = {"machine": written.machine()} | measure(options.runs)
    written.save(options.out / "scale", text(found), found)
    print(text(found))


if __name__ == "__main__":
    main()
