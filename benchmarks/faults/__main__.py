"""Faults staged and counted: ``python -m benchmarks.faults``, half an hour on two cores.

Each fault befalls an execution in processes of its own; then the same command is given until it succeeds. Exit code 1
where a run is lost or repeated, or a process left. Results go to faults.json and faults.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import written
from benchmarks.faults import accidents, guards, signals, stage
from benchmarks.faults.stage import Fault, Tally

FOOT = f"""\
Times: each on results of its own; signals at moments drawn evenly from the usual duration of an execution, its start
included. "kernel": the process that drives the sweep; "papermill": `nbhelpers run`; "worker": a process that trains.
Without "a study" the runs are light: 30 that sleep 0.05 s each and leave a record of 8 KB. After the fault the same
command is given until it succeeds.

Runs lost: recorded before the fault, or with a file of a record's name after it, and not whole then or at the end; and
runs that are not recorded at the end. Runs repeated: recorded, and begun again, by a log that each run begins with a
line. Orphans: processes alive {stage.AFTER} s after the end of the command. These three must be zero. Begun again: runs
that the fault cut short before they were recorded, which is what it may cost.
"""
STUDIES = """
A study is struck once its first run has begun. The moments, and how many runs were recorded at each, are in the JSON
file.
"""
HEAD = ["Fault", "times", "runs lost", "runs repeated", "orphans", "begun again", "what the user sees"]
ALIGN = ["---", *["--:"] * 5, "---"]


def cells(tally: Tally) -> list[object]:
    """A row of the table."""
    many = len(tally.said) > 1
    seen = (line + (f" ({n}×)" if many else "") for line, n in tally.said.most_common())
    told = f"not staged: {tally.cannot}" if tally.cannot else "; ".join(seen)
    return [tally.fault, tally.times, tally.lost, tally.repeated, tally.orphans, tally.begun_again, told]


def text(found: Mapping[str, Any]) -> str:
    """The table, from what its JSON file holds."""
    tallies = [Tally(**row | {"said": Counter(row["said"])}) for row in found["faults"]]
    foot = FOOT + (STUDIES if any(tally.moments for tally in tallies) else "")
    return written.table(HEAD, ALIGN, [cells(tally) for tally in tallies], found["machine"], foot)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", type=int, default=20, help="times of each signal in a light execution")
    parser.add_argument("--studies", type=int, default=2, help="times of each signal in a study")
    parser.add_argument("--at-once", type=int, default=2, help="so many executions at a time")
    parser.add_argument("--only", default="", metavar="WORDS", help="faults with these words in their name")
    parser.add_argument("--without", choices=guards.GUARDS, help="take a guard away: then it must fail")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent)
    args = parser.parse_args()
    staged = guards.staged(args.without, args.light) if args.without else all_of(args.light, args.studies)
    chosen = {name: fault for name, fault in staged.items() if args.only in name}
    if not chosen or args.light < 1 or args.studies < 1:
        parser.error(f"--light, --studies: at least 1; --only: known are {'; '.join(staged)}")

    def carry_out(name: str) -> Tally:
        tally = staged[name]()
        tally.fault = name
        print(written.row(cells(tally)), flush=True)
        return tally

    about = written.machine()
    with ThreadPoolExecutor(args.at_once) as threads:
        tallies = list(threads.map(carry_out, chosen))
    if not args.only and not args.without:
        found = {"machine": about, "faults": [vars(tally) for tally in tallies]}
        written.save(args.out / "faults", text(found), found)
    wrong = [tally.fault for tally in tallies if not tally.sound]
    print(f"not zero, or not staged: {'; '.join(wrong)}" if wrong else "nothing lost, nothing repeated, no orphans")
    return 1 if wrong else 0


def all_of(light: int, studies: int) -> dict[str, Fault]:
    """Name -> what stages it."""
    return signals.faults(light, studies) | accidents.faults(light, studies)


if __name__ == "__main__":
    sys.exit(main())
