"""The rule behind every verdict: a region and numbers of several seeds in, two signed margins out.

    hold   how far the deciding end of the interval lies inside the region        the claim holds if > 0
    fail   how far the whole interval lies outside the region                     the claim fails if >= 0

A claim on K parts takes the least `hold` at alpha (an intersection-union test: a false part holds with a probability
of at most alpha/2) and the largest `fail` at alpha/K (Bonferroni). So either kind of wrong verdict has a probability
of at most alpha/2, 2.5%. To keep that promise,

- a two-sided region narrower than the interval, which can be missed on either side, fails at half the alpha;
- a part with some seeds at chance and others not is *mixed*: its values have two modes and a mean describes
  neither, so the exact binomial interval of the share of seeds in the region must be clear of one half.

Runs that are all at chance, or arms that come out equal to the last digit in every seed, show nothing about a
difference, however narrow its interval: such a part neither holds nor fails (`shows_nothing`).

What no rule can tell from 3 to 5 seeds is a mode that none of them shows: an arm that falls to chance in half of
its seeds looks sound in 3 of 3 with a probability of 1/8 (6 of 6: 1/64).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbhelpers import stats


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


def mixed(at_chance: np.ndarray) -> np.ndarray:
    """Whether the seeds (last axis) differ in which of their runs are at chance."""
    return (at_chance != at_chance[..., :1]).any(-1)


def shows_nothing(values: np.ndarray, guessed: np.ndarray) -> np.ndarray:
    """Whether a comparison shows nothing, for many samples at once (seeds: last axis).

    guessed: for each seed, whether all runs that it compares are at chance. Else no seed shows a difference.
    """
    return guessed.all(-1) | (values == 0).all(-1)


def half_widths(values: np.ndarray, region: Region, alpha: float = 0.05, parts: int = 1, image_error: float = 0.0):
    """Half-widths of the intervals that decide whether a claim holds, and whether it fails (seeds: last axis).

    With an `image_error` (standard error over test images) the intervals cover new images too; nan for one seed.
    """
    n = values.shape[-1]
    if n == 1:
        return np.full((2, *values.shape[:-1]), math.nan)
    error = values.std(-1, ddof=1) / math.sqrt(n)

    def at(level):
        return np.hypot(stats.t_quantile(n - 1, level) * error, stats.z_quantile(level) * image_error)

    fail = at(alpha / parts)
    narrow = region.high - region.low < 2 * fail
    return at(alpha), np.where(narrow, at(alpha / parts / 2), fail)


def fail_alpha(values: np.ndarray, region: Region, alpha: float = 0.05, parts: int = 1) -> float:
    """The alpha of the interval that decides whether one of `parts` parts fails, for the seeds of one sample."""
    n, level = len(values), alpha / parts
    half = stats.t_quantile(n - 1, level) * values.std(ddof=1) / math.sqrt(n) if n > 1 else 0.0
    return level / 2 if region.high - region.low < 2 * half else level


def margins(values, at_chance, region: Region, alpha=0.05, parts: int = 1, image_error=0.0, yes_no: bool = False):
    """The margins (hold, fail) of one of `parts` parts, for many samples at once (seeds: last axis).

    `at_chance` says for each seed which of its runs are at chance, in any code; `yes_no` values always go by their
    share. Of one or two seeds the mean itself is judged, without an interval. An infinite margin: no move of the
    region's boundary would do, for so few seeds.
    """
    n, mean = values.shape[-1], values.mean(-1)
    if n < 3:
        hold = region.slack(mean, mean)
        return hold, -hold
    half, fail_half = half_widths(values, region, alpha, parts, image_error)
    hold, fail = region.slack(mean - half, mean + half), region.distance(mean - fail_half, mean + fail_half)
    # k seeds lie in the region as long as the k-th largest slack is positive
    slack = -np.sort(-region.slack(values, values), -1)
    most, few = stats.majority(n, alpha), n - stats.majority(n, alpha / parts)
    by_share = mixed(at_chance) | yes_no
    hold = np.where(by_share, slack[..., most - 1] if most <= n else -math.inf, hold)
    fail = np.where(by_share, -slack[..., few] if few >= 0 else -math.inf, fail)
    return hold, fail
