"""What everything costs before anything is trained: ``python benchmarks/fixed.py [--before DIR]``.

Commands of the command line, what a notebook costs that trains nothing, and what a sweep adds to its runs, each in a
new process, interleaved, as medians of wall seconds with quartiles. --before names a checkout of an earlier version,
which then takes turns with this one. Results go to fixed.json, fixed.md and fixed.png; ``--only`` replaces its rows.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import side_by_side as bench
from side_by_side import Row

ROOT = bench.HERE.parent
STUDY = "BatchNorm_vs_GroupNorm"
COMMANDS = {  # what is measured: words of the command line, the exit code
    "help": (["--help"], 0),
    "list": (["list"], 0),
    "error: name": (["run", STUDY, "--param", "epohcs=3"], 2),
    "error: type": (["run", STUDY, "--param", "epochs=many"], 2),
    "error: range": (["run", STUDY, "--param", "epochs=-1"], 2),
    "error: set": (["run", STUDY, "--set", "rann"], 2),
    "error: data set": (["run", STUDY, "--param", "dataset=cifar11"], 2),
    "error: train, name": (["train", "--model", "resnet50", "--param", "epohcs=3"], 2),
    "error: train, net": (["train", "--model", "resnet51"], 2),
    "error: between fields": (["run", STUDY, "--param", "groups=32", "--results", "{folder}"], 2),
    "a notebook from its records": (["run", STUDY, "--set", "demo", "--recorded", "--results", "{folder}"], 0),
}
CODE = {"python": "pass", "import torch": "import torch", "import nbhelpers, Study": "import nbhelpers as nb; nb.Study"}
PARTS = {  # of a notebook that trains and shows nothing, in their order
    "notebook: papermill": "Python starts, the parameters are checked, papermill is imported",
    "notebook: kernel": "until the kernel runs the first cell",
    "notebook: import torch": "in the kernel",
    "notebook: other imports": "in the kernel: Study, figures, what trains",
    "notebook: end": "kernel and papermill come to their end",
    "notebook: all but torch": "the sum without the import of torch",
}
SWEEPS = {
    "sweep: start of 2 workers": "until both have carried out the smallest run",
    "sweep: a run": "of the smallest net, one step, in this process, with its record",
}
TARGETS = dict.fromkeys(("help", "list", "error: name", "error: type", "error: range"), 0.7)
TARGETS |= {"notebook: all but torch": 5.0}
CELLS = ["import torch", "import nbhelpers as nb\nfrom nbhelpers import launch, probes\nnb.Study, nb.plots.curves"]
NOTEBOOK = """
import json, sys, time
from pathlib import Path
begin = time.time()
from nbhelpers import papermill_run, parameters
parameters.which(sys.argv[4], parameters.load(sys.argv[4], "demo"))
source, made = Path(sys.argv[1]), Path(sys.argv[2])
code = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
cells = [code | {"id": str(i), "source": text} for i, text in enumerate(json.loads(sys.argv[3]))]
whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
source.write_text(json.dumps(whole))
import contextlib
light = getattr(papermill_run, "light", None)
with light.without(light.IRI) if light else contextlib.nullcontext():
    import papermill
imported = time.time()
node = papermill_run._execute(source, made, {}, "", None)
outs = [float(cell.outputs[0].text) for cell in node.cells if cell.outputs]
print(json.dumps([begin, imported, *outs]))
"""
SWEEP = """
import sys, time, tempfile
import nbhelpers as nb
from nbhelpers import sweep, records, launch
data = nb.Data(name="shapes", per_class=8, test_per_class=2, size=8, classes=2)
recipe = nb.Recipe(lr=0.1, epochs=1, batch_size=16)
runs = [nb.Run(data=data, model=nb.MLP(hidden=(2,)), recipe=recipe, seed=s) for s in range(int(sys.argv[1]))]
warm = nb.Run(data=data, model=nb.MLP(hidden=(2,)), recipe=recipe, seed=99)
launch.attempt(warm, "cpu")
began = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    list(sweep.execute(runs, records.Store(folder), workers=int(sys.argv[2]), device="cpu"))
    print(time.perf_counter() - began)
"""


def _environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout), "PYTHONWARNINGS": "ignore"}


def run(words: list[str], checkout: Path, code: int = 0) -> tuple[float, str]:
    """Wall seconds and standard output of a new Python process; RuntimeError for another exit code."""
    started = time.perf_counter()
    # In the checkout: python -m and -c look into the working folder first.
    options = {"env": _environment(checkout), "cwd": checkout, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *words], **options)
    seconds = time.perf_counter() - started
    if done.returncode != code:
        raise RuntimeError(f"{words}: exit code {done.returncode}: {done.stderr[-500:]}")
    return seconds, done.stdout


def notebook(checkout: Path, folder: Path) -> dict[str, float]:
    """The parts of a notebook that trains and shows nothing."""
    import json

    stamp = "import time\nprint(time.time())"
    cells = [stamp, *(f"{cell}\n{stamp}" for cell in CELLS)]
    words = ["-c", NOTEBOOK, str(folder / "n.ipynb"), str(folder / "m.ipynb"), json.dumps(cells), STUDY]
    whole, out = run(words, checkout)
    begin, imported, first, torch, others = json.loads(out.splitlines()[-1])
    start = run(["-c", "pass"], checkout)[0]  # of Python, before `begin`
    end = whole - start - (others - begin)
    seconds = [start + imported - begin, first - imported, torch - first, others - torch, end]
    return dict(zip(PARTS, [*seconds, whole - (torch - first)], strict=True))


def command(name: str, words: list[str], checkout: Path, code: int = 0) -> dict[str, float]:
    """A process from its start to its end."""
    return {name: run(words, checkout, code)[0]}


def sweep(name: str, words: list[str], checkout: Path, share: int) -> dict[str, float]:
    """A part of a sweep: what the process says, over `share`."""
    return {name: float(run(words, checkout)[1].splitlines()[-1]) / share}


def tasks(wanted: list[str], checkout: Path, folder: Path) -> dict[str, Callable[[], dict[str, float]]]:
    """What is done once in every round: each gives seconds by name."""
    made: dict[str, Callable[[], dict[str, float]]] = {}
    for name in wanted:
        if name in COMMANDS:
            words, code = COMMANDS[name]
            words = ["-m", "nbhelpers", *(word.format(folder=folder) for word in words)]
            made[name] = partial(command, name, words, checkout, code)
        elif name in CODE:
            made[name] = partial(command, name, ["-c", CODE[name]], checkout)
        elif name in PARTS:
            made["notebook"] = partial(notebook, checkout, folder)
        else:
            runs, workers = (2, 2) if "workers" in name else (20, 1)
            words = ["-c", SWEEP, str(runs), str(workers)]
            made[name] = partial(sweep, name, words, checkout, runs if workers == 1 else 1)
    return made


def measure(wanted: list[str], rounds: int, before: Path | None) -> dict[str, dict[str, list[float]]]:
    """Version -> name -> seconds in each round."""
    checkouts = {"now": ROOT} | ({"before": before} if before else {})
    found: dict[str, dict[str, list[float]]] = {version: {} for version in checkouts}
    with tempfile.TemporaryDirectory() as made:
        todo = {}
        for version, checkout in checkouts.items():
            (folder := Path(made, version)).mkdir()
            if "a notebook from its records" in wanted:
                run(["-m", "nbhelpers", "run", STUDY, "--results", str(folder)], checkout)
            todo[version] = tasks(wanted, checkout, folder)
        for number in range(rounds + 1):  # the first one fills the file cache
            for name in todo["now"]:
                for version, known in todo.items():
                    for part, seconds in known[name]().items() if number else ():
                        found[version].setdefault(part, []).append(seconds)
                    if not number:
                        known[name]()
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return found


def commit(checkout: Path) -> str:
    words = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def table(rows: list[Row]) -> str:
    said, compared = {**PARTS, **SWEEPS}, any("before" in row for row in rows)
    lines = []
    for row in rows:
        what, target = said.get(row["name"], ""), TARGETS.get(row["name"])
        reached = f"{target:g} {'✓' if row['now']['seconds'] < target else '✗'}" if target else "–"
        earlier = [bench.cell(row["before"]) if "before" in row else "–"] if compared else []
        lines.append([row["name"] + (f" ({what})" if what else ""), *earlier, bench.cell(row["now"]), reached])
    n = min(row["now"]["n"] for row in rows)
    commits = {row["before"]["commit"] for row in rows if "before" in row}
    earlier = f" Before: commit {', '.join(sorted(commits))}." if commits else ""
    head = ["What", "before, s", "now, s", "less than"] if compared else ["What", "seconds", "less than"]
    return (
        f"{bench.about(rows)}. Wall seconds: median (quartiles) of {n} rounds.{earlier}\n\n{bench.table(head, lines)}"
    )


def figure(rows: list[Row]) -> Any:
    series = {"before": [row.get("before", {}).get("seconds") for row in rows]}
    series["now"] = [row["now"]["seconds"] for row in rows]
    series = {name: values for name, values in series.items() if any(values)}
    ends = {name: [row[name]["quartiles"] if name in row else None for row in rows] for name in series}
    names, targets = [row["name"] for row in rows], [TARGETS.get(row["name"]) for row in rows]
    xlabel = "seconds, with quartiles"
    return bench.bars(names, series, xlabel, "Before anything is trained", ends, targets, log=True)


def main() -> None:
    parser = bench.parser(__doc__, rounds=5)
    parser.add_argument("--before", type=Path, metavar="DIR", help="a checkout of an earlier version")
    options, known = parser.parse_args(), [*CODE, *COMMANDS, *PARTS, *SWEEPS]
    wanted = bench.chosen(options, parser, known)
    before = options.before and options.before.absolute()
    found = measure(wanted, options.rounds, before)
    for name in (name for name in known if name in found["now"]):
        row = {"name": name, "now": bench.spread(found["now"][name])}
        if before:
            row["before"] = bench.spread(found["before"][name]) | {"commit": commit(before)}
        bench.keep(options.out, "fixed", known, row | {"machine": bench.machine(1)}, table, figure)


if __name__ == "__main__":
    main()
