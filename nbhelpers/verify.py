"""Recorded results made again: are the records whole, and do their runs come out as they say?"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nbhelpers import data as datasets
from nbhelpers import device as devices
from nbhelpers import records, rederive, stats
from nbhelpers.checkpoints import Checkpoint
from nbhelpers.distributed import DROPOUT
from nbhelpers.errors import InputError
from nbhelpers.perform import perform, versions
from nbhelpers.run import VERSION, Data, Recipe, Run, key_of

if TYPE_CHECKING:
    from torch import nn

CHEAPEST = 3  # runs that are done again where no number is given
LOSS = 1e-3  # relative difference of the first epoch's loss, on another machine
ALPHA = 0.01  # of the prediction intervals that accuracy and loss must lie in, on another machine
DERIVED = "derived again from the records by its notebook"
ROUNDINGS = 3  # of the first epoch, to see how far rounding moves its loss

FINAL = {"epochs", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_images"}
EPOCH = {"epoch", "train_loss", "train_accuracy"}
PROVENANCE = {"fingerprint", "device", "hardware", "threads", "wall_seconds", "versions"}
VERSIONS = {"nbhelpers", "python", "torch", "numpy", "system"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, how, and what is wrong with it; empty where nothing is."""

    what: str
    how: str
    wrong: str = ""


def verify(
    folder: Path, runs: int = CHEAPEST, epochs: int | None = None, say: Callable[[str], None] = print
) -> list[Finding]:
    """Check all records of the set in `folder` against themselves, and do the `runs` cheapest ones again.

    Those that were recorded on hardware of this kind come first; where there is no GPU, none of a GPU that has dropout,
    since a CPU draws other masks. epochs: only so many of their epochs. On the same kind
    of processor, with the same torch and as many threads, a run must give the same bits; else its first epoch's loss
    must agree to 1e-3, or lie where rounding moves it (`rounded`), and its accuracy in the 99% prediction interval of
    the recorded seeds of its arm. A record without training is held against itself, ``summary.json``, ``runs.csv``,
    ``plan.json`` and the images. Where all agree, and the notebook of the study is here, it tells the records once
    more, and what it tells must be what ``summary.json`` does. `say` is told each finding.
    Raises InputError for a folder without records, and for a number of runs or epochs below what makes sense.
    """
    folder = Path(folder)
    for name, value, least in (("runs", runs, 0), ("epochs", epochs, 1)):
        if value is not None and value < least:
            raise InputError(f"{name}: {value}: must be at least {least}")
    files = sorted((folder / "runs").glob("*.json"))
    if not files:
        raise InputError(f"{folder}: there are no records in its folder runs")
    found = [Finding(path.name, "read", reason) for path in files if (reason := damaged(path))]
    good = {path.stem: records.read(path) for path in files if path.name not in {f.what for f in found}}
    found += _together(folder, good)
    summary = records.read(folder / "summary.json")
    if not found and rederive.known(summary):
        found.append(Finding("summary.json", DERIVED, rederive.rederive(folder, summary)))
    elif not found:
        say(f"summary.json: not derived again, as there is no notebook of {summary.get('study')!r}")
    for finding in found:
        say(_line(finding))
    say(f"{len(good)} of {len(files)} records are whole")
    plan = _plan(folder)
    done = [record for record in good.values() if record["status"] == "done"]
    able = [record for record in done if not _masks_of_a_gpu(record)]
    if runs and done and not able:
        say("none is done again: they have dropout, and a CPU draws other masks than the GPU that recorded them")
    for record in sorted(able, key=_order)[:runs]:
        found.append(again(record, _arm(record["key"], plan, good), epochs, _label(record["key"], plan)))
        say(_line(found[-1]))
    return found


def _order(record: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """First the runs that can be compared bit for bit here, then the cheaper ones, last those of a GPU that is not."""
    made = record["provenance"]
    place = devices.choose("cpu" if made["device"] == "cpu" else "auto")
    here = made | {"hardware": devices.describe(place), "versions": versions()}
    return bool(apart(made, here)), made["device"] != place.type, made["wall_seconds"]


def _masks_of_a_gpu(record: Mapping[str, Any]) -> bool:
    """Whether a record has dropout masks that a GPU drew, and there is none here."""
    if record["provenance"]["device"] == "cpu" or devices.choose().type != "cpu":
        return False
    run = rebuilt(record["run"])
    net = run.model.build(*datasets.describe(run.data.name, run.data.size, run.data.classes))
    return any(isinstance(layer, DROPOUT) and layer.p for layer in net.modules())


def _line(finding: Finding) -> str:
    return f"{finding.what}: {finding.how}: {finding.wrong or 'as recorded'}"


def damaged(path: Path) -> str:
    """What is wrong with a record by itself; empty where nothing is."""
    try:
        return _wrong(records.read(path), path.stem)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):  # JSON, but not what a record is
        return "is damaged, or no record"


def _wrong(record: Mapping[str, Any], name: str) -> str:
    final, history, made = record["final"], record["history"], record["provenance"]
    parts = [(record, records.PARTS), (final, FINAL), (made, PROVENANCE), (made["versions"], VERSIONS)]
    parts += [(row, EPOCH) for row in history]
    if not all(part.keys() >= names for part, names in parts) or made["wall_seconds"] < 0:
        return "is damaged, or no record"
    if record["version"] != VERSION:
        return f"is of version {record['version']} of the computation; this is {VERSION}"
    if key_of(record["run"], record["version"]) != record["key"] or record["key"] != name:
        return "its seed, data, model or recipe are not those of its key: it was edited"
    right = int(records.unpack(record["correct"], final["test_images"]).sum())
    if not math.isclose(float(final["test_accuracy"]), 100 * right / final["test_images"], abs_tol=1e-9):
        return f"says {final['test_accuracy']} % accuracy, but {right} of {final['test_images']} images are right"
    for name, said in (("train_loss", "a training loss"), ("train_accuracy", "a training accuracy")):
        if str(final[name]) != str(history[-1][name]):
            return f"says {said} of {final[name]}, but {history[-1][name]} in its last epoch"
    recipe = record["run"]["recipe"]
    planned = final["epochs"] if record["status"] == "diverged" else recipe.get("stop_after") or recipe["epochs"]
    if not [row["epoch"] for row in history] == [*range(1, planned + 1)] == [*range(1, final["epochs"] + 1)]:
        return f"has not the {planned} epochs that it should have"
    return ""


def _together(folder: Path, good: Mapping[str, Mapping]) -> list[Finding]:
    """What is wrong between the records, the summary, and the images."""
    found, summary = [], records.read(folder / "summary.json")
    if good and not summary:
        reason = "is missing or damaged, so nothing says whether a record was edited: `nbhelpers run` writes it"
        found.append(Finding("summary.json", "looked for", reason))
    hashes = {"records": records.digest, "courses": records.courses, "origins": records.origins}
    if summary and good and any(summary.get(name) != of(good.values()) for name, of in hashes.items()):
        reason = "was not made from these records: some were edited, added or taken out since"
        found.append(Finding("summary.json", "compared with the records", reason))
    found += _listed(folder, good)
    images: dict[tuple, dict[str, str]] = {}
    for key, record in good.items():
        of = tuple(record["run"]["data"].get(name) for name in ("name", "size", "classes"))
        images.setdefault(of, {})[key] = record["provenance"]["fingerprint"]
    for (name, *rest), own in images.items():
        here = datasets.available(name)
        right = datasets.load(name, *rest).fingerprint if here else statistics.mode(own.values())
        held = "compared with the images" if here else "compared with the other records, as its images are not here"
        for other in sorted({*own.values()} - {right}):
            keys = [key for key, fingerprint in own.items() if fingerprint == other]
            which = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            found.append(Finding(name, held, f"other pixels ({other}) than these ({right}) in {which}"))
    return found


def _plan(folder: Path) -> list[dict[str, Any]]:
    """The planned runs; none where ``plan.json`` is missing or damaged."""
    try:
        return [{"key": run["key"], "seed": run["seed"], "labels": dict(run["labels"])}
                for run in records.read_plan(folder)]  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return []


def _listed(folder: Path, good: Mapping[str, Mapping]) -> list[Finding]:
    """What is wrong between the records and ``plan.json`` and ``runs.csv``, which say part of the same."""
    found, planned = [], {run["key"] for run in _plan(folder)}
    summary, plan = (records.read(folder / name) for name in ("summary.json", "plan.json"))
    if not planned:
        reason = "is missing or damaged, so nothing says which runs are the same but for their seed"
        found.append(Finding("plan.json", "looked for", reason))
    elif other := sorted(good.keys() - planned):
        found.append(Finding("plan.json", "compared with the records", f"does not have {', '.join(other)}"))
    elif summary and summary.get("study") != plan.get("study"):
        reason = f"is of study {summary.get('study')!r}, plan.json of {plan.get('study')!r}"
        found.append(Finding("summary.json", "compared with plan.json", reason))
    path = folder / "runs.csv"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    rows = list(csv.DictReader(text.splitlines()))
    listed = {row["key"]: row for row in rows if row.get("key") in good}
    if path.exists() and (absent := sorted(good.keys() - listed.keys())):
        found.append(Finding("runs.csv", "compared with the records", f"does not have {', '.join(absent)}"))
    for key, row in listed.items():
        final = good[key]["final"]
        for name in ("train_loss", "train_accuracy", "test_accuracy"):
            if good[key]["status"] == "done" and row.get(name) != f"{float(final[name]):.6g}":
                reason = f"says {name} {row.get(name)} of {key}, the record {final[name]}"
                found.append(Finding("runs.csv", "compared with the records", reason))
    return found


def again(record: Mapping[str, Any], arm: Sequence[Mapping[str, Any]], epochs: int | None, name: str) -> Finding:
    """Do a recorded run again and compare; `arm`: the records of all seeds with the same labels."""
    run = rebuilt(record["run"])
    whole = len(record["history"])
    if epochs is not None and epochs < whole:
        run = run.model_copy(update={"recipe": Recipe(**dict(run.recipe) | {"stop_after": epochs})})
    device = record["provenance"]["device"]
    made = perform(run, device if device == "cpu" else "auto", threads=record["provenance"]["threads"])
    differences = apart(record["provenance"], made["provenance"])
    part = f"{len(made['history'])} of {whole} epochs" if len(made["history"]) < whole else "done again"
    if not differences:
        wrong = _bits(record, made)
        why = f"; {explained(record['provenance'], made['provenance'])}" if wrong else ""
        return Finding(name, f"{part}, bit for bit", wrong + why)
    how, wrong = _elsewhere(run, record, made, arm)
    return Finding(name, f"{part}, within seeds ({'; '.join(differences)}){how}", wrong)


def _elsewhere(
    run: Run, record: Mapping[str, Any], made: Mapping[str, Any], arm: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """What is to be said of a run that other hardware did, and what is wrong with it."""
    mine, theirs, said = _first_loss(made), _first_loss(record), ""
    if not math.isclose(mine, theirs, rel_tol=LOSS):
        likely = stats.prediction([mine, *rounded(run, made["provenance"])], alpha=ALPHA)
        off = f"the first epoch's loss is {mine:.6g}, recorded {theirs:.6g}"
        off += f"; rounding makes {likely.low:.6g} to {likely.high:.6g} likely"
        if theirs not in likely:
            return "", off
        said = f"; {off}"
    if len(made["history"]) < len(record["history"]):
        return said, ""
    if len(arm) < 2:
        return f"{said}; its loss alone, as its arm has one seed", ""
    expected = stats.prediction([other["final"]["test_accuracy"] for other in arm], alpha=ALPHA)
    accuracy = made["final"]["test_accuracy"]
    found = f"accuracy {accuracy:.2f} %, the recorded seeds make {expected.low:.2f} to {expected.high:.2f} likely"
    return (f"{said}; {found}", "") if accuracy in expected else (said, found)


def rounded(run: Run, made: Mapping[str, Any]) -> list[float]:
    """The first epoch's loss of `run` from weights that differ in their last bit, on the hardware of `made`.

    As far as other hardware is from this, at the first step: its sums are in another order, so rounded otherwise. A
    deep net with large steps makes more than 1e-3 of that within an epoch. `made`: the provenance of a record.
    """
    first = run.model_copy(update={"recipe": Recipe(**dict(run.recipe) | {"stop_after": 1})})
    found = []
    for draw in range(ROUNDINGS):
        with TemporaryDirectory() as folder:  # where `run` itself keeps its state, another draw's may lie
            kept, built = Checkpoint(Path(folder) / "state", {}), partial(_round_otherwise, draw=draw)
            made_otherwise = perform(first, made["device"], made["threads"], checkpoint=kept, built=built)
        found.append(_first_loss(made_otherwise))
    return found


def _round_otherwise(model: nn.Module, draw: int) -> None:
    """Move each weight of `model` up or down, by chance, by 2**-23 of itself, which is the spacing of float32."""
    import torch

    chance = torch.Generator().manual_seed(draw)
    with torch.no_grad():
        for weight in model.parameters():
            sign = 2 * torch.randint(2, weight.shape, generator=chance, dtype=weight.dtype) - 1
            weight.mul_((1 + 2**-23 * sign).to(weight.device))


def rebuilt(canonical: Mapping[str, Any]) -> Run:
    """The Run of a record's canonical form."""
    fields = {name: dict(value) if isinstance(value, Mapping) else value for name, value in canonical.items()}
    fields["model"].pop("source", None)  # of a custom module: computed anew
    if isinstance(fields.get("teacher"), dict):
        fields["teacher"] = rebuilt(fields["teacher"])
    return Run(**fields | {"data": Data(**fields["data"]), "recipe": Recipe(**fields["recipe"])})


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two provenances differ that decides bits, as "torch 2.14, here 2.12"; empty where in nothing."""
    rows = [(name, one.get(name), other.get(name)) for name in ("hardware", "threads", "processes", "compiled")]
    rows += [(name, one["versions"][name], other["versions"][name]) for name in ("torch", "numpy")]
    return [f"{name} {before}, here {here}" for name, before, here in rows if before != here]


def explained(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Where a difference in bits may come from: what else is different between two provenances."""
    rows = [(name, one.get(name), other.get(name)) for name in ("commit", "fingerprint", "device")]
    rows += [(name, one["versions"][name], other["versions"][name]) for name in ("nbhelpers", "python", "system")]
    differences = [
        f"{name} {before or 'unknown'}, here {here or 'unknown'}" for name, before, here in rows if before != here
    ]
    if differences:
        return f"processor, threads, torch and numpy are the same; different are {'; '.join(differences)}"
    return "all else is the same: the record was edited, or a machine erred"


def _bits(record: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    for mine, theirs in zip(made["history"], record["history"], strict=False):
        for name in mine.keys() - {"seconds"}:
            if mine[name] != theirs.get(name):
                return f"{name} of epoch {mine['epoch']} is {mine[name]}, recorded {theirs.get(name)}"
    if len(made["history"]) == len(record["history"]):
        for name in ("test_loss", "test_accuracy"):
            if made["final"][name] != record["final"][name]:
                return f"{name} is {made['final'][name]}, recorded {record['final'][name]}"
        if made["correct"] != record["correct"]:
            return "other test images are right"
    return ""


def _first_loss(record: Mapping[str, Any]) -> float:
    return float(record["history"][0]["train_loss"])


def _arm(key: str, plan: Sequence[Mapping[str, Any]], good: Mapping[str, Mapping]) -> list[Mapping[str, Any]]:
    labels = next((run["labels"] for run in plan if run["key"] == key), None)
    return [good[run["key"]] for run in plan if run["labels"] == labels and run["key"] in good]


def _label(key: str, plan: Sequence[Mapping[str, Any]]) -> str:
    planned = next((run for run in plan if run["key"] == key), None)
    if planned is None:
        return key
    return ", ".join([*(f"{name} {value}" for name, value in planned["labels"].items()), f"seed {planned['seed']}"])
