"""What a report is about: the studies, what their notebooks say, and the results that their sets left in files."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nbhelpers import listing, parameters, places, published, records
from nbhelpers.verdict import Verdict

VERDICTS = {"holds": "hold", "fails": "fail", "undecided": "are undecided", "interim": "are interim"}  # and of several
FIRST = ("ran", "described")  # sets in this order; then others, then demo, then trials


@dataclass(frozen=True)
class Results:
    """What one parameter set of a study left in `folder`, ``RESULTS/STUDY/SET``."""

    study: str
    folder: Path

    @property
    def name(self) -> str:
        """The name of the set, with its ~HASH for a trial."""
        return self.folder.name

    @cached_property
    def summary(self) -> dict[str, Any]:
        return records.read(self.folder / "summary.json")

    @property
    def sound(self) -> bool:
        """Whether there is a summary with all that is shown of it; one that an older version wrote may lack some."""
        try:
            return bool(self.verdicts) or {"set", "parameters", "runs", "finished"} <= self.summary.keys()
        except (KeyError, TypeError):
            return False

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of the planned runs, each once."""
        store = records.Store(self.folder)
        keys = dict.fromkeys(run["key"] for run in records.read_plan(self.folder))
        return [record for key in keys if (record := store.load(key))]

    @property
    def committed(self) -> bool:
        """Whether the repository keeps it: neither what runs on embedded images everywhere, nor a trial."""
        return self.name != "demo" and not self.trial

    @property
    def trial(self) -> bool:
        return "~" in self.name

    @property
    def embedded(self) -> bool:
        return self.summary["parameters"].get("dataset") == "shapes"

    @cached_property
    def stale(self) -> str:
        """Why the summary is not about the records beside it; empty where it is."""
        return records.stale(self.summary, records.digest(self.records))

    @property
    def missing(self) -> int:
        runs = self.summary["runs"]
        return runs["planned"] - runs["recorded"]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return [Verdict.from_dict(written) for written in self.summary["verdicts"]]

    @property
    def counts(self) -> dict[str, int]:
        """How many claims hold, fail, are undecided and are interim."""
        found = Counter(verdict.verdict for verdict in self.verdicts)
        return {name: found[name] for name in VERDICTS}

    @property
    def says(self) -> str:
        """The counts as a phrase, such as "2 hold, 1 fails, 3 are undecided"."""
        words = [f"{n} {VERDICTS[name] if n > 1 else VERDICTS[name].replace('are ', 'is ')}" for name, n in
                 self.counts.items() if n]  # fmt: skip
        return re.sub(r"\b1 (hold|fail)\b", r"1 \1s", ", ".join(words)) or "no claims"

    @property
    def figure(self) -> str:
        """The file name of the main figure: the first that shows runs. Empty where there is none."""
        return next((name for name, title in self.titles.items() if title and (self.folder / name).exists()), "")

    @property
    def titles(self) -> dict[str, str]:
        """File name of a figure -> what its title says of the runs; empty where it shows none."""
        found = self.summary["figures"]
        return found if isinstance(found, dict) else {}

    @property
    def result(self) -> dict[str, Any]:
        """The table of the result: columns, rows and note, all text."""
        return {"columns": [], "rows": [], "note": ""} | self.summary.get("result", {})

    @property
    def against(self) -> bool:
        """Whether that table has published values in it."""
        return any(column.startswith("published") for column in self.result["columns"])

    @property
    def notebook(self) -> Path | None:
        """The executed notebook, where the set was run in batch."""
        path = self.folder / f"{self.study}.ipynb"
        return path if path.exists() else None

    @property
    def date(self) -> str:
        """The day on which its last run finished."""
        return self.summary["finished"][:10]

    @property
    def place(self) -> str:
        """What each of its runs had for itself."""
        devices = {record["provenance"]["device"] for record in self.records}
        return {frozenset({"cuda"}): "one GPU", frozenset({"cpu", "cuda"}): "one core or one GPU"}.get(
            frozenset(devices), "one core"
        )

    @property
    def hours(self) -> str:
        """How long all its training took, each run at its place."""
        return listing.hours(sum(float(epoch["seconds"]) for record in self.records for epoch in record["history"]))

    @property
    def precision(self) -> str:
        """Such as "bf16", where a set names another than single precision; else empty."""
        named = self.summary["parameters"].get("precision", "fp32")
        return "" if named == "fp32" else named

    @property
    def design(self) -> str:
        """How much was run on what, as a phrase: from the parameters and the runs."""
        from nbhelpers.told import count

        given = self.summary["parameters"]
        runs = self.summary["runs"]
        said = [f"{runs['recorded']} of {runs['planned']} runs" if self.missing else count(runs["recorded"], "run")]
        further = f" ({given['extra_seeds']} of further arms)" if given.get("extra_seeds") else ""
        said += [count(given["seeds"], "seed") + further] if "seeds" in given else []
        said += [given["dataset"]] if "dataset" in given else []
        said += [f"{given['images_per_class']} training images a class"] if "images_per_class" in given else []
        epochs = [count(given["epochs"], "epoch")] if isinstance(given.get("epochs"), int) else []
        steps = given.get("steps_per_epoch")  # 0: as many as the images make
        said += [f"{epochs[0]} of {count(steps, 'step')}"] if epochs and steps else epochs
        said += [f"stopped after {count(given['stop_after'], 'epoch')}"] if given.get("stop_after") else []
        said += [self.precision] if self.precision else []
        hardware = ", ".join(f"{name} (n = {n})" for name, n in self.summary["hardware"].items())
        return ", ".join([*said, f"{self.hours} of training on {self.place} of {hardware}"])

    @property
    def differs(self) -> str:
        """What a trial changes in the set that it starts from, as a phrase."""
        started = self.summary["set"]
        if started not in parameters.sets(self.study):
            return f"differs from {Path(started).name}"
        base, own = parameters.key_values(parameters.load(self.study, started)), self.summary["parameters"]
        changed = [f"{name} = {own.get(name)!r}" for name in base if own.get(name) != parameters.plain(base[name])]
        return f"{started} with {', '.join(changed)}"


@dataclass(frozen=True)
class Study:
    """A study: what its notebook says in its own words, and its results."""

    name: str
    results: tuple[Results, ...]

    @cached_property
    def text(self) -> str:
        """The Markdown of its notebook; empty where there is none any more."""
        path = places.notebooks() / f"{self.name}.ipynb"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else ()
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")

    @property
    def title(self) -> str:
        found = re.match(r"# (.+)", self.text)
        return found[1] if found else self.name

    def paragraph(self, lead: str) -> str:
        """The paragraph that begins with "**LEAD.**", without that; empty where there is none."""
        found = re.search(rf"^\*\*{re.escape(lead)}\.\*\* (.+)$", self.text, re.MULTILINE)
        return found[1] if found else ""

    def section(self, heading: str) -> str:
        """What stands below a heading, to the next heading or paragraph with a bold lead."""
        found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |^\*\*|\Z)", self.text, re.MULTILINE | re.DOTALL)
        return found[1].strip() if found else ""

    @property
    def question(self) -> str:
        return self.paragraph("Question")

    def opens(self, one: Results) -> bool:
        """Whether the report shows `one` at once: no trial, and embedded images only where there is nothing else."""
        return not one.trial and not (one.embedded and any(not other.embedded for other in self.results))


def gather(folder: Path, committed_only: bool = False) -> list[Study]:
    """The studies that have a notebook or results in `folder`, with their results, in the order of reading."""
    found: dict[str, list[Results]] = {name: [] for name in parameters.studies()}
    for path in sorted(folder.glob("[!_]*/*/summary.json")):
        results = Results(path.parent.parent.name, path.parent)
        if results.sound and (results.committed or not committed_only):
            found.setdefault(results.study, []).append(results)
    order = [*published.SERIES, *sorted(found.keys() - published.SERIES.keys())]
    return [Study(name, tuple(sorted(found[name], key=_place))) for name in order if name in found]


def _place(results: Results) -> tuple:
    name = results.name
    return results.trial, name == "demo", FIRST.index(name) if name in FIRST else len(FIRST), name
