"""Sentences and titles that are computed from runs and contrasts: what a reader is told, never typed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nbhelpers import contrasts, stats
from nbhelpers.verdict import fixed

ACCURACY = "test_accuracy"
PRINTED = 0.005  # half a unit of the last decimal of published accuracies
VANISHED = 1e-12  # a gradient norm below this moves no weight in fp32


def signed(number: float, digits: int = 1) -> str:
    """A number with its sign; what rounds to zero has none."""
    return fixed(number, digits, "+")


def count(number: int, thing: str) -> str:
    """Such as "1 epoch" and "2 epochs"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def ends(name: str, values: pd.Series) -> str:
    """Between which values the runs end, for a title; where they round to the same, at which."""
    found = dict.fromkeys(f"{value:.3g}" for value in (values.min(), values.max()))
    return f"{name} ends {'between' if len(found) > 1 else 'at'} {' and '.join(found)}"


def cells(df: pd.DataFrame, by: str, value: str = ACCURACY) -> dict[Any, str]:
    """For each arm of `by` the mean of `value`, as recorded; or how many seeds are at chance, where not all or none."""
    digits = 2 if "loss" in value else 1
    found = {}
    for arm, own in df.groupby(by, sort=False):
        ours = contrasts.cell(own, value, labels=[by])
        mixed = isinstance(ours, contrasts.Mixed)
        mean = f"{own[value].mean():.{digits}f}".replace("nan", "no number")
        found[arm] = f"{ours.k} of {ours.share.n} seeds at chance" if mixed else mean
    return found


def briefly(gap: pd.DataFrame, by: str) -> str:
    """The mean of a contrast for each value of the label `by`, as the title of a figure says it."""
    said = []
    for value, part in gap.groupby(by, sort=False):
        apart = ", partly at chance" if contrasts.mixed(part) else ""
        said.append(f"{signed(part['value'].mean())} ({value}{apart})")
    return ", ".join(said)


def leads(gap: pd.DataFrame, by: str) -> str:
    """For each value of the label `by` the mean of a contrast, in points, its 95% interval and n, as a sentence.

    Where runs of some seeds are at chance and of others not: how many seeds are ahead, instead of the interval. It says
    "no lead shows" where the interval reaches 0 or below.
    """
    said = []
    for value, part in gap.groupby(by, sort=False):
        ours = stats.interval(part["value"])
        if contrasts.mixed(part):
            detail = f", partly at chance, ahead in {contrasts.ahead(part)['value'].sum()} of {ours.n} seeds"
        else:
            known = ours.n >= stats.LEAST_SEEDS
            detail = f" [{ours.low:.1f}, {ours.high:.1f}]" if known else ""
            detail += f", n = {ours.n}" + (", so no lead shows" if known and ours.low <= 0 else "")
        said.append(f"{value} {signed(ours.mean)} points{detail}")
    return "; ".join(said) + "."


def beyond(
    df: pd.DataFrame, rows: Sequence[str], published: pd.DataFrame, value: str = ACCURACY, name: str = ""
) -> str:
    """Which published values lie above, and which below, all of our seeds, as a sentence.

    Of arms of three seeds or more; empty where none has as many.
    """
    if df.groupby(list(rows), dropna=False).size().max() < stats.LEAST_SEEDS:
        return ""
    found: dict[str, list[str]] = {"above": [], "below": []}
    for labels, arm in df.groupby(list(rows), sort=False, dropna=False):
        theirs = published[(published[list(rows)] == list(labels)).all(axis=1)]
        if theirs.empty or len(arm) < stats.LEAST_SEEDS:
            continue
        number, values = float(theirs["value"].iloc[0]), contrasts.values(arm, value, list(rows))["value"]
        side = "above" if number > values.max() + PRINTED else "below" if number < values.min() - PRINTED else ""
        if side:
            found[side].append(" ".join(map(str, labels)))
    said = "; ".join(f"{side} all of our seeds: {', '.join(arms) or 'none'}" for side, arms in found.items())
    return f"Published {name or value.replace('_', ' ')} {said}."


def last(measured: pd.DataFrame) -> pd.DataFrame:
    """The rows of `tables.probe_by_epoch` after each run's last epoch, which comes early where a run diverged."""
    return measured[measured["epoch"] == measured.groupby(["arm", "seed"])["epoch"].transform("max")]


def change(measured: pd.DataFrame, layer: str) -> str:
    """The median over seeds of a probe of `layer` at the start and after the last epoch, for each arm, for a title."""
    own = measured[measured["layer"] == layer]
    ends = [frame.groupby("arm", sort=False)["value"].median() for frame in (own[own["epoch"] == 0], last(own))]
    said = (f"{before:.2g} to {ends[1][arm]:.2g} ({arm})" for arm, before in ends[0].items())
    return ", ".join(said).replace("nan", "no number")


def stuck(df: pd.DataFrame, dead: pd.DataFrame, norms: pd.DataFrame, softmax: bool) -> str:
    """How each arm ends: dead units, the largest gradient norm of its layers, training loss, as a sentence.

    df: runs with the label `arm`; dead, norms: `tables.probe_by_epoch` of them. softmax: whether the nets end in a
    softmax layer; then the loss of one that is saturated and right by chance alone is said too, ln(C - 1 + e) - 1/C.
    """
    said = []
    for arm, own in df.groupby("arm", sort=False):
        units, gradients = (last(f[f["arm"] == arm]).groupby("seed")["value"].max() for f in (dead, norms))
        gone = f"gradient norms below {VANISHED:g} in all layers in {(gradients < VANISHED).sum()} of {len(gradients)}"
        loss = own["train_loss"].mean()
        lost = f", {k} diverged" if (k := (own["status"] == "diverged").sum()) else ""
        text = f"{arm}: {units.mean():.0f}% dead units in the worst layer, {gone} seeds{lost}, training loss {loss:.4f}"
        said.append(text.replace("nan", "no number"))
    classes = df["classes"].iloc[0]
    flat = math.log(classes - 1 + math.e) - 1 / classes
    note = f" A saturated softmax that is right by chance alone has a loss of {flat:.4f}." if softmax else ""
    return f"After the last epoch. {'; '.join(said)}.{note}"


def scaling(df: pd.DataFrame, macs: Mapping[tuple[str, int], int]) -> str:
    """What each net costs and gains from the smallest to the largest images, as a sentence.

    df: runs with the labels `net` and `pixels`; macs: of (net, pixels).
    """
    low, high = df["pixels"].min(), df["pixels"].max()
    found = df.groupby(["net", "pixels"], sort=False).agg(
        parameters=("parameters", "first"), accuracy=(ACCURACY, "mean")
    )
    said = []
    for net in df["net"].unique():
        small, large = found.loc[(net, low)], found.loc[(net, high)]
        grown = f"parameters × {large.parameters / small.parameters:.1f}, MACs × {macs[net, high] / macs[net, low]:.1f}"
        said.append(f"{net}: {grown}, accuracy {signed(large.accuracy - small.accuracy)} points")
    one, other = df["net"].unique()[:2]
    times = found.loc[(one, high)].parameters / found.loc[(other, high)].parameters
    work = macs[one, high] / macs[other, high]
    beside = f"At {high} pixels {one} has {times:.1f} times the parameters of {other} and {work:.2g} times its MACs."
    return f"From {low} to {high} pixels. {'; '.join(said)}. {beside}"
