"""Whole sweeps, and study 2 from start to end, side by side: ``python benchmarks/sweeps.py``.

workers    four runs of a study's shape, on embedded images: two worker processes with one thread each, as a sweep has
           them, against one process with two threads; at the start of each its Python has imported torch
textbook   study 2 at one seed with all its batch sizes and both norms: `textbook_study2.py` against ``nbhelpers run
           BatchNorm_vs_GroupNorm --set ran`` with the controls off, each a command from its start to its end

The two sides take turns. The work of training and testing is the same; what else each side does stands in the table.
Results go to sweeps.json, sweeps.md and sweeps.png; ``--only`` replaces its rows there, and with --add its rounds are
added to those of the same machine that are there.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import side_by_side as bench
from nets import Shape, shapes
from side_by_side import Row

import nbhelpers as nb
from nbhelpers import data as datasets

STEPS = {  # of one run: a few seconds at one thread
    "study1, 4 blocks": 3,
    "study2, batch norm, batch 2": 2000,
    "study2, batch norm, batch 32": 400,
    "study3": 6,
    "study4": 500,
}
RUNS = 4
SIZES = [2, 4, 8, 16, 32, 64, 128]
TEXTBOOK = "study 2 from start to end"
SIDES = {"workers": ("1 process x 2 threads", "2 processes x 1 thread"), TEXTBOOK: ("textbook", "nbhelpers")}


def sweep_of(shape: Shape) -> list[nb.Run]:
    recipe = shape.recipe.model_copy(update={"epochs": 1, "steps_per_epoch": STEPS[shape.name]})
    size = None if shape.size == 32 else shape.size
    data = nb.Data(name="shapes", per_class=100, test_per_class=10, size=size, **shape.scaling)
    return [nb.Run(data=data, model=shape.model, recipe=recipe, seed=seed) for seed in range(RUNS)]


def carry_out(runs: list[nb.Run], processes: int) -> tuple[float, float]:
    """Wall seconds of a sweep, with its records: in so many worker processes, or in this one with two threads.

    And those of its runs alone, as each says itself, over the number of processes: without the start of the workers.
    """
    from nbhelpers import perform, records, sweep

    perform._load.cache_clear()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        store = records.Store(Path(folder))
        if processes == 1:
            found = list(sweep.in_process(runs, partial(perform.perform, device="cpu", threads=2)))
            for _, record in found:
                store.save(record)
        else:
            found = list(sweep.execute(runs, store, workers=processes, device="cpu"))
    whole = time.perf_counter() - began
    return whole, sum(record["provenance"]["wall_seconds"] for _, record in found) / processes


def workers(shape: Shape, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of both ways, whole and of the runs alone, from processes that have done a short sweep before."""
    spawn, runs = multiprocessing.get_context("spawn"), sweep_of(shape)
    small = [run.model_copy(update={"recipe": run.recipe.model_copy(update={"steps_per_epoch": 1})}) for run in runs]
    whole, alone = ({side: [] for side in SIDES["workers"]} for _ in range(2))
    with ProcessPoolExecutor(1, spawn) as one, ProcessPoolExecutor(1, spawn) as two:
        sides = dict(zip(whole, ((one, 1), (two, 2)), strict=True))
        for pool, count in sides.values():
            pool.submit(carry_out, small[:1], count).result()
        for _ in range(rounds):
            for side, (pool, count) in sides.items():
                for kept, value in zip((whole, alone), pool.submit(carry_out, runs, count).result(), strict=True):
                    kept[side].append(value)
    return whole, alone


def command(words: list[str], folder: Path, malloc: str) -> float:
    """Wall seconds of a Python command; malloc: `default` as it is, `keep` with the settings of nbhelpers."""
    environment = os.environ | {"PYTHONPATH": str(bench.HERE.parent), "PYTHONWARNINGS": "ignore"}
    environment["NBHELPERS_MALLOC"] = malloc
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr[-2000:]}")
    return time.perf_counter() - began


def from_start_to_end(rounds: int, work: Row) -> dict[str, list[float]]:
    """Seconds of both commands."""
    tested, sizes = work["tested_per_class"], [str(size) for size in work["batch_sizes"]]
    plain = ["--dataset", work["dataset"], "--images", str(work["images_per_class"]), "--tested", str(tested)]
    plain += ["--epochs", str(work["epochs"]), "--sizes", *sizes]
    changes = {"dataset": work["dataset"], "images_per_class": work["images_per_class"], "epochs": work["epochs"]}
    changes |= {"test_images_per_class": tested, "batch_sizes": f"[{', '.join(sizes)}]", "seeds": 1}
    changes |= {"control_batch_sizes": "[]", "alone_batch_sizes": "[]", "alone_epochs": "[]"}
    given = [word for name, value in changes.items() for word in ("--param", f"{name}={value}")]
    found: dict[str, list[float]] = {side: [] for side in SIDES[TEXTBOOK]}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as made:
            words = [str(bench.HERE / "textbook_study2.py"), *plain, "--figure", str(Path(made) / "accuracy.png")]
            found["textbook"].append(command(words, Path(made), "default"))
            words = ["-m", "nbhelpers", "run", "BatchNorm_vs_GroupNorm", "--set", "ran", "--results", made, *given]
            found["nbhelpers"].append(command(words, bench.HERE.parent, "keep"))
        seconds = ", ".join(f"{side} {values[-1]:.0f} s" for side, values in found.items())
        print(f"{TEXTBOOK}, pair {number + 1}: {seconds}", file=sys.stderr, flush=True)
    return found


def ratios(found: dict[str, list[float]]) -> list[float]:
    """The first side over the second, pair by pair."""
    return [a / b for a, b in zip(*found.values(), strict=True)]


def row(name: str, found: dict[str, list[float]], work: Row, earlier: Row | None, alone: Any = None) -> Row:
    """A row of the results; `earlier` is one whose rounds count too. alone: seconds of the runs, without the start."""
    machine = bench.machine(2)
    if earlier and earlier["work"] == work and earlier["machine"]["processor"] == machine["processor"]:
        found = {side: earlier["seconds"][side] + values for side, values in found.items()}
        alone = alone and {side: earlier["alone"]["seconds"][side] + values for side, values in alone.items()}
    made = {"name": name, "sides": list(found), "work": work, "seconds": found}
    made["spread"] = {side: bench.spread(values) for side, values in found.items()}
    made |= {"ratios": ratios(found), "ratio": bench.spread(ratios(found), "times")}
    if alone:
        made["alone"] = {"seconds": alone, "ratio": bench.spread(ratios(alone), "times")}
    return made | {"machine": machine}


def table(rows: list[Row]) -> str:
    lines = []
    for one in rows:
        slow, fast = one["sides"]
        seconds = [bench.cell(one["spread"][side]) for side in (slow, fast)]
        ratio = [bench.cell(one["ratio"], name="times")]
        ratio.append(bench.cell(one["alone"]["ratio"], name="times") if "alone" in one else "–")
        lines.append([one["name"], one["work"]["text"], slow, fast, *seconds, *ratio, str(one["ratio"]["n"])])
    head = ["Sweep", "Work of both sides", "a", "b", "a, s", "b, s", "a over b, times", "without the start", "n"]
    said = "Wall seconds and their ratio within a pair: median (quartiles) of n interleaved pairs."
    more = (
        "In the sweeps, b includes the start of its two workers, which import torch: a few seconds, which a sweep pays "
        "once, however many runs it has; the ratio without it is that of the runs' own times. From start to end, "
        "nbhelpers does this besides: it starts a kernel, measures three probes on each run with BatchNorm, writes a "
        "record of each run, and draws its figures and tables; the textbook draws one figure. Both load the same "
        "prepared images, and the textbook has all cores in one process and malloc as it is."
    )
    return f"{bench.about(rows)}. {said} {more}\n\n{bench.table(head, lines, text=4)}"


def figure(rows: list[Row]) -> Any:
    names = [f"{one['name']}\n{one['sides'][1]} over {one['sides'][0]}" for one in rows]
    series = {"whole": [one["ratio"]["times"] for one in rows]}
    series["without the start of the workers"] = [
        one["alone"]["ratio"]["times"] if "alone" in one else None for one in rows
    ]
    ends = {"whole": [one["ratio"]["quartiles"] for one in rows]}
    drawn = bench.bars(names, series, "speed-up (times), with quartiles", "Whole sweeps, side by side", ends)
    drawn.axes[0].axvline(1, color="black", linewidth=1)
    return drawn


def main() -> None:
    parser = bench.parser(__doc__, rounds=3, epochs=10, images=200, tested=1000)
    parser.add_argument("--add", action="store_true", help="to the rounds that are there")
    options = parser.parse_args()
    known = {shape.name: shape for shape in shapes() if shape.name in STEPS}
    order = [*(name for name in STEPS if name in known), TEXTBOOK]
    wanted = bench.chosen(options, parser, order)
    earlier = {one["name"]: one for one in bench.load("sweeps", options.out)} if options.add else {}
    for name in wanted:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name in known:
            shape = known[name]
            text = f"{RUNS} runs of {STEPS[name]} steps of {shape.recipe.batch_size} images"
            work = {"text": text, "steps": STEPS[name], "runs": RUNS}
            found, alone = workers(shape, options.rounds)
        else:
            dataset = "cifar10" if datasets.available("cifar10") else "shapes"
            text = f"{dataset}, both norms, batch sizes {', '.join(map(str, SIZES))}, {options.epochs} epochs of "
            text += f"{10 * options.images:,} images, {10 * options.tested:,} test images"
            work = {"text": text, "dataset": dataset, "images_per_class": options.images, "epochs": options.epochs}
            work |= {"tested_per_class": options.tested, "batch_sizes": SIZES}
            found, alone = from_start_to_end(options.rounds, work), None
        made = row(name, found, work, earlier.get(name), alone)
        bench.keep(options.out, "sweeps", order, made, table, figure)


if __name__ == "__main__":
    main()
