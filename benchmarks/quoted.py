"""What the README quotes of the benchmarks: a sentence each, from their JSON files. `make stamp` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def where(machines: Iterable[Mapping[str, Any]]) -> str:
    """Machine and day of several measurements."""
    found = list(machines)
    days = sorted({machine["date"][:10] for machine in found})
    kinds = sorted({f"{machine['processor']}, {machine['cores']} cores" for machine in found})
    return f"{'; '.join(kinds)}, {' to '.join(dict.fromkeys([days[0], days[-1]]))}"


def loop(rows: list[dict[str, Any]]) -> str:
    ratios, rounds = sorted(row["speedup"] for row in rows), {row["variants"]["nbhelpers"]["n"] for row in rows}
    bound = sorted(row["share_of_bound"] for row in rows)
    short = [r for r in rows if r["target"]["speedup"] and round(r["speedup"], 2) < r["target"]["speedup"]]
    under = [r for r in rows if round(r["share_of_bound"], 2) < r["target"]["share_of_bound"]]
    missed = f" In {len(short)} of them that is less than was aimed at." if short else ""
    missed_bound = f"; in {len(under)} that is less than was aimed at" if under else ""
    return (
        f"**A training step** takes the textbook's loop {ratios[0]:.1f} to {ratios[-1]:.1f} times as long, in "
        f"{len(rows)} shapes of nets and batches (medians of {', '.join(map(str, sorted(rounds)))} rounds, taking "
        f"turns).{missed} The net alone, on one batch again and again, would need {100 * bound[0]:.0f} to "
        f"{100 * bound[-1]:.0f}% of our time{missed_bound}. [Table](benchmarks/loop.md), "
        f"[where the time goes](docs/where_the_time_goes.md). {where(row['machine'] for row in rows)}."
    )


def sweeps(rows: list[dict[str, Any]]) -> str:
    whole = next(row for row in rows if row["name"] == "study 2 from start to end")
    ratio, epochs = whole["ratio"], whole["work"]["epochs"]
    return (
        f"**Study 2 from start to end** takes a textbook notebook {ratio['times']:.2f} times as long (n = {ratio['n']} "
        f"pairs, quartiles {ratio['quartiles'][0]:.2f} to {ratio['quartiles'][1]:.2f}, {epochs} epochs on both sides). "
        f"[Table](benchmarks/sweeps.md). {where([whole['machine']])}."
    )


def fixed(rows: list[dict[str, Any]]) -> str:
    known = {row["name"]: row["now"] for row in rows}
    notebook, shown, listed = (
        known[name] for name in ("notebook: all but torch", "a notebook from its records", "list")
    )
    return (
        f"**Before anything is trained**: a notebook costs {notebook['seconds']:.1f} s beside the import of torch "
        f"(n = {notebook['n']}) and, with all tables and figures from its records, {shown['seconds']:.1f} s in all "
        f"(n = {shown['n']}); `nbhelpers list` takes {listed['seconds']:.2f} s (n = {listed['n']}). "
        f"[Table](benchmarks/fixed.md). {where(row['machine'] for row in rows)}."
    )


def faults(found: dict[str, Any]) -> str:
    staged = found["faults"]
    total = {name: sum(fault[name] for fault in staged) for name in ("times", "lost", "repeated", "orphans")}
    return (
        f"**Accidents**: {total['times']} staged in {len(staged)} kinds (kernel, papermill or worker interrupted, "
        f"terminated or killed at random moments, a full disk, damaged records and others). Runs lost: "
        f"{total['lost']}; recorded runs done again: {total['repeated']}; processes left behind: {total['orphans']}. "
        f"[Table](benchmarks/faults.md), made by `make test-faults`. {where([found['machine']])}."
    )


def verify(found: dict[str, Any]) -> str:
    sets = found["sets"]
    records, whole = (sum(row[name] for row in sets) for name in ("records", "whole"))
    again = [run for row in sets for run in row["again"]]
    bits = sum("bit for bit" in run["how"] for run in again)
    findings, derived = sum(len(row["findings"]) for row in sets), sum(row.get("derived", False) for row in sets)
    return (
        f"**Records**: {whole} of {records} in {len(sets)} committed sets are whole; verdicts and tables of {derived} "
        f"sets came out as recorded, derived again from the records; {len(again)} runs done again, "
        f"{bits} of them on the recorded kind of processor and compared bit for bit, the others with the recorded "
        f"seeds; not as recorded: {findings}. [Table](benchmarks/verify.md), made by `make verify`. "
        f"{where(row['machine'] for row in sets)}."
    )


def scale(found: dict[str, Any]) -> str:
    local, ray = found["local"], found["ray"]
    memory, each = list(local["memory"].values()), found["writing"].get("each", ())
    moment = f"before, between and after, median of {len(each)}" if each else "in another minute"
    return (
        f"**{local['runs']:,} recorded runs** that do nothing cost {local['ms']:.1f} ms each in local processes "
        f"(to write a record alone took {found['writing']['ms']:.1f} ms {moment}) and {ray['ms']:.1f} ms on "
        f"Ray; the driver's memory is "
        f"{memory[0]:.0f} MiB after a tenth of them and {memory[-1]:.0f} MiB after all. `nbhelpers list` takes "
        f"{found['list']['seconds']:.1f} s then, a table {found['table']['seconds']:.1f} s. "
        f"[Table](benchmarks/scale.md). {where([found['machine']])}."
    )


def cluster(found: dict[str, Any]) -> str:
    kills = found["kills"]
    total = {name: sum(kill[name] for kill in kills) for name in ("lost", "repeated", "orphans")}
    return (
        f"**A Ray cluster** of {found['nodes']} nodes on one machine, workers, nodes and drivers killed "
        f"(n = {len(kills)}): runs lost: {total['lost']}; recorded runs done again: {total['repeated']}; processes "
        f"left: {total['orphans']}. [Table](benchmarks/cluster.md), "
        f"[beyond one machine](docs/beyond_one_machine.md). {where([found['machine']])}."
    )


QUOTES: dict[str, Callable[[Any], str]] = {
    "loop": loop,
    "sweeps": sweeps,
    "fixed": fixed,
    "faults": faults,
    "verify": verify,
    "scale": scale,
    "cluster": cluster,
}


def sentences(folder: Path = HERE) -> str:
    """A list in Markdown of what the files in `folder` say; a benchmark without a file is left out."""
    files = {name: folder / f"{name}.json" for name in QUOTES}
    return "\n".join(
        f"- {quote(json.loads(files[name].read_text(encoding='utf-8')))}"
        for name, quote in QUOTES.items()
        if files[name].exists()
    )
