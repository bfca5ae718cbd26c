"""Claims: contrasts in, verdicts out.

A claim is one number per seed and a region fixed beforehand. Its interval inside the region: it holds; disjoint
from the region: it fails; else it is undecided. Everything goes through two signed margins:

    hold   how far the deciding end of the interval lies inside the region        holds if > 0
    fail   how far the whole interval lies outside the region                     fails if >= 0

A claim on K parts takes the least `hold` at alpha (an intersection-union test) and the largest `fail` at alpha/K
(Bonferroni), so either kind of wrong verdict has a probability of at most alpha/2, 2.5%. To keep that promise,

- a two-sided region narrower than the interval, which can be missed on either side, fails at half the alpha;
- a part with some seeds at chance and others not is *mixed*: its values have two modes and a mean describes
  neither, so the exact binomial interval of the share of seeds in the region must be clear of one half.

What no rule can tell from 3 to 5 seeds is a mode that none of them shows: an arm that falls to chance in half of
its seeds looks sound in 3 of 3 with a probability of 1/8 (6 of 6: 1/64).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from nbhelpers import stats
from nbhelpers.contrasts import Mixed, Parts, cell, chance, each, paired, slope, spread, values

__all__ = ["Mixed", "Region", "Verdict", "by_seeds", "cell", "chance", "claim"]
__all__ += ["each", "paired", "slope", "spread", "values"]  # where the numbers of a claim come from

MOST_SUBSETS = 1000  # of one size in `by_seeds`: all of them up to 12 seeds


@dataclass(frozen=True)
class Region:
    """The open interval from `low` to `high`, in the unit of the claim; one end may be infinite."""

    low: float = -math.inf
    high: float = math.inf

    def slack(self, low, high):
        """By how much [low, high] lies inside; negative: by how much it sticks out."""
        return np.minimum(low - self.low, self.high - high)

    def distance(self, low, high):
        """By how much [low, high] lies outside; negative: by how much it reaches in."""
        return np.maximum(self.low - high, low - self.high)

    def contains(self, low, high):
        return self.slack(low, high) > 0

    def disjoint(self, low, high):
        return self.distance(low, high) >= 0

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"> {self.low:g}"
        return f"< {self.high:g}" if math.isinf(self.low) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about a claim: holds, fails, undecided, or interim (too few seeds for a verdict).

    `estimate`, `low`, `high` are those of the `part` that decides or comes nearest to it, at the level that decides,
    in the claim's unit; by the rule "share", the share of seeds in the region. For a `spread`: the largest
    difference of two arms (biased upwards) and the bounds of the true one. `margin`: the least move of the region's
    boundary that would tip the verdict. `on_these_images`: whether the error over test images would undo it. None
    is what cannot be said: for want of seeds, of images, or of a boundary to move.
    """

    text: str
    region: str
    verdict: str
    n: int
    planned: int | None
    estimate: float
    low: float | None
    high: float | None
    margin: float | None
    on_these_images: bool | None
    seeds_needed: int | None
    parts: list[dict]
    part: str
    rule: str
    alpha: float
    unit: str

    @property
    def sentence(self) -> str:
        """One line, such as "holds: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1"."""
        half = 0 if self.low is None else (self.high - self.low) / 2
        digits = min(6, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 1  # two figures of half
        where = f"{self.part}: " if self.part and self.rule != "spread" else ""
        if self.verdict == "interim":
            numbers = next(part["values"] for part in self.parts if part["label"] == self.part)
            said = "values " + ", ".join(f"{value:.4g}" for value in numbers)
        elif self.rule == "share":
            said = f"{self.estimate:.0%} of seeds in the region [{self.low:.0%}, {self.high:.0%}]"
        else:
            said = f"{self.estimate:{'' if self.unit == '%' else '+'}.{digits}f} {self.unit}".strip()
            said += f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
            said += f" (± {half:.{digits}f})" if self.verdict == "undecided" else ""
        planned = f" of {self.planned} planned" if self.verdict == "interim" and self.planned else ""
        said = f"{where}{said}, n = {self.n}{planned}, region {self.region}"
        said += "" if self.margin is None else f", margin {self.margin:.{digits}f}"
        said += "" if self.seeds_needed is None else f", about {self.seeds_needed} seeds would decide"
        return f"{self.verdict}{' on these images' if self.on_these_images else ''}: {said}"

    def to_dict(self) -> dict:
        """Plain values for JSON, with the sentence; no nan and no infinity."""
        return asdict(self) | {"sentence": self.sentence}


def claim(
    text: str, parts, above=None, below=None, inside=None, planned=None, looks: int = 1, alpha: float = 0.05
) -> Verdict:
    """The verdict on a claim: a contrast, or each of several `parts`, lies `above`, `below` or `inside` (low, high).

    A contrast of yes and no (`chance`) takes no region: it claims "yes in most seeds". `planned` seeds, a number or
    one for each part's label, and at least 3, make a verdict; fewer leave it interim. `looks` is 2 where seeds were
    raised after looking, which divides alpha. ValueError for a region that is missing, doubled, empty or not the
    kind's own, for no values, for values that are not finite, and for several values of one seed.
    """
    if looks not in (1, 2):
        raise ValueError(f"looks is 1, or 2 where seeds were raised once after looking, not {looks!r}")
    parts, region, name = _prepare(parts, above, below, inside)
    alpha, count = alpha / looks, len(parts)
    judged = [_judge(label, part, region, alpha, count) for label, part in parts.items()]
    wanted = [planned.get(part["label"], 0) if isinstance(planned, Mapping) else planned or 0 for part in judged]
    hold, fail = min(p["hold"] for p in judged), max(p["fail"] for p in judged)
    verdict = "holds" if hold > 0 else "fails" if fail >= 0 else "undecided"
    if interim := any(part["n"] < max(3, least) for part, least in zip(judged, wanted, strict=True)):
        verdict = "interim"
    part, low, high = _deciding(judged, hold, fail)
    if parts.symmetric and all(p["rule"] == "mean" for p in judged) and part["n"] > 1:
        far = max(judged, key=lambda p: abs(p["estimate"]))
        part = far | {"estimate": abs(far["estimate"]), "rule": "spread"}
        low = max(0.0, *(abs(p["estimate"]) - p["fail_half"] for p in judged))
        high = max(abs(p["estimate"]) + p["half"] for p in judged)
    margin = {"holds": hold, "fails": fail, "undecided": min(-hold, -fail)}.get(verdict)
    return Verdict(
        text=text,
        region=name,
        verdict=verdict,
        n=min(p["n"] for p in judged),
        planned=max(wanted) or None,
        estimate=part["estimate"],
        low=_plain(low),
        high=_plain(high),
        margin=None if margin is None or part["yes_no"] else _plain(margin),
        on_these_images=_on_these_images(verdict, judged, region, alpha),
        seeds_needed=_seeds_needed(judged, region, alpha) if verdict == "undecided" else None,
        parts=[_report(p, least) for p, least in zip(judged, wanted, strict=True)],
        part=part["label"],
        rule=part["rule"],
        alpha=alpha,
        unit=next(iter(parts.values())).attrs.get("unit", ""),
    )


def by_seeds(parts, above=None, below=None, inside=None, looks: int = 1, alpha: float = 0.05) -> pd.DataFrame:
    """How a claim would have come out with fewer seeds: the share of each verdict over the subsets of k seeds.

    Columns k, subsets, holds, fails, undecided. One or two seeds have no interval: there the mean itself is judged, as
    publications do. Seeds that every part has are used, all subsets up to 12 seeds, else 1000 of each size.
    ValueError as for `claim`.
    """
    parts, region, _ = _prepare(parts, above, below, inside)
    seeds = sorted(set.intersection(*(set(part["seed"]) for part in parts.values())))
    data = [_arrays(part.set_index("seed").loc[seeds].reset_index()) for part in parts.values()]
    rows = []
    for k in range(1, len(seeds) + 1):
        chosen = _subsets(len(seeds), k)
        margins = [margins_of(v[chosen], c[chosen], region, alpha / looks, len(parts), yes_no=y) for v, c, y in data]
        holds = np.min([hold for hold, _ in margins], 0) > 0
        fails = np.max([fail for _, fail in margins], 0) >= 0
        rows.append((k, len(chosen), holds.mean(), fails.mean(), 1 - holds.mean() - fails.mean()))
    return pd.DataFrame(rows, columns=["k", "subsets", "holds", "fails", "undecided"])
