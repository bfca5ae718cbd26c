"""From a tidy DataFrame, one row per run, to *contrasts*: frames with one number per seed, ready to be judged.

A contrast has its label columns first, then `seed`, `value` (points for accuracies), `images` (the same number
for each test image, in points, float32; None where unknown) and `at_chance`: one 0 or 1 for each run behind the
number. Labels are thus the columns before `seed`, also after filtering. In a frame of runs they are taken from
`labels=`, else `df.attrs["labels"]`, else the columns before `seed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from nbhelpers import stats

NOT_LABELS = ("key", "status")  # stand before `seed` in runs.csv
MEASURED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")  # of each epoch


class Parts(dict):
    """Contrasts by label, to be judged together; `symmetric` where the region is one for |value| (`spread`)."""

    symmetric = False


def values(df: pd.DataFrame, metric: str = "test_accuracy", labels: Iterable[str] | None = None) -> pd.DataFrame:
    """The metric of each run as it is: a contrast of single arms.

    Failed runs are left out. A run that diverged or is at chance stays in: its losses as min(loss, ln classes), what
    a uniform guess has; a missing accuracy as 100/classes. ValueError for an unknown column, two runs with the same
    labels and seed, or a value that is not finite in a run that did not diverge.
    """
    labels = _labels(df, labels)
    _need(df, [*labels, "seed", metric, "test_accuracy", "classes", "test_images", "status"])
    df = df[df["status"] != "failed"]
    frame = df[[*labels, "seed"]].reset_index(drop=True)
    if (repeated := frame.duplicated()).any():
        raise ValueError(f"two runs have {_name(frame[repeated].iloc[0])}; name all label columns with labels=[...]")
    value, classes = df[metric].to_numpy(float, copy=True), df["classes"].to_numpy(float)
    diverged, at_chance = (df["status"] == "diverged").to_numpy(), _at_chance(df)
    if "loss" in metric:
        guess = diverged | (at_chance & np.isfinite(value))
        value[guess] = np.fmin(value, np.log(classes))[guess]  # fmin: nan and infinity give ln classes
    elif "accuracy" in metric:
        value = np.where(diverged & np.isnan(value), 100 / classes, value)
    if not (finite := np.isfinite(value)).all():
        raise ValueError(f"{metric} is not a finite number for {_name(frame[~finite].iloc[0])}")
    known = df["correct"] if metric == "test_accuracy" and "correct" in df else [None] * len(df)
    frame["value"] = value
    frame["images"] = _objects(None if c is None else 100 * np.asarray(c, np.float32) for c in known)
    frame["at_chance"] = np.where(at_chance, "1", "0")
    frame.attrs = {"labels": labels, "unit": "%" if "accuracy" in metric else ""}
    return frame


def at_epochs(df: pd.DataFrame, epochs: Iterable[int]) -> pd.DataFrame:
    """The runs as they stood after each of `epochs` (from 1): a row per run and epoch, with `epoch` as a further label.

    Loss and accuracy are those of the run's history; a run that diverged before has no number there. ValueError for
    an epoch that no run has.
    """
    labels = _labels(df)
    rows = []
    for epoch in epochs:
        if epoch not in {row["epoch"] for history in df["history"] for row in history}:
            raise ValueError(f"no run has an epoch {epoch}")
        for _, run in df.iterrows():
            found = {name: np.nan for name in MEASURED if name in df}
            found |= next((row for row in run["history"] if row["epoch"] == epoch), {})
            row = {label: run[label] for label in labels} | {"epoch": epoch}
            row |= {name: run[name] for name in df.columns if name not in {*labels, "epoch", "correct", "history"}}
            rows.append(row | {name: float(value) for name, value in found.items() if name in MEASURED})
    frame = pd.DataFrame(rows)
    frame.attrs["labels"] = [*labels, "epoch"]
    return frame


@dataclass(frozen=True)
class Mixed:
    """Some seeds of an arm at chance and some not: two modes, so a count with its exact interval and no mean."""

    k: int
    share: stats.Interval

    def __str__(self) -> str:
        return f"{self.k} of {self.share.n} at chance [{self.share.low:.0%}, {self.share.high:.0%}]"


def cell(df: pd.DataFrame, metric: str = "test_accuracy", alpha: float = 0.05, labels=None) -> stats.Interval | Mixed:
    """What a table shows of one arm: the interval of the mean over seeds, or how many seeds are at chance.

    An arm whose seeds are all at chance has one mode, hence a mean. ValueError as for `values`, and if the runs are
    of more than one arm, or none.
    """
    frame = values(df, metric, labels)
    if len(frame) == 0 or len(frame[frame.attrs["labels"]].drop_duplicates()) > 1:
        raise ValueError("a cell is the runs of one arm: select one value of every label")
    k = int((frame["at_chance"] == "1").sum())
    if 0 < k < len(frame):
        return Mixed(k, stats.binomial(k, len(frame), alpha))
    return stats.interval(frame["value"], alpha)


def partly_at_chance(df: pd.DataFrame) -> bool:
    """Whether some of the runs are at chance and some are not."""
    return 0 < _at_chance(df).sum() < len(df)


def chance(df: pd.DataFrame, labels: Iterable[str] | None = None) -> pd.DataFrame:
    """For each run, whether it is at chance: a contrast of yes and no, for a claim that takes no region."""
    frame = values(df, labels=labels)
    return frame.assign(value=frame["at_chance"] == "1", images=None)


def ahead(gap: pd.DataFrame) -> pd.DataFrame:
    """For each number of a contrast whether it is a lead, above 0 and not between runs that are all at chance: yes or
    no."""
    learnt = gap["at_chance"].str.contains("0")
    return gap.assign(value=(gap["value"] > 0) & learnt, images=None)


def mixed(gap: pd.DataFrame) -> bool:
    """Whether the seeds of a contrast differ in which of their runs are at chance: then its mean is one of modes."""
    return "at_chance" in gap and gap["at_chance"].nunique() > 1


def paired(df: pd.DataFrame, column: str, a, b, metric: str = "test_accuracy", labels=None) -> pd.DataFrame:
    """The metric of the runs with `column` = a minus that of those with b, for each other label and seed in both.

    ValueError as for `values`, and for a value that `column` does not have, or if a and b have no seed in common.
    """
    labels = _labels(df, labels)
    _need(df, [column])
    for wanted in (a, b):
        if not (df[column] == wanted).any():
            there = ", ".join(map(str, df[column].unique()))
            raise ValueError(f"no run has {column}={wanted}; there are {there or 'no runs'}")
    return difference(values(df, metric, list(dict.fromkeys([*labels, column]))), column, a, b)


def slope(gap: pd.DataFrame, by: str, per: str = "") -> pd.DataFrame:
    """The least-squares slope of a contrast over the label `by`, for each seed (and other label).

    Its unit is that of the contrast per unit of `by`, which `per` names, such as "block". A seed that lacks one value
    of `by` is left out: its slope would be another number. ValueError unless `by` is a label with at least two numbers
    for values.
    """
    labels = _labels(gap)
    _need(gap[labels], [by])
    if not pd.api.types.is_numeric_dtype(gap[by]) or gap[by].nunique() < 2:
        raise ValueError(f"a slope needs at least two numbers in {by!r}, not {', '.join(map(str, gap[by].unique()))}")
    x = np.sort(gap[by].unique()).astype(float)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    others = [label for label in labels if label != by]
    rows = []
    for key, group in gap.sort_values(by, kind="stable").groupby([*others, "seed"], sort=False, dropna=False):
        if len(group) == len(x):
            known = all(image is not None for image in group["images"])
            images = np.tensordot(weights.astype(np.float32), np.stack(group["images"]), 1) if known else None
            rows.append((*key, weights @ group["value"].to_numpy(float), images, "".join(group["at_chance"])))
    if not rows:
        raise ValueError(f"no seed has a value for every {by}: {', '.join(f'{v:g}' for v in x)}")
    frame = pd.DataFrame(rows, columns=[*others, "seed", "value", "images", "at_chance"])
    frame.attrs = {"labels": others, "unit": f"{gap.attrs.get('unit', '')} per {per or by}".strip()}
    return frame


def difference(gap: pd.DataFrame, column: str, a, b) -> pd.DataFrame:
    """A contrast with `column` = a minus the same with b, for each other label and seed: a difference of differences.

    ValueError if `column` is not a label of the contrast, has no such value, or if no seed has both.
    """
    labels = _labels(gap)
    _need(gap[labels], [column])
    others = [label for label in labels if label != column]
    left, right = (gap[gap[column] == wanted].drop(columns=column) for wanted in (a, b))
    both = left.merge(right, on=[*others, "seed"], suffixes=("", "_b"))
    if both.empty:
        raise ValueError(f"no seed has both {column}={a} and {column}={b} with the other labels equal")
    frame = both[[*others, "seed"]].assign(
        value=both["value"] - both["value_b"],
        images=_objects(_subtract(*images) for images in zip(both["images"], both["images_b"], strict=True)),
        at_chance=both["at_chance"] + both["at_chance_b"],
    )
    unit = gap.attrs.get("unit", "")
    frame.attrs = {"labels": others, "unit": "points" if unit == "%" else unit}
    return frame


def each(gap: pd.DataFrame, by: str | list[str]) -> Parts:
    """The contrast split by a label (or several): a claim on it is one about every part.

    ValueError if `by` is not a label of the contrast.
    """
    by = [by] if isinstance(by, str) else list(by)
    _need(gap[_labels(gap)], by)
    groups = gap.groupby(by, sort=False, dropna=False)
    return Parts((_name(dict(zip(by, key, strict=True))), part) for key, part in groups)


def spread(df: pd.DataFrame, over: str, metric: str = "test_accuracy", labels=None) -> Parts:
    """How far apart the arms of `over` are: all their pairs, for a claim `below` a number of points.

    Pairs, because the largest minus the smallest value of each seed exceeds the true spread even when all arms are
    equal. ValueError as for `paired`, and for fewer than two arms.
    """
    _need(df, [over])
    arms = list(df[over].unique())
    if len(arms) < 2:
        raise ValueError(f"a spread needs at least two values of {over!r}, not {', '.join(map(str, arms)) or 'none'}")
    parts = Parts((f"{a} - {b}", paired(df, over, a, b, metric, labels)) for a, b in combinations(arms, 2))
    parts.symmetric = True
    return parts


def joined(gaps: Mapping[str, pd.DataFrame], label: str) -> pd.DataFrame:
    """Contrasts under each other, told apart by their names in the column `label`, the only label that is left."""
    kept = ["seed", "value", "images", "at_chance"]
    frame = pd.concat([gap[kept].assign(**{label: name}) for name, gap in gaps.items()], ignore_index=True)
    frame = frame[[label, *kept]]
    frame.attrs = {"labels": [label]}
    return frame


def _labels(frame: pd.DataFrame, labels: Iterable[str] | None = None) -> list[str]:
    if labels is not None:
        return list(labels)
    _need(frame, ["seed"])
    before = [c for c in frame.columns[: list(frame.columns).index("seed")] if c not in NOT_LABELS]
    return [label for label in frame.attrs.get("labels", before) if label in frame]


def _need(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    for column in columns:
        if column not in frame:
            raise ValueError(f"no column {column!r}; there are {', '.join(map(str, frame.columns)) or 'none'}")


def _name(labels) -> str:
    return ", ".join(f"{label}={value}" for label, value in labels.items())


def _at_chance(df: pd.DataFrame) -> np.ndarray:
    accuracy = df["test_accuracy"].to_numpy(float)
    loss = df["train_loss"].to_numpy(float) if "train_loss" in df else 0.0
    at_chance = stats.at_chance(accuracy, df["classes"].to_numpy(float), df["test_images"].to_numpy(float), loss)
    return at_chance | (np.isnan(accuracy) & (df["status"] == "diverged").to_numpy())


def _objects(items: Iterable) -> np.ndarray:
    # numpy would make one matrix of arrays of equal length
    items = list(items)
    column = np.empty(len(items), object)
    for i, item in enumerate(items):
        column[i] = item
    return column


def _subtract(a, b):
    if a is None or b is None:
        return None
    if len(a) != len(b):
        raise ValueError(f"the arms were tested on different images: {len(a)} and {len(b)}")
    return a - b
