"""Every committed set verified: ``python -m benchmarks.verify``. Its results go to verify.json and verify.md, with
``--only`` beside those of the other sets: a set whose processor is at hand is compared bit for bit there.

``nbhelpers verify`` with its defaults where the runs that it does again took under five minutes each when they were
recorded, else with ``--runs 1 --epochs 1``. Exit code 1 where anything is not as recorded.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import written
from nbhelpers import device as devices
from nbhelpers import places, records, verify
from nbhelpers.errors import OneLine

SHORT = 300  # seconds that a run may have taken to be done again as a whole
HEAD = [
    "Set",
    "records",
    "whole",
    "verdicts and table",
    "runs done again",
    "epochs of each",
    "how compared",
    "on",
    "minutes",
    "what is wrong",
]
ALIGN = ["---", "--:", "--:", "---", "--:", "---", "---", "---", "--:", "---"]
FOOT = f"""\
Verdicts and table: those of `summary.json`, derived again from the records by the notebook, which trains nothing.
Runs done again: the {verify.CHEAPEST} that took least when they were recorded, those of this kind of processor first;
where they took more than {SHORT // 60} minutes, or were recorded on a GPU and there is none, one of them for one epoch,
but none with dropout, of which a CPU draws other masks than a GPU. Compared bit for bit where processor,
threads, torch and numpy are those of the record; else ("within seeds") the loss of the first epoch must agree to
{verify.LOSS:g} relative, and the accuracy of a whole run lie in the {100 * (1 - verify.ALPHA):.0f}% prediction interval
of the recorded seeds of its arm. Where the loss is further off, that epoch is trained {verify.ROUNDINGS} times more,
from weights that differ in their last bit, and the recorded loss must lie in the {100 * (1 - verify.ALPHA):.0f}%
prediction interval of these {verify.ROUNDINGS + 1} losses: rounding is what other hardware does otherwise. All records
are held against themselves, `summary.json`, `runs.csv`, `plan.json` and the images.
"""


def sets() -> list[Path]:
    """The folders of the committed sets: not demo, and no trials."""
    found = sorted(path.parent for path in places.results().glob("*/*/runs") if any(path.glob("*.json")))
    return [folder for folder in found if folder.name != "demo" and "~" not in folder.name]


def name_of(folder: Path) -> str:
    return f"{folder.parent.name} {folder.name}"


def how_much(folder: Path) -> dict[str, int]:
    """The options of ``nbhelpers verify`` for a set; none where its defaults will do."""
    made = [records.read(path).get("provenance", {}) for path in (folder / "runs").glob("*.json")]
    here = {"cpu", devices.choose().type}  # what took a GPU seconds may take minutes here
    known = sorted(own["wall_seconds"] for own in made if own and own["device"] in here)
    return {"runs": 1, "epochs": 1} if max(known[: verify.CHEAPEST], default=math.inf) > SHORT else {}


def verified(folder: Path) -> dict[str, Any]:
    """A row of the table."""
    started, options = time.monotonic(), how_much(folder)
    found = verify.verify(folder, **options, say=lambda line: print(f"  {line}", flush=True))
    files = len([*(folder / "runs").glob("*.json")])
    again = [finding for finding in found if finding.how.startswith(("done again", *"123456789"))]
    return {
        "set": name_of(folder),
        "machine": written.machine(),
        "options": options,
        "records": files,
        "whole": files - sum(finding.how == "read" for finding in found),
        "derived": any(finding.how == verify.DERIVED and not finding.wrong for finding in found),
        "again": [{"run": finding.what, "how": finding.how, "wrong": finding.wrong} for finding in again],
        "findings": [f"{finding.what}: {finding.wrong}" for finding in found if finding.wrong],
        "minutes": round((time.monotonic() - started) / 60, 1),
    }


def cells(row: Mapping[str, Any]) -> list[Any]:
    own = "; accuracy [^;,]*, the recorded seeds make [-\\d.]+ to [-\\d.]+ likely"  # of each run
    beside = f", here {re.escape(row['machine']['processor'])}"  # which has its column
    parts = [re.sub(f"{own}|{beside}", "", run["how"]).split(", ", 1) for run in row["again"]]
    epochs, how = (", ".join(dict.fromkeys(part[place] for part in parts)) for place in (0, 1))
    derived = "as recorded" if row.get("derived") else "–"
    counts = [row["set"], row["records"], row["whole"], derived, len(parts), epochs.replace("done again", "all"), how]
    on = f"{row['machine']['processor']}, {row['machine']['date'][:10]}"
    sound = "nothing" if parts else "nothing, but none was done again"
    return [*counts, on, row["minutes"], "; ".join(row["findings"]) or sound]


def text(found: Mapping[str, Any]) -> str:
    """The table, from what its JSON file holds."""
    return "\n".join([*map(written.row, [HEAD, ALIGN, *map(cells, found["sets"])]), "", FOOT])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="", metavar="WORDS", help='sets with these words, such as "ResNet_CIFAR10 cpu"'
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()
    known = {name_of(folder): folder for folder in sets()}
    chosen = {name: folder for name, folder in known.items() if args.only in name}
    if not chosen:
        parser.error(f"--only: known are {'; '.join(known)}")
    file = args.out / "verify.json"
    before = json.loads(file.read_text(encoding="utf-8"))["sets"] if args.only and file.exists() else []
    rows = {row["set"]: row for row in before if row["set"] in known}
    for name, folder in chosen.items():
        print(f"{name}:", flush=True)
        try:
            rows[name] = verified(folder)
        except OneLine as error:  # such as images that are not here
            print(error, file=sys.stderr)
            return 2
        print(written.row(cells(rows[name])), flush=True)
        found = {"sets": [rows[name] for name in known if name in rows]}
        written.save(file.with_suffix(""), text(found), found)
    wrong = sum(len(rows[name]["findings"]) for name in chosen)
    print(f"findings: {wrong}" if wrong else "all as recorded")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
