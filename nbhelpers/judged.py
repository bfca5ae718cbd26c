"""One part of a claim, judged: its numbers, the rule it goes by, and its two margins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nbhelpers import stats
from nbhelpers.contrasts import Parts
from nbhelpers.margins import Region, fail_alpha, half_widths, margins, mixed, shows_nothing
from nbhelpers.verdict import NOTHING


@dataclass(frozen=True)
class Judged:
    label: str
    values: np.ndarray
    images: np.ndarray | None  # mean over seeds, for each test image
    at_chance: np.ndarray
    yes_no: bool
    rule: str
    interval: stats.Interval  # that decides whether the part holds
    fail_interval: stats.Interval  # that decides whether it fails: wider where there are several parts
    fail_alpha: float  # of that interval
    hold: float
    fail: float

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def void(self) -> bool:
        """Whether it shows nothing."""
        return self.rule in NOTHING


def judge(label: str, part: pd.DataFrame, region: Region, alpha: float, parts: int, void: bool) -> Judged:
    values, at_chance, guessed, yes_no, _ = arrays(part)
    hold, fail = margins(values, at_chance, region, alpha, parts, yes_no=yes_no) if not void else 2 * [-math.inf]
    n, mean = len(values), float(values.mean())
    rule, level = "share" if yes_no or mixed(at_chance) else "mean", alpha / parts
    if rule == "share":
        k = int(region.contains(values, values).sum())
        intervals = [stats.binomial(k, n, level) for level in (alpha, level)]
    else:
        level = fail_alpha(values, region, alpha, parts)
        halves = [float(half) for half in half_widths(values, region, alpha, parts)]
        intervals = [stats.Interval(mean, mean - half, mean + half, n) for half in halves]
    rule = ("at chance" if guessed.all() else "equal") if void else rule
    known = "images" in part and all(image is not None for image in part["images"])
    images = np.mean(list(part["images"]), 0) if known else None
    return Judged(label, values, images, at_chance, yes_no, rule, *intervals, level, float(hold), float(fail))


def arrays(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool, bool]:
    """Values, a code for which of the runs behind each are at chance, whether all of them are (known of accuracies),
    whether the values are yes and no, and whether they compare several runs."""
    said, unit = part.get("at_chance", pd.Series("", part.index)), part.attrs.get("unit", "")
    guessed = np.array(["0" not in each and any(sign in unit for sign in ("%", "points")) for each in said], bool)
    yes_no, compared = part["value"].dtype == bool, min(map(len, said)) > 1
    return part["value"].to_numpy(float), pd.factorize(said)[0], guessed, yes_no, compared and not yes_no


def nothing(parts: Parts, data: list[tuple]) -> list[np.ndarray]:
    """For the arrays of each part, whether they show nothing; of a spread, which is about all arms, all parts must."""
    found = [shows_nothing(values, guessed) & compared for values, _, guessed, _, compared in data]
    return [np.logical_and.reduce(found)] * len(found) if parts.symmetric else found
