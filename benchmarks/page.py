"""``docs/where_the_time_goes.md`` from the recorded benchmarks: ``python benchmarks/page.py``.

Their tables and figures are made anew too. Every number on the page comes from a JSON file in this folder; a test
compares the page with what `page` returns.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import batch_sizes
import fixed
import loop
import shares
import side_by_side as bench
import sweeps
import tried
from side_by_side import Row

PAGE = bench.HERE.parent / "docs" / "where_the_time_goes.md"
CLEAR = 1.05  # a ratio of times that is spoken of
INTRODUCTION = """# Where the time goes

What a run of each study spends its time on, what a training step, a sweep and a notebook cost, and what was tried to
shorten them, with what did not pay. `make bench` measures all of it anew; this page is then made from the files in
[benchmarks](../benchmarks/README.md) by `python benchmarks/page.py`, and no number on it is typed by hand. They are
of one small machine without a GPU, which each table names: elsewhere they are others.
"""
REASONS = {  # change: what is to be known about it besides its time
    "the same again": "What is nearer to 1 than this says nothing.",
    "malloc as it is": "Big tensors then come with a page fault for every 4 KiB (`nbhelpers/allocator.py`).",
    "contiguous": "Channels last suits the convolutions of the CPU library; an MLP has none and stays contiguous.",
    "plain optimizer": "`fused=True` moves all parameters in one call.",
    "foreach optimizer": "",
    "DataLoader": "The images lie in memory as one tensor, so a batch is one gather by index.",
    "loss read each step": "On a CPU there is nothing to wait for; on a GPU each reading waits for the step.",
    "gradients zeroed": "",
    "denormals flushed": "",
    "2 threads": "Of one step. A sweep has as many runs at a time as there are cores instead: see above.",
    "bf16": "It is a precision, so it would change the results; the parameter is there for a GPU.",
    "compiled": "The compilation is paid anew by each worker process and each shape of batch.",
}


def studies() -> str:
    """Which study is meant by the short names of the tables."""
    named = {name.split(",")[0]: study for name, (study, *_) in shares.CHOSEN.items()}
    said = ", ".join(f"*{name}* `{study}`" for name, study in named.items())
    return f"In the tables, the studies are {said}; *resnet* are nets of `ResNet_CIFAR10` in their full width.\n"


def seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else f"{value:,.0f} s"


def span(values: list[float], digits: int = 2) -> str:
    """The least and the greatest, once where they look the same."""
    ends = [f"{value:.{digits}f}" for value in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def listed(names: Iterable[str]) -> str:
    """Rows by name, which has commas in it."""
    return ", ".join(f"*{name}*" for name in names)


def ratio(row: Row, one: str, other: str) -> float:
    """How many times as long a step of `one` takes as one of `other`."""
    return row["variants"][one]["seconds_per_step"] / row["variants"][other]["seconds_per_step"]


def of_runs(rows: list[Row], fixed_cost: float) -> str:
    """Shares of a run, and of a whole set with its notebook."""
    lines = []
    for study, name in dict.fromkeys((row["study"], row["set"]) for row in rows):
        done = next(row["recorded"] for row in rows if row["study"] == study)
        sweep = done["seconds"] / 2
        share = 100 * fixed_cost / (fixed_cost + sweep)
        lines.append([study, name, str(done["runs"]), f"{done['seconds'] / 3600:.2f}", f"{share:.2g}"])
    head = ["Study", "Set", "Recorded runs", "Their CPU time, h", "Fixed cost, %"]
    absent = [name for name in shares.CHOSEN if name not in {row["name"] for row in rows}]
    untimed = f" Not timed yet: {listed(absent)}." if absent else ""
    part = {name: span([100 * row["shares"][name]["share"] for row in rows], 1) for name in shares.PARTS}
    step = [100 * sum(row["shares"][name]["share"] for name in ("forward", "backward")) for row in rows]
    return (
        f"## In a run\n\nForward and backward are {span(step, 0)}% of a run's time, loading its batches "
        f"{part['loading']}%, the optimizer {part['optimizer']}%, evaluation {part['evaluation']}%, the probes "
        f"{part['probes']}%.{untimed}\n\n![](../benchmarks/shares.png)\n\n{shares.table(rows)}\n"
        f"Beside its runs a set pays once for its notebook, {seconds(fixed_cost)} (at the end of this page). As a "
        "share of the set's wall time with two workers, if their CPU time were all of it, for the runs that were "
        "recorded on the day of the table above:\n\n"
        f"{bench.table(head, lines, text=2)}"
    )


def of_steps(rows: list[Row]) -> str:
    reached = [row for row in rows if row["target"]["speedup"]]
    missed = [r["name"] for r in reached if round(r["speedup"], 2) < r["target"]["speedup"]]
    missed += [r["name"] for r in rows if round(r["share_of_bound"], 2) < r["target"]["share_of_bound"]]
    said = f"Not all targets are reached: {listed(dict.fromkeys(missed))}." if missed else "All targets are reached."
    if over := [row["name"] for row in reached if ratio(row, "textbook", "bound") < row["target"]["speedup"]]:
        said += f" No loop could reach the speed-up aimed at in {listed(over)}: the net alone takes too long there."
    return (
        f"## In a training step\n\nThe loop takes {span([row['speedup'] for row in rows])} times as many steps a "
        f"second as the textbook's, and {span([100 * row['share_of_bound'] for row in rows], 0)}% of what the net "
        f"alone would do on one fixed batch. {said}\n\n![](../benchmarks/loop.png)\n\n{loop.table(rows)}"
    )


def of_sweeps(rows: list[Row]) -> str:
    pairs = [row["alone"]["ratio"]["times"] for row in rows if "alone" in row]
    whole = [row["ratio"]["times"] for row in rows if row["name"] == sweeps.TEXTBOOK]
    said = f"From start to end, study 2 takes the textbook {whole[0]:.2f} times as long." if whole else ""
    return (
        f"## In a sweep\n\nTwo processes with one thread each do the same runs {span(pairs)} times as fast as one "
        f"process with two threads, the start of the workers apart, which a sweep pays once. {said}\n\n"
        f"![](../benchmarks/sweeps.png)\n\n{sweeps.table(rows)}"
    )


def of_batch_sizes(rows: list[Row]) -> str:
    own = {row["batch_size"]: row for row in rows if row["name"].startswith("study2, batch norm")}
    small, large = own[min(own)], own[max(own)]
    times = small["seconds_per_epoch"] / large["seconds_per_epoch"]
    return (
        f"## By batch size\n\nAn epoch of study 2 with BatchNorm takes {seconds(small['seconds_per_epoch'])} at batch "
        f"size {small['batch_size']} and {seconds(large['seconds_per_epoch'])} at {large['batch_size']}, "
        f"{times:.1f} times less: at small batches the calls of a step cost more than their arithmetic.\n\n"
        f"![](../benchmarks/batch_sizes.png)\n\n{batch_sizes.table(rows)}"
    )


def clear(row: Row) -> float:
    """The ratio from which a difference is one: 5%, or the further quartile of the same step in another process."""
    low, high = tried.quartiles(row, tried.AGAIN) or (1.0, 1.0)
    return max(CLEAR, high, 1 / low)


def sentence(change: str, rows: list[Row]) -> str:
    """What came of a change: the nets in which it is slower, faster, or neither by more than the quartiles."""
    slower, faster, same = [], [], []
    for row in rows:
        if change not in row["steps"]:
            continue
        low, high = tried.quartiles(row, change)
        ratio = row["ratios"][change]
        where = slower if low > 1 and ratio > clear(row) else faster if high < 1 and ratio < 1 / clear(row) else same
        where.append(f"{row['name']} ({ratio:.2f})")
    parts = [
        f"{what} in {listed(found)}"
        for what, found in (("slower", slower), ("faster", faster), ("no clear difference", same))
        if found
    ]
    said = "; ".join(parts) or "not possible on this machine"
    return f"- **{change}** ({tried.CHANGES[change]}): {said}. {REASONS[change]}".rstrip()


def of_changes(rows: list[Row]) -> str:
    lines = "\n".join(sentence(change, rows) for change in tried.CHANGES)
    return (
        "## What was tried\n\nOne change at a time, of a training step at one thread. In brackets its time over that "
        f"of the step as it is; a difference is called so where it is more than {100 * (CLEAR - 1):.0f}%, more than "
        "the further quartile of the same step in another process, and both quartiles lie on that side.\n\n"
        f"{lines}\n\n![](../benchmarks/tried.png)\n\n{tried.table(rows)}"
    )


def of_fixed(rows: list[Row]) -> str:
    known: dict[str, Any] = {row["name"]: row for row in rows}
    quick = [known[name]["now"]["seconds"] for name in fixed.TARGETS if name == "list" or name.startswith("error: ")]
    whole = known["notebook: all but torch"]
    earlier = f", {seconds(whole['before']['seconds'])} before" if "before" in whole else ""
    return (
        f"## Before anything is trained\n\n`nbhelpers --help` takes {seconds(known['help']['now']['seconds'])}, the "
        f"list and the errors of a parameter {span(quick)} s, since torch is not imported for them. A notebook that "
        f"shows nothing costs {seconds(whole['now']['seconds'])} beside the import of torch{earlier}: papermill's "
        f"import no longer takes along `rfc3987_syntax`. One with all its tables and figures, from its records, takes "
        f"{seconds(known['a notebook from its records']['now']['seconds'])} in all. An error between fields is found "
        "in the notebook, before its first training step.\n\n"
        f"![](../benchmarks/fixed.png)\n\n{fixed.table(rows)}"
    )


UNTRIED = """## Not measured here

The speed of a GPU: data kept on the device, CUDA graphs (`compiled`; their steps are tested there for equal results,
not timed here), several runs on one GPU. Other libraries of malloc, other BLAS, processors of another kind.
"""


def page(folder: Path = bench.HERE) -> str:
    """The whole page, from the JSON files in `folder`."""
    found = {name: bench.load(name, folder) for name in ("shares", "loop", "sweeps", "batch_sizes", "tried", "fixed")}
    cost = next(row["now"]["seconds"] for row in found["fixed"] if row["name"] == "a notebook from its records")
    parts = [of_runs(found["shares"], cost), of_steps(found["loop"]), of_sweeps(found["sweeps"])]
    parts += [of_batch_sizes(found["batch_sizes"]), of_changes(found["tried"]), of_fixed(found["fixed"]), UNTRIED]
    return "\n".join([INTRODUCTION, studies(), *parts])


def main() -> None:
    for module in (shares, loop, sweeps, batch_sizes, tried, fixed):
        bench.render(bench.HERE, module.__name__, bench.load(module.__name__), module.table, module.figure)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
