"""Many arms against one reference in several groups, judged together: 18 activations against ReLU in three families.

In each group the residual sd is pooled over the arms (`stats.many_to_one`), and alpha is divided by the number of
comparisons, so that all intervals cover at once. A claim is then about a largest or least *true* difference, such as
"no arm beats the reference in every group". Whatever the arms, the largest of several numbers lies between the largest
of the lower ends and the largest of the upper ends of intervals that cover them together; so does the least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from nbhelpers import contrasts, stats
from nbhelpers.margins import Region
from nbhelpers.verdict import Verdict, plain

REDUCE = {"largest": np.argmax, "least": np.argmin}


class Source(Protocol):
    """Differences from the reference with half-widths, groups x arms."""

    groups: list[str]
    arms: list[str]

    def grid(self, level: float, chosen: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Runs:
    """Our runs: `values` is groups x (reference, then arms) x seeds; `apart` the arms with a seed at chance, which have
    another sd, hence their own; `errors` what the choice of test images adds (standard error), groups x
    arms; `chance` which runs are at chance in accuracy, as `values`."""

    groups: list[str]
    arms: list[str]
    values: np.ndarray
    apart: np.ndarray
    errors: np.ndarray
    chance: np.ndarray

    @property
    def n(self) -> int:
        return self.values.shape[2]

    def grid(self, level: float, chosen: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean differences and half-widths at the two-sided `level` of each; not a number for a single seed."""
        values = self.values if chosen is None else self.values[:, :, chosen]
        means = values[:, 1:].mean(2) - values[:, :1].mean(2)
        halves = np.full(means.shape, math.nan)
        for g in range(len(self.groups)) if values.shape[2] > 1 else ():
            together = np.flatnonzero(~self.apart[g])
            if len(together):
                of_group = values[g][[0, *(together + 1)]]
                pooled = stats.many_to_one(of_group, alpha=level * len(together))  # which divides by their number
                halves[g, together] = [interval.half_width for interval in pooled]
            for arm in np.flatnonzero(self.apart[g]) if values.shape[2] >= stats.LEAST_SEEDS else ():
                halves[g, arm] = stats.interval(values[g, arm + 1] - values[g, 0], level).half_width
        return means, halves

    def void(self, group: int, arm: int, chosen: Sequence[int] | None = None) -> str:
        """Why a difference shows nothing: "at chance", "equal"; "" where it shows something."""
        pair, seeds = [0, arm + 1], slice(None) if chosen is None else chosen
        equal = np.ptp(self.values[group][pair][:, seeds], 0) == 0
        return "at chance" if self.chance[group][pair][:, seeds].all() else "equal" if equal.all() else ""


@dataclass(frozen=True)
class Stated:
    """Published means and standard deviations. Their repeats were not paired, and where their number is not stated a
    mean counts as one draw: the half-width is that of a difference of two draws."""

    groups: list[str]
    arms: list[str]
    means: np.ndarray
    deviations: np.ndarray

    def grid(self, level: float, chosen: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.means, stats.z_quantile(level) * self.deviations


def runs(df: pd.DataFrame, column: str, reference: str, by: str, metric: str = "test_accuracy") -> Runs:
    """The arms of `column` against `reference` in each group of `by`, over the seeds that all arms have in all groups.

    ValueError where no run is one of the reference, there is no other arm, or no seed has all.
    """
    frame = contrasts.values(df, metric, [by, column])
    groups, arms = (list(dict.fromkeys(frame[name])) for name in (by, column))
    if reference not in arms or len(arms) < 2:
        raise ValueError(f"expected runs with {column}={reference} and with another, not {', '.join(arms) or 'none'}")
    arms.remove(reference)
    index = frame.set_index([by, column, "seed"])
    counts = frame.groupby("seed").size()
    seeds = sorted(counts[counts == len(groups) * (1 + len(arms))].index)
    if not seeds:
        raise ValueError(f"no seed has all {1 + len(arms)} arms in all {len(groups)} groups")
    cells = [[[index.loc[(g, a, s)] for s in seeds] for a in [reference, *arms]] for g in groups]
    values = np.array([[[cell["value"] for cell in arm] for arm in group] for group in cells], float)
    chance = np.array([[[cell["at_chance"] == "1" for cell in arm] for arm in group] for group in cells])
    errors = np.array([[_image_error(arm, group[0]) for arm in group[1:]] for group in cells])
    apart = chance[:, 1:].any(2) | chance[:, :1].any(2)
    return Runs(groups, arms, values, apart, errors, chance & ("accuracy" in metric))


def _image_error(arm: Sequence[Any], reference: Sequence[Any]) -> float:
    pairs = [(a["images"], b["images"]) for a, b in zip(arm, reference, strict=True)]
    known = all(image is not None for pair in pairs for image in pair)
    return stats.image_error(np.array([a - b for a, b in pairs])) if known else math.nan


def stated(published: pd.DataFrame, column: str, reference: str, by: str) -> Stated:
    """The published `value` and `sd` of every arm but `reference`, minus those of the reference."""
    value, sd = (published.pivot(index=by, columns=column, values=name) for name in ("value", "sd"))
    groups = list(dict.fromkeys(published[by]))
    arms = [arm for arm in dict.fromkeys(published[column]) if arm != reference]
    means = value.loc[groups, arms].sub(value.loc[groups, reference], axis=0).to_numpy()
    deviations = np.hypot(sd.loc[groups, arms], sd.loc[groups, [reference]].to_numpy()).to_numpy()
    return Stated(groups, arms, means, deviations)


def differences(source: Source, by: str, column: str, alpha: float = 0.05) -> pd.DataFrame:
    """A row per group and arm: mean difference with its interval, alpha divided by the number of arms."""
    means, halves = source.grid(alpha / len(source.arms))
    rows = []
    for g, group in enumerate(source.groups):
        for a, arm in enumerate(source.arms):
            mean, half = means[g, a], halves[g, a]
            rows.append({by: group, column: arm, "mean": mean, "low": mean - half, "high": mean + half})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Extreme:
    """What a claim is about: of some arms (all if not named) the "largest" or "least" difference over the groups, then
    over the arms. ("least", "largest") is what the arm with the best worst group has."""

    source: Source
    over_groups: str
    over_arms: str = "largest"
    arms: tuple[str, ...] = ()

    def __post_init__(self):
        if unknown := set(self.arms) - set(self.source.arms):
            raise ValueError(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(self.source.arms)}")

    @property
    def chosen(self) -> list[int]:
        return [self.source.arms.index(arm) for arm in self.arms or self.source.arms]

    def at(self, grid: np.ndarray) -> tuple[int, int]:
        """The cell that has the extreme of a grid, groups x arms: its row and column."""
        part = grid[:, self.chosen]
        rows = REDUCE[self.over_groups](part, 0)
        column = REDUCE[self.over_arms](part[rows, range(part.shape[1])])
        return int(rows[column]), self.chosen[column]

    def of(self, grid: np.ndarray) -> tuple[float, str]:
        """The extreme of a grid, groups x arms, and the name of the cell that has it."""
        row, column = self.at(grid)
        return float(grid[row, column]), f"{self.source.arms[column]}, {self.source.groups[row]}"

    def void(self, seeds: Sequence[int] | None = None) -> str:
        """Why the cell of the estimate shows nothing, as a `Verdict.rule`; "" where it shows something."""
        row, column = self.at(self.source.grid(0.05, seeds)[0])
        return self.source.void(row, column, seeds)

    def interval(self, alpha: float, seeds: Sequence[int] | None = None, errors=0.0) -> tuple[float, float, float, str]:
        """Estimate, ends and the name of the estimate's cell. errors: over test images, groups x arms."""
        level = alpha / (len(self.chosen) * len(self.source.groups))
        means, halves = self.source.grid(level, seeds)
        halves = np.hypot(halves, stats.z_quantile(level) * np.asarray(errors))
        (estimate, name), (low, _), (high, _) = self.of(means), self.of(means - halves), self.of(means + halves)
        return estimate, low, high, name


def judge(extreme: Extreme, region: Region, alpha: float = 0.05, **options: Any) -> str:
    """holds, fails or undecided."""
    _, low, high, _ = extreme.interval(alpha, **options)
    return "holds" if region.contains(low, high) else "fails" if region.disjoint(low, high) else "undecided"


def sentence(extreme: Extreme, low: float = -math.inf, high: float = math.inf, alpha: float = 0.05) -> str:
    """The verdict on published numbers, as one line: that the extreme lies between `low` and `high`."""
    estimate, least, most, name = extreme.interval(alpha)
    region = Region(low, high)
    return (
        f"{judge(extreme, region, alpha)} at {name}: {estimate:+.2f} points [{least:.2f}, {most:.2f}], region {region}"
    )


def claim(text: str, extreme: Extreme, region: Region, planned: int = 0, alpha: float = 0.05) -> Verdict:
    """The verdict on a claim about our runs: see `claims.claim`."""
    source = extreme.source
    estimate, low, high, name = extreme.interval(alpha)
    interim = source.n < max(stats.LEAST_SEEDS, planned or 0)
    void = "" if interim else extreme.void()
    verdict = "interim" if interim else "undecided" if void else judge(extreme, region, alpha)
    margin = {"holds": region.slack, "fails": region.distance}.get(verdict)
    margin = margin(low, high) if margin else -max(region.slack(low, high), region.distance(low, high))
    known = verdict in ("holds", "fails") and not np.isnan(source.errors).any()
    images = (judge(extreme, region, alpha, errors=source.errors) != verdict) if known else None
    each = (source.values[:, 1:] - source.values[:, :1]).transpose(2, 0, 1)
    part = {"label": name, "verdict": verdict, "rule": void or "extreme", "n": source.n, "planned": planned or None}
    ends = {"low": plain(low), "high": plain(high)}
    part |= {"estimate": estimate} | ends | {"values": [extreme.of(grid)[0] for grid in each]}
    return Verdict(
        text=text,
        region=str(region),
        verdict=verdict,
        n=source.n,
        planned=planned or None,
        estimate=estimate,
        **ends,
        margin=None if interim or void else plain(float(margin)),
        on_these_images=images if verdict in ("holds", "fails") else False,
        seeds_needed=None,
        part=name,
        rule=void or "extreme",
        unit="points",
        alpha=alpha,
        parts=[part],
    )


def by_seeds(extreme: Extreme, region: Region, alpha: float = 0.05) -> pd.DataFrame:
    """How the claim would have come out with fewer seeds: see `claims.by_seeds`."""
    rows = []
    for k in range(1, extreme.source.n + 1):
        subsets = stats.subsets(extreme.source.n, k).tolist()
        found = []
        for subset in subsets:
            said = judge(extreme, region, alpha, seeds=subset)
            if k < stats.LEAST_SEEDS:  # the mean alone is judged
                mean = extreme.of(extreme.source.grid(alpha, subset)[0])[0]
                said = "holds" if region.contains(mean, mean) else "fails"
            found.append("undecided" if extreme.void(subset) else said)
        shares = {verdict: found.count(verdict) / len(found) for verdict in ("holds", "fails", "undecided")}
        rows.append({"k": k, "subsets": len(subsets)} | shares)
    return pd.DataFrame(rows)
