"""Study: all that a notebook touches. Parameters in; sweep, tables, figures, verdicts and a summary out."""

from __future__ import annotations

import inspect
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import Code, Image, Markdown, clear_output, display

from nbhelpers import claims, estimate, outputs, parameters, progress, published, records, settings, sweep, tables, told
from nbhelpers import data as datasets
from nbhelpers.contrasts import Parts
from nbhelpers.errors import InputError, RunError
from nbhelpers.models import Model
from nbhelpers.run import Data, Recipe, Run
from nbhelpers.spec import suggestion


class Study:
    """One execution of a notebook. It fixes the parameters, and everything else follows from their records.

    namespace: the notebook's globals(). The values of the parameter set that it chose are written back to it.
    Raises ParameterError, one line, for a parameter that is unknown, missing or not allowed.
    """

    def __init__(self, name: str, namespace: dict[str, Any]):
        self.name = name
        self.parameters = parameters.resolve(name, namespace)
        self.values = self.parameters.values
        namespace.update(self.values)
        self.store = records.Store(self.parameters.folder)
        self.seeds = self._range("seeds")
        self.extra_seeds = self._range("extra_seeds")
        self.verdicts: list[claims.Verdict] = []
        self.statements: dict[int, dict[str, Any]] = {}  # published sentences that were judged, by their number
        self._by_seeds: dict[str, pd.DataFrame] = {}
        self._figures: dict[str, str] = {}
        self._result: dict[str, Any] = {}
        self._runs: list[Run] = []
        self._records: dict[str, dict[str, Any]] = {}
        shown = ", ".join(f"{k} = {v!r}" for k, v in parameters.key_values(self.values).items())
        print(f"{name}, parameter set {self.parameters.set_name!r}, results in {self.parameters.folder_name}/")
        print(textwrap.fill(shown, 110, break_long_words=False))

    def _range(self, name: str) -> list[int]:
        first = self.values.get("first_seed", 0)
        return list(range(first, first + self.values.get(name, 0)))

    def settings(self, set_name: str) -> dict[str, Any]:
        """All values of another parameter set of this study, for `data` and `recipe`; this one's for ""."""
        known = parameters.sets(self.name)
        if set_name and set_name not in known:
            raise InputError(f"{set_name!r}: {self.name} has no such set{suggestion(set_name, known)}")
        return parameters.load(self.name, set_name) if set_name else dict(self.values)

    def data(self, **changes: Any) -> Data:
        """The Data that the parameters name (dataset, images_per_class, size, mean, std ...), with `changes` to them.

        A size or a number of images that is all there is means the same as none, so that the run is the same too.
        Raises DataError for a data set that is unknown or has too few classes.
        """
        return settings.data(self._changed(changes))

    def recipe(self, **changes: Any) -> Recipe:
        """The Recipe whose fields are the parameters of the same names, with `changes`."""
        return settings.recipe(self._changed(changes))

    def _changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with `changes`, which may also name fields of Recipe and Data that are no parameters."""
        fields = {*Recipe.model_fields, *Data.model_fields} - {"name", "per_class", "test_per_class", "subset_seed"}
        if unknown := changes.keys() - self.values.keys() - fields:
            raise ValueError(f"{', '.join(sorted(unknown))}: no parameter of {self.name}")
        return self.values | changes

    def require(self, holds: bool, reason: str) -> None:
        """Raise InputError with `reason` unless it holds: for what several parameters must be together."""
        if not holds:
            raise InputError(reason)

    # ------------------------------------------------------------------ runs

    def runs(
        self,
        seeds: Sequence[int],
        model: Model,
        data: Data,
        recipe: Recipe,
        probes: Sequence[str] = (),
        teachers: Sequence[Run] = (),
        **labels: Any,
    ) -> list[Run]:
        """The runs of one arm, one for each seed. teachers: runs of these seeds, whose nets are distilled into them."""
        taught = {run.seed: run for run in teachers}
        common = {"data": data, "model": model, "recipe": recipe, "probes": probes, "labels": labels}
        return [Run(seed=seed, teacher=taught.get(seed), **common) for seed in seeds]

    def sweep(self, runs: Sequence[Run]) -> pd.DataFrame:
        """Carry out the runs that have no record yet, and return all that are recorded, a row per run.

        With `train = False` nothing is trained or downloaded; nor is it where some runs are recorded and the
        images are not here. What is missing is said. Raises RunError when runs failed.
        """
        self._runs = list(runs)
        for run in runs:
            progress.check(run)
        fresh = os.environ.get("NBHELPERS_FRESH", "")
        todo, unique = sweep.missing(runs, self.store, fresh), len({run.key for run in runs})
        failures, may_train = [], bool(todo) and self._may_train(todo, unique - len(todo))
        nothing = RunError(f"no run of {self.parameters.folder_name} is recorded")
        if len(todo) == unique and not may_train:
            raise nothing
        outputs.write_plan(self.store.folder, self._head() | {"seeds": len(self.seeds), "looks": 1}, self._runs)
        if may_train:
            names = ("device", "workers", "weights", "compiled", "processes", "ray", "runs_per_gpu")
            how = {name: self.values[name] for name in names} | {"fresh": fresh}
            how["limit"] = self.values["run_limit"] or None
            failures = progress.carry_out(runs, self.store, save=self._collect, **how)
            clear_output()
        frame = self._collect()
        if self.values["weights"]:
            kept = sum((self.store.folder / "weights" / f"{run.key}.safetensors").exists() for run in self._unique())
            print(f"the weights of {kept} of {unique} runs are in weights/; --fresh trains recorded runs again")
        missing = [run for run in runs if run.key not in self._records]
        interim = f"; interim, without {len(missing)}: {progress.absent(missing)}" if missing else ""
        print(f"{unique} runs, {len(self._records)} recorded{interim}")
        if failures:
            lines = "\n".join(f"  {progress.name(f.run)}: {f.reason}" for f in failures)
            raise RunError(f"{len(failures)} of {unique} runs failed; those that are done are recorded\n{lines}")
        if not self._records:
            raise nothing
        if missing and not self._has_whole_seed():
            raise RunError(
                f"{len(self._records)} of {unique} runs of {self.parameters.folder_name} are recorded, "
                "too few to show: it takes one seed with all its arms"
            )
        return frame

    def _unique(self) -> list[Run]:
        return list({run.key: run for run in self._runs}.values())

    def _has_whole_seed(self) -> bool:
        """Whether some seed has a record of every arm: what the least table, pairing or verdict is made of."""
        arms = {str(sorted(run.labels.items())) for run in self._runs}
        done = [(run.seed, str(sorted(run.labels.items()))) for run in self._runs if run.key in self._records]
        return any({arm for own, arm in done if own == seed} == arms for seed in {seed for seed, _ in done})

    def _may_train(self, todo: list[Run], recorded: int) -> bool:
        """Whether to train: not if told so, nor where some runs are recorded and the images are not here."""
        absent = sorted({run.data.name for run in todo if not datasets.available(run.data.name)})
        if self.values["train"] and absent and recorded:
            print(f"The images of {', '.join(absent)} are not here: showing the {recorded} recorded runs.")
        return self.values["train"] and not (absent and recorded)

    def _collect(self) -> pd.DataFrame:
        """Read all records, bring ``runs.csv`` up to date, and return the runs as rows."""
        self._records = self.store.load_all(run.key for run in self._runs)
        frame = self.frame()
        if self._records:
            outputs.write_csv(self.store.folder, frame)
        return frame

    def _head(self) -> dict[str, Any]:
        return {"study": self.name, "set": self.parameters.set_name, "folder": self.parameters.folder_name}

    def frame(self) -> pd.DataFrame:
        """A row per (run, labels) with a record: labels, seed, then what the record holds."""
        return tables.runs([(run.key, run.labels, run.seed) for run in self._runs], self._records)

    def recorded(self, set_name: str) -> pd.DataFrame:
        """The recorded runs of another parameter set of this study; empty where there are none."""
        folder = self.store.folder.parent / set_name
        plan, store = records.read_plan(folder), records.Store(folder)
        found = store.load_all(run["key"] for run in plan)
        return tables.runs([(run["key"], run["labels"], run["seed"]) for run in plan], found)

    # ------------------------------------------------- what the reader sees

    def published(self, name: str) -> pd.DataFrame:
        """The published series `name` of this study: our labels, value, unit, n, source."""
        return published.series(self.name, name)

    def told(self, *names: str) -> str:
        """What the published tables `names` say of the runs behind them, as a sentence."""
        return " ".join(f"{name.replace('_', ' ').capitalize()}: {published.note(self.name, name)}." for name in names)

    def described(self) -> pd.DataFrame:
        """Where the description and the original notebook differ, parameter by parameter."""
        return self.compared("described", "ran")

    def compared(self, one: str, other: str) -> pd.DataFrame:
        """Where two parameter sets of this study differ, parameter by parameter."""
        folder = parameters.places.params(self.name)
        return tables.differences(
            *(parameters.read(folder / f"{name}.yaml") for name in (one, other)), names=(one, other)
        )

    def table(self, frame: pd.DataFrame | list[dict[str, Any]], note: str = "", result: bool = False) -> None:
        """Show a table, or rows as one, with a line below it; of an empty one the line alone.

        The first one after the sweep is the result, and goes into ``summary.json``; with result=True, this one does.
        """
        frame = pd.DataFrame(frame) if isinstance(frame, list) else frame
        if self._records and not frame.empty and (result or not self._result):
            self._result = tables.plain(frame) | {"note": note}
        if not frame.empty:
            display(_Table(frame))
        if note:
            display(Markdown(note))

    def layers(self, model: Model, data: Data | None = None, block: str = "") -> pd.DataFrame:
        """The layers of a model for the images of `data`, or of this study: output, parameters, MACs, and sums.

        block: see `tables.layers`.
        """
        data = data or self.data()
        shape, classes = datasets.describe(data.name, data.size, data.classes)
        if hasattr(model, "check"):
            model.check(shape, self.values.get("batch_size", 2))
        return tables.layers(estimate.layer_rows(model, shape, classes), block)

    def macs(self, model: Model, data: Data) -> int:
        """Multiply-accumulates of `model` for one image of `data`."""
        return self._sum("macs", model, data)

    def count(self, model: Model, data: Data) -> int:
        """The parameters of `model` for the images of `data`."""
        return self._sum("parameters", model, data)

    def _sum(self, column: str, model: Model, data: Data) -> int:
        shape, classes = datasets.describe(data.name, data.size, data.classes)
        return sum(row[column] for row in estimate.layer_rows(model, shape, classes))

    def source(self, function: Callable[..., Any]) -> None:
        """Show the source of a function that the runs execute."""
        display(Code(inspect.getsource(function), language="python"))

    @property
    def comparable(self) -> bool:
        """Whether published numbers can be held against these.

        Not where the images are the embedded ones; nor, where it is known which settings the numbers come from
        (`published.SETTINGS`), with others. What a set says is ours decides nothing.
        """
        known = published.SETTINGS.get(self.name, ())
        theirs = [parameters.stated(self.name, name) for name in known]
        alike = any(all(self.values[name] == v for name, v in own.items()) for own in theirs)
        return self.values["dataset"] != "shapes" and (alike or not known)

    def note(self, agreement: str = "") -> str:
        """What a reader must know: embedded images, the published source, runs that are missing or diverged."""
        notes = [agreement]
        if self.values["dataset"] == "shapes":
            notes = ["Embedded images: a demonstration of the method, not a result."]
        elif not self.comparable:
            sets = ", ".join(f"`{name}`" for name in published.SETTINGS[self.name])
            notes = [f"No published number stands beside these settings: they come from those of {sets}."]
        if self.name in published.SERIES:
            origin = published.origin(self.name)
            notes.append(f"Published: {origin['repository']}, {', '.join(published.places_of(origin))}.")
        if absent := len({run.key for run in self._runs}) - len(self._records):
            notes.append(f"Interim: {told.count(absent, 'planned run')} not recorded yet.")
        diverged = [run for run in self._unique() if self._records.get(run.key, {}).get("status") == "diverged"]
        if diverged:
            notes.append(f"{told.count(len(diverged), 'run')} diverged: {progress.arms(diverged)}.")
        return " ".join(notes)

    def figure(self, name: str, function: Callable[..., Any], *args: Any, pixels: bool = False, **options: Any) -> None:
        """Draw a figure with `function`, keep it as ``NAME.png`` in the results folder, and show that file.

        pixels: the figure is made from images. Where they are not here the kept file is shown; where there is none
        either, and runs are recorded, a line says so. What the figure's title says of the runs is its text for those
        who do not see it.
        """
        path, here = self.store.folder / f"{name}.png", not pixels or datasets.available(self.values["dataset"])
        if pixels and not here and not path.exists() and (self.store.any() or not self.values["train"]):
            print(f"The images of {self.values['dataset']} are not here, so this figure is left out.")
            return
        title = ""
        if here or not path.exists():
            drawn = function(*args, **options)
            title = "" if pixels else " ".join(drawn.get_suptitle().split())  # the same where pixels are not here
            records.write(path, outputs.png(drawn))
        self._figures[path.name] = title if self._records else ""
        display(Image(data=path.read_bytes(), alt=title or f"{self.name}: {name.replace('_', ' ')}"))

    # ---------------------------------------------------------------- claims

    def claim(self, text: str, parts: Any, planned: int | Mapping | None = None, **region: Any) -> None:
        """Judge a claim: see `claims.claim`. planned: the seeds that the verdict waits for, `seeds` if not given.

        A claim of which the parameters leave no part is not asked: a line says so, and there is no verdict.
        """
        if isinstance(parts, Parts) and not parts:
            display(Markdown(f"**{text}** — not asked: these parameters leave no part of it"))
            return
        verdict = claims.claim(text, parts, planned=len(self.seeds) if planned is None else planned, **region)
        self.verdicts.append(verdict)
        self._by_seeds[text] = claims.by_seeds(parts, **region)
        display(Markdown(f"**{text}** — {verdict.sentence}"))

    def seeds_needed(self) -> None:
        """Show how each claim with a verdict would have come out with fewer seeds; a line where there is none."""
        from nbhelpers import plots

        tables = {v.text: self._by_seeds[v.text] for v in self.verdicts if v.verdict != "interim"}
        if tables:
            self.figure("seeds", plots.seeds_needed, tables, title=self.reversals())
        elif self.verdicts:
            print("No claim has the seeds for a verdict yet, so nothing is said of fewer.")
        else:
            print("These parameters leave no claim to judge.")

    def reversals(self) -> str:
        """How often a single seed would have published the opposite of the verdict, as a sentence."""
        opposite = {"holds": "fails", "fails": "holds"}
        shares = [self._by_seeds[v.text].iloc[0][opposite[v.verdict]] for v in self.verdicts if v.verdict in opposite]
        if not shares:
            return "No claim is decided yet"
        decided = f"{len(shares)} decided claim" + ("s" if len(shares) > 1 else "")
        share = 100 * sum(shares) / len(shares)
        return f"One seed alone would have said the opposite in {share:.0f}% of cases ({decided})"

    def devices(self) -> pd.DataFrame:
        """How many runs were recorded on which hardware, with which torch, at which commit."""
        return tables.devices(self.frame())

    def finish(self) -> None:
        """Write ``summary.json`` and show all verdicts in one table."""
        head = self._head() | {"parameters": parameters.key_values(self.values)}
        head |= {"statements": self.statements} if self.statements else {}
        found, planned = list(self._records.values()), len({run.key for run in self._runs})
        shown = {"result": self._result, "figures": self._figures}
        outputs.write_summary(self.store.folder, head, planned, found, self.verdicts, shown)
        self.table(tables.verdicts(self.verdicts), tables.expected_errors(self.verdicts))


class _Table:
    """A DataFrame as a plain HTML table (and as text), without the index and without generated ids.

    Each cell says that it is read from the left: JupyterLab and Colab set their own rule for cells, from the right.
    """

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def _repr_html_(self) -> str:
        html = self.frame.to_html(index=False, border=0, na_rep="", justify="left")
        html = re.sub(r"<td>([^<]{1,40})</td>", r'<td style="text-align: left; white-space: nowrap">\1</td>', html)
        return re.sub(r"<(t[dh])>", r'<\1 style="text-align: left">', html)

    def __repr__(self) -> str:
        return self.frame.to_string(index=False, na_rep="")
