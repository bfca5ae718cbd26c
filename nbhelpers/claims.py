"""Claims: contrasts in, verdicts out. The rule that decides, and what it promises, stands in `margins`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from nbhelpers import pooled, stats
from nbhelpers.contrasts import Mixed, Parts, cell, chance, each, paired, slope, spread, values
from nbhelpers.judged import Judged, arrays, judge, nothing
from nbhelpers.margins import Region, margins
from nbhelpers.verdict import Verdict, plain

__all__ = ["Mixed", "Region", "Verdict", "by_seeds", "cell", "chance", "claim"]
__all__ += ["each", "paired", "slope", "spread", "values"]  # where the numbers of a claim come from


def claim(
    text: str, parts, above=None, below=None, inside=None, planned=None, looks: int = 1, alpha: float = 0.05
) -> Verdict:
    """The verdict on a claim: a contrast, or each of several parts, lies `above`, `below` or `inside` (low, high).

    Of a `pooled.Extreme` the largest or least difference of many arms does. A contrast of yes and no (`chance`) takes
    no region: it claims yes in most seeds. A verdict takes the `planned` seeds (a number, or one for each part's label)
    and at least 3. A comparison of runs that are all at chance, or in which no seed shows a difference, is undecided,
    and the verdict says why. `looks` is 2 where seeds were added after looking: it divides alpha. ValueError for a
    region that is missing, doubled, empty or not for this contrast, for no values, values that are not finite, or
    several values of one seed.
    """
    if isinstance(parts, pooled.Extreme):
        return pooled.claim(text, parts, _region(above, below, inside), planned, _level(alpha, looks))
    parts, region, name = _prepare(parts, above, below, inside)
    alpha = _level(alpha, looks)
    empty = nothing(parts, [arrays(part) for part in parts.values()])
    judged = [
        judge(label, part, region, alpha, len(parts), void)
        for (label, part), void in zip(parts.items(), empty, strict=True)
    ]
    wanted = [int((planned.get(label) if isinstance(planned, Mapping) else planned) or 0) for label in parts]
    verdicts = [_verdict([part], least) for part, least in zip(judged, wanted, strict=True)]
    verdict = "interim" if "interim" in verdicts else _verdict(judged)
    hold, fail = min(part.hold for part in judged), max(part.fail for part in judged)
    nearest, shown, rule = _deciding(judged, wanted, verdict, region, parts.symmetric)
    margin = {"holds": hold, "fails": fail, "undecided": min(-hold, -fail)}.get(verdict, math.nan)
    wider = shown is nearest.fail_interval or rule == "spread"
    return Verdict(
        text=text,
        region=name,
        verdict=verdict,
        n=min(part.n for part in judged),
        planned=max(wanted) or None,
        estimate=shown.mean,
        low=plain(shown.low),
        high=plain(shown.high),
        margin=None if nearest.yes_no or nearest.void else plain(margin),
        on_these_images=_on_these_images(judged, verdict, region, alpha),
        seeds_needed=_seeds_needed(judged, region, alpha) if verdict == "undecided" else None,
        part=nearest.label,
        rule=rule,
        unit=next(iter(parts.values())).attrs.get("unit", ""),
        alpha=alpha,
        level=1 - (max(part.fail_alpha for part in judged) if wider else alpha),
        parts=[
            {"label": p.label, "verdict": said, "rule": p.rule, "n": p.n}
            | {"planned": max(least, stats.LEAST_SEEDS) if least else None}
            | {"estimate": p.interval.mean, "low": plain(p.interval.low), "high": plain(p.interval.high)}
            | {"values": p.values.tolist()}
            for p, said, least in zip(judged, verdicts, wanted, strict=True)
        ],
    )


def by_seeds(parts, above=None, below=None, inside=None, looks: int = 1, alpha: float = 0.05) -> pd.DataFrame:
    """How the claim would have come out with fewer seeds: shares of the verdicts over all subsets of k seeds.

    Columns k, subsets, holds, fails, undecided. One or two seeds have no interval: there the mean alone is judged,
    as publications do. Seeds that every part has are used; beyond 12 seeds, 1000 random subsets of a size stand for
    all. ValueError as for `claim`, and if the parts have no seed in common.
    """
    if isinstance(parts, pooled.Extreme):
        return pooled.by_seeds(parts, _region(above, below, inside), _level(alpha, looks))
    parts, region, _ = _prepare(parts, above, below, inside)
    alpha = _level(alpha, looks)
    seeds = sorted(set.intersection(*(set(part["seed"]) for part in parts.values())))
    if not seeds:
        raise ValueError("the parts of the claim have no seed in common")
    data = [arrays(part.set_index("seed").loc[seeds]) for part in parts.values()]
    rows = []
    for k in range(1, len(seeds) + 1):
        chosen = stats.subsets(len(seeds), k)
        drawn = [(v[chosen], c[chosen], g[chosen], y, compared) for v, c, g, y, compared in data]
        judged = [
            np.where(void, -math.inf, margins(v, c, region, alpha, len(parts), yes_no=y))
            for (v, c, _, y, _), void in zip(drawn, nothing(parts, drawn), strict=True)
        ]
        holds = np.mean(np.min([hold for hold, _ in judged], 0) > 0)
        fails = np.mean(np.max([fail for _, fail in judged], 0) >= 0)
        rows.append((k, len(chosen), holds, fails, max(0.0, 1 - holds - fails)))
    return pd.DataFrame(rows, columns=["k", "subsets", "holds", "fails", "undecided"])


def _verdict(judged: list[Judged], planned: int = 0) -> str:
    if min(part.n for part in judged) < max(stats.LEAST_SEEDS, planned):
        return "interim"
    if min(part.hold for part in judged) > 0:
        return "holds"
    return "fails" if max(part.fail for part in judged) >= 0 else "undecided"


def _deciding(
    judged: list[Judged], wanted: list[int], verdict: str, region: Region, symmetric: bool
) -> tuple[Judged, stats.Interval, str]:
    """The part that decides, or comes nearest to it, with the interval to show for it and the rule it goes by."""
    if verdict == "interim":  # the part that lacks most seeds, of those the one that supports the claim least
        lacks = [part.n - max(stats.LEAST_SEEDS, least) for part, least in zip(judged, wanted, strict=True)]
        support = [float(region.slack(mean, mean)) for mean in (part.values.mean() for part in judged)]
        part = judged[min(range(len(judged)), key=lambda i: (lacks[i], support[i]))]
        return part, part.interval, part.rule
    least, most = min(judged, key=lambda part: part.hold), max(judged, key=lambda part: part.fail)
    if verdict == "undecided" and least.void:
        return least, least.interval, least.rule
    if symmetric and all(part.rule == "mean" for part in judged):
        far = max(judged, key=lambda part: abs(part.interval.mean))
        low = max(0.0, *(abs(part.interval.mean) - part.fail_interval.half_width for part in judged))
        high = max(abs(part.interval.mean) + part.interval.half_width for part in judged)
        return far, stats.Interval(abs(far.interval.mean), low, high, far.n), "spread"
    if verdict == "fails" or (verdict == "undecided" and most.fail > least.hold):
        return most, most.fail_interval, most.rule
    return least, least.interval, least.rule


def _on_these_images(judged: list[Judged], verdict: str, region: Region, alpha: float) -> bool | None:
    if verdict not in ("holds", "fails"):
        return False
    if any(part.images is None and part.rule == "mean" for part in judged):
        return None
    again = []
    for part in (part for part in judged if not part.void):
        error = stats.image_error(part.images) if part.rule == "mean" else 0.0
        again.append(margins(part.values, part.at_chance, region, alpha, len(judged), error, part.yes_no))
    return bool(min(hold for hold, _ in again) <= 0 if verdict == "holds" else max(fail for _, fail in again) < 0)


def _seeds_needed(judged: list[Judged], region: Region, alpha: float) -> int | None:
    """Until all parts hold, as things stand; or, where the estimate of one lies outside, until that one fails."""

    def needed(part, level):
        if part.rule == "mean":
            number = stats.seeds_needed(part.values, (region.low, region.high), level)
        else:
            number = stats.seeds_needed_share(round(part.interval.mean * part.n), part.n, level)
        return number and max(number, part.n + 1)  # a narrow region takes more than the formula says

    def outside(part):
        centre = part.interval.mean
        return centre < 0.5 if part.rule == "share" else region.slack(centre, centre) < 0

    if any(part.void for part in judged):
        return None  # more of the same would show no more
    if out := [part for part in judged if outside(part)]:
        return min((n for part in out if (n := needed(part, alpha / len(judged)))), default=None)
    numbers = [needed(part, alpha) for part in judged]
    return None if None in numbers else max(numbers)


def _prepare(parts, above, below, inside) -> tuple[Parts, Region, str]:
    """The parts, checked, with their region and its name."""
    parts = Parts({"": parts}) if isinstance(parts, pd.DataFrame) else parts
    if not parts or not isinstance(parts, Parts):
        raise ValueError("a claim needs a contrast (values, paired, slope, chance), each(...) or spread(...)")
    for label, part in parts.items():
        where = f"{label}: " if label else ""
        if part.empty:
            raise ValueError(f"{where}no seed has a value")
        if not np.isfinite(part["value"].to_numpy(float)).all():
            raise ValueError(f"{where}every seed needs a finite value")
        if (again := part["seed"].duplicated()).any():
            seed, labels = part["seed"][again].iloc[0], list(part.columns[: list(part.columns).index("seed")])
            raise ValueError(f"{where}seed {seed} has several values: select, or use each or slope, over {labels}")
    if all(part["value"].dtype == bool for part in parts.values()):
        if any(bound is not None for bound in (above, below, inside)):
            raise ValueError("a contrast of yes and no takes no region: it claims yes in most seeds")
        return parts, Region(low=0.5), "most seeds"
    region = _region(above, below, inside)
    if parts.symmetric:
        if below is None or not below > 0:
            raise ValueError("a claim on a spread takes below=, a positive number")
        return parts, Region(-below, below), f"spread < {below:g}"
    return parts, region, str(region)


def _region(above, below, inside) -> Region:
    given = {"above": above, "below": below, "inside": inside}
    given = {side: bound for side, bound in given.items() if bound is not None}
    if len(given) != 1:
        raise ValueError(f"a claim takes one of above, below, inside, not {' and '.join(given) or 'none'}")
    low, high = inside if inside is not None else (above, below)
    region = Region(-math.inf if low is None else low, math.inf if high is None else high)
    if not region.low < region.high:
        raise ValueError(f"inside=({region.low:g}, {region.high:g}) is empty: it takes (low, high), low < high")
    return region


def _level(alpha: float, looks: int) -> float:
    if looks not in (1, 2):
        raise ValueError(f"looks is 1, or 2 where seeds were added once after looking, not {looks!r}")
    return alpha / looks
