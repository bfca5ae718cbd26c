"""What the benchmarks share: variants timed in turn in processes of their own, and rows kept as JSON, table and figure.

Rounds are interleaved, so that a slow minute of the machine hits all variants alike; a number is the median over the
rounds, with its quartiles. Every row says on which machine and when it was measured; measuring a row anew replaces it
and leaves the others.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from written import CODE

from nbhelpers import outputs

Row = dict[str, Any]
Loop = Callable[[int, int], Any]  # (epochs, steps of each): what is timed
HERE = Path(__file__).parent


# --------------------------------------------------------------------------------- what is timed


@dataclass(frozen=True)
class Variant:
    """`make(*args)` returns the Loop to be timed, in a process of its own with this `environment`.

    epoch: the most steps that it takes in one epoch.
    """

    make: Callable[..., Loop]
    args: tuple
    epoch: int
    environment: dict[str, str] = field(default_factory=dict)


_loop: Loop  # in the process of a variant


def _prepare(make: Callable[..., Loop], args: tuple) -> float:
    global _loop
    started = time.perf_counter()
    _loop = make(*args)
    return time.perf_counter() - started


def _measure(epochs: int, steps: int) -> tuple[float, int]:
    """Seconds per step, and the peak memory of the process so far in MiB."""
    started = time.perf_counter()
    _loop(epochs, steps)
    seconds = (time.perf_counter() - started) / (epochs * steps)
    return seconds, _peak_mib()


def _peak_mib() -> int:
    """The most memory that this process has had, in MiB. On Linux not ru_maxrss, which begins with its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) >> 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if platform.system() == "Darwin" else 10)


def _follow_parent() -> None:
    from nbhelpers import workers

    workers.follow_parent()


@contextmanager
def _worker(environment: Mapping[str, str]):
    """One spawned process; its malloc and threads read the environment as it starts."""
    before = dict(os.environ)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _follow_parent) as pool:
        os.environ.update(environment)
        try:
            pool.submit(int).result()
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield pool


def in_turn(variants: Mapping[str, Variant], rounds: int, seconds: float) -> dict[str, Row]:
    """Time all variants in turn: name -> seconds per step (median, quartiles), steps of a round, peak memory, start.

    seconds: about how long one variant takes in one round. "first" is what making the variant and its first step took.
    """
    plans, first = {}, {}
    times, memory = {name: [] for name in variants}, dict.fromkeys(variants, 0)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(variant.environment)) for name, variant in variants.items()}
        for name, variant in variants.items():
            made = workers[name].submit(_prepare, variant.make, variant.args).result()
            one = workers[name].submit(_measure, 1, 1).result()[0]
            first[name] = made + one
            again = workers[name].submit(_measure, 1, 1).result()[0]
            few, epoch = min(10, variant.epoch), variant.epoch
            trial = workers[name].submit(_measure, 1, few).result()[0] if 20 * again < seconds else again
            steps = seconds / trial
            plans[name] = (round(steps / epoch) or 1, min(epoch, round(steps) or 1))  # whole epochs, or a part of one
            workers[name].submit(_measure, *plans[name]).result()
        for _ in range(rounds):
            for name, worker in workers.items():
                step, memory[name] = worker.submit(_measure, *plans[name]).result()
                times[name].append(step)
    return {
        name: spread(times[name], "seconds_per_step")
        | {"steps_per_round": plans[name][0] * plans[name][1], "peak_mib": memory[name], "first": first[name]}
        for name in variants
    }


def spread(values: Sequence[float], name: str = "seconds") -> Row:
    """Median and quartiles of the values, and how many they are; of one value all three are that."""
    several = values if len(values) > 1 else [*values, *values]
    low, middle, high = statistics.quantiles(several, n=4, method="inclusive")
    return {name: middle, "quartiles": [low, high], "n": len(values)}


# ------------------------------------------------------------------------------- what is kept


def machine(threads: int) -> Row:
    """The machine, the commit and the moment, as every row has them."""
    import torch

    from nbhelpers.device import describe
    from nbhelpers.perform import commit

    found = {"processor": describe(torch.device("cpu")), "cores": os.cpu_count(), "threads": threads}
    found |= {"python": platform.python_version(), "torch": torch.__version__, "commit": commit(*CODE)}
    return found | {"date": datetime.now(UTC).isoformat(timespec="seconds")}


def about(rows: Iterable[Row]) -> str:
    """On which machines, from when to when, and at which commits rows were measured."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        m = row["machine"]
        threads = f"{m['threads']} thread{'s' if m['threads'] != 1 else ''}"
        name = f"{m['processor']}, {m['cores']} cores, {threads}, Python {m['python']}, torch {m['torch']}"
        groups.setdefault(name, []).append(m)
    return "; ".join(f"{name}, {_when(machines)}" for name, machines in groups.items())


def _when(machines: Iterable[Row]) -> str:
    days = sorted(m["date"][:10] for m in machines)
    commits = dict.fromkeys(m["commit"] for m in machines if m.get("commit"))
    return " to ".join(dict.fromkeys([days[0], days[-1]])) + "".join(f", commit {commit}" for commit in commits)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """Rows in Markdown; the first `text` columns are text, the others numbers."""
    lines = [head, ["---"] * text + ["--:"] * (len(head) - text), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def cell(found: Row, unit: float = 1, name: str = "seconds", digits: int = 3) -> str:
    """Median (quartiles), in the unit that `name` times `unit` is in."""
    middle, low, high = (number(value * unit, digits) for value in (found[name], *found["quartiles"]))
    return f"{middle} ({low}–{high})"


def number(value: float, digits: int = 3) -> str:
    """So many digits, and all of those before the point."""
    return f"{value:.{digits}g}" if abs(value) < 10**digits - 0.5 else f"{value:,.0f}"


def parser(doc: str, **defaults: Any) -> argparse.ArgumentParser:
    """The options that all have; `defaults` become options too."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="rows whose name begins so")
    made.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    for name, value in defaults.items():
        made.add_argument(f"--{name}", type=type(value), default=value)
    return made


def chosen(options: argparse.Namespace, made: argparse.ArgumentParser, known: Sequence[str]) -> list[str]:
    """The names that --only asks for; the parser's error where there are none, or no rounds."""
    found = [name for name in known if name.startswith(tuple(options.only))]
    if not found:
        made.error(f"--only: known are {'; '.join(known)}")
    if options.rounds < 1:
        made.error("--rounds: at least 1")
    return found


def keep(out: Path, name: str, known: Sequence[str], row: Row, text: Callable[..., str], draw: Callable) -> None:
    """Put `row` in ``NAME.json``, by its "name", and render the rows, which are in the order `known`."""
    rows = {old["name"]: old for old in load(name, out)} | {row["name"]: row}
    ordered = [rows[one] for one in known if one in rows]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    render(out, name, ordered, text, draw)
    print(text([row]), flush=True)


def render(out: Path, name: str, rows: list[Row], text: Callable[..., str], draw: Callable) -> None:
    """Write the table ``NAME.md`` and the figure ``NAME.png`` of the rows."""
    (out / f"{name}.md").write_text(text(rows), encoding="utf-8")
    figure = draw(rows)
    figure.supxlabel(about(rows), fontsize=7, color="0.4", x=0.99, ha="right")
    (out / f"{name}.png").write_bytes(outputs.png(figure))


def load(name: str, folder: Path = HERE) -> list[Row]:
    """The rows in ``NAME.json``; none where there is no such file."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


Ends = Sequence[Sequence[float] | None]  # a pair for each name


def bars(
    names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    xlabel: str,
    title: str,
    ends: Mapping[str, Ends] | None = None,
    targets: Sequence[float | None] = (),
    log: bool = False,
):
    """Horizontal bars, a group for each name and a colour for each series; on a logarithmic axis dots.

    ends: of each series the quartiles, thin lines. targets: of each name what is to be reached, a diamond.
    """
    from nbhelpers.plots.style import new, plain_log_ticks, title_of

    figure, axis = new(9, 1.4 + 0.22 * len(names) * max(2, len(series)))
    height = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        places = [k + (i - (len(series) - 1) / 2) * height for k in range(len(names))]
        if log:
            axis.plot([value or math.nan for value in values], places, "o", label=label)
        else:
            axis.barh(places, [value or 0 for value in values], height, label=label)
        for place, pair in zip(places, (ends or {}).get(label, ()), strict=False):
            axis.plot(pair or [], [place] * len(pair or ()), color="black", linewidth=1)
    if marked := [(target, k) for k, target in enumerate(targets) if target]:
        axis.plot(*zip(*marked, strict=True), "D", mfc="none", mec="black", ms=5, label="to reach")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    if log:
        plain_log_ticks(axis, "x")
    axis.set_xlabel(xlabel)
    if len(series) > 1 or marked:
        axis.legend(fontsize=9)
    title_of(figure, title)
    return figure
