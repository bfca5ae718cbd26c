"""Intervals for a few seeds: numbers in, numbers out; knows no torch, no DataFrame and no study.

Accuracies and their differences are in points (per cent). `alpha` is always two-sided: 0.05 gives 95%
intervals, which err by 2.5% on either side. scipy is imported inside the functions: it costs a quarter of a
second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from statistics import NormalDist

import numpy as np

LEAST_SEEDS = 3  # for a verdict, or an interval in a figure: that of two says nothing
MOST_SEEDS = 1000  # beyond this, "about how many seeds would decide it" has no useful answer
MOST_SUBSETS = 1000  # of one size


@dataclass(frozen=True)
class Interval:
    """An estimate from `n` draws and the ends of its interval, which are nan where n is too small for one."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@cache
def t_quantile(df: float, alpha: float = 0.05) -> float:
    """The value that |t| with `df` degrees of freedom exceeds with probability `alpha`."""
    from scipy.special import stdtrit

    _check_alpha(alpha)
    return float(stdtrit(df, 1 - alpha / 2))


def z_quantile(alpha: float = 0.05) -> float:
    """The value that a |standard normal| exceeds with probability `alpha`: 1.96 for 0.05."""
    _check_alpha(alpha)
    return NormalDist().inv_cdf(1 - alpha / 2)


def interval(values, alpha: float = 0.05) -> Interval:
    """Student's interval of the mean over seeds, mean ± t·sd/sqrt(n).

    One value has a mean and no interval (nan ends). ValueError if there is no value, or one is not finite.
    """
    values = _finite(values)
    n = len(values)
    half = t_quantile(n - 1, alpha) * values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return _around(values.mean(), half, n)


def prediction(values, minus=None, alpha: float = 0.05) -> Interval:
    """The interval in which one more draw falls, mean ± t·sd·sqrt(1 + 1/n).

    With `minus`, for a gap between two arms that were *not* paired, as in most publications: each arm adds
    its own variance sd²·(1 + 1/n), with the degrees of freedom of Welch and Satterthwaite. Fewer than two
    values in an arm: nan ends. ValueError as for `interval`.
    """
    arms = [_finite(arm) for arm in ([values] if minus is None else [values, minus])]
    mean = arms[0].mean() - (arms[1].mean() if len(arms) > 1 else 0.0)
    n = min(map(len, arms))
    if n < 2:
        return _around(mean, math.nan, n)
    variances = [arm.var(ddof=1) * (1 + 1 / len(arm)) for arm in arms]
    spread = sum(v**2 / (len(arm) - 1) for v, arm in zip(variances, arms, strict=True))
    df = sum(variances) ** 2 / spread if spread > 0 else n - 1
    return _around(mean, t_quantile(float(df), alpha) * math.sqrt(sum(variances)), n)


def inside(published: float, values, minus=None, alpha: float = 0.05, rounding: float = 0.0) -> bool | None:
    """Whether a published value lies where one more of our draws would; None for fewer than two values.

    rounding: how far the published value may be from what was printed.
    """
    ours = prediction(values, minus, alpha)
    return None if math.isnan(ours.low) else abs(published - ours.mean) <= ours.half_width + rounding


def many_to_one(values, reference: int = 0, alpha: float = 0.05) -> list[Interval]:
    """Each arm minus the reference arm, when many arms meet one reference (seeds shared by all arms).

    `values` is arms x seeds; the list leaves the reference out. The residual sd, pooled over arms
    after arm and seed means are taken out, has (arms - 1)·(seeds - 1) degrees of freedom; alpha is divided by
    the number of comparisons (Bonferroni), so all intervals cover at once. Arms with seeds at chance have
    another sd: leave them out. ValueError unless there are two arms and two seeds, all finite.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"expected arms x seeds, at least 2 x 2, not shape {values.shape}")
    _finite(values.ravel())
    arms, seeds = values.shape
    means = values.mean(1)
    residuals = values - means[:, None] - values.mean(0) + values.mean()
    df = (arms - 1) * (seeds - 1)
    half = t_quantile(df, alpha / (arms - 1)) * math.sqrt((residuals**2).sum() / df * 2 / seeds)
    return [_around(means[i] - means[reference], half, seeds) for i in range(arms) if i != reference % arms]


@cache
def binomial(k: int, n: int, alpha: float = 0.05) -> Interval:
    """Exact interval of a share, k of n (Clopper and Pearson, 1934): quantiles of beta distributions.

    ValueError unless 0 <= k <= n and n >= 1.
    """
    from scipy.special import betaincinv

    _check_share(k, n, alpha)
    low = float(betaincinv(k, n - k + 1, alpha / 2)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - alpha / 2)) if k < n else 1.0
    return Interval(k / n, low, high, n)


def wilson(k: int, n: int, alpha: float = 0.05) -> Interval:
    """Wilson's (1927) interval of a share, k of n: shorter than the exact one, and right only on average over
    shares. For many images, not for few seeds. ValueError as for `binomial`."""
    _check_share(k, n, alpha)
    z2 = z_quantile(alpha) ** 2
    centre = (k + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return Interval(k / n, max(0.0, centre - half), min(1.0, centre + half), n)


@cache
def majority(n: int, alpha: float = 0.05) -> int:
    """The least k for which "k of n" shows a share above one half (exact interval); n + 1 where none does.

    By symmetry, n - majority(n) of n, or fewer, show a share below one half.
    """
    return next((k for k in range(n // 2 + 1, n + 1) if binomial(k, n, alpha).low > 0.5), n + 1)


def chance_limit(classes, images):
    """The accuracy in per cent that guessing may reach: p + 3·sqrt(p(1 - p)/images), p = 1/classes."""
    p = 1 / np.asarray(classes, float)
    return 100 * (p + 3 * np.sqrt(p * (1 - p) / images))


def at_chance(accuracy, classes, images, loss=0.0):
    """Whether a run has learned nothing that shows: accuracy (per cent) at chance, or a loss that is not
    finite. Arrays give an array."""
    return (np.asarray(accuracy) <= chance_limit(classes, images)) | ~np.isfinite(loss)


def image_error(differences) -> float:
    """Standard error, in points, that the choice of test images adds to a mean over seeds that share them.

    `differences` has a row per seed and a column per image, in points (100: right in one arm, wrong in the
    other). The error is the sd over images of the mean over seeds, divided by sqrt(images). ValueError for
    fewer than 2 images.
    """
    per_image = np.atleast_2d(np.asarray(differences)).mean(0, dtype=float)
    if len(per_image) < 2:
        raise ValueError(f"the error over images needs at least 2 images, not {len(per_image)}")
    return float(per_image.std(ddof=1) / math.sqrt(len(per_image)))


def log_slope(series) -> float:
    """The power p in y ~ x**p, for a pandas Series of values y by x: least squares in logarithms.

    ValueError for fewer than two values, or one that is not positive.
    """
    x, y = _finite(series.index), _finite(series)
    if len(series) < 2 or min(*x, *y) <= 0:
        raise ValueError(f"a power law needs at least two positive values at positive numbers, not {dict(series)}")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def seeds_needed(values, region, alpha: float = 0.05, fail_alpha: float | None = None) -> int | None:
    """About how many seeds bring the interval inside the region, or clear of it, if mean and sd stay.

    `region` is (low, high), infinite where it has no end; `fail_alpha` (`alpha` if not given) is the level
    for being clear of it. None below 5 values (the sd is too uncertain), on a boundary, beyond 1000 seeds.
    """
    values = _finite(values)
    mean, sd = values.mean(), values.std(ddof=1) if len(values) > 1 else math.nan
    distance = min(mean - region[0], region[1] - mean)
    level = alpha if distance > 0 else fail_alpha or alpha
    if len(values) < 5:
        return None
    halves = ((n, t_quantile(n - 1, level) * sd / math.sqrt(n)) for n in range(2, MOST_SEEDS + 1))
    return next((n for n, half in halves if half < abs(distance)), None)


def seeds_needed_share(k: int, n: int, alpha: float = 0.05) -> int | None:
    """About how many seeds bring the interval of a share clear of one half, if it stays k/n; else None."""
    _check_share(k, n, alpha)
    share = max(k, n - k) / n
    if n < 5 or share == 0.5:
        return None
    return next((m for m in range(2, MOST_SEEDS + 1) if binomial(round(share * m), m, alpha).low > 0.5), None)


def subsets(n: int, k: int) -> np.ndarray:
    """Subsets of k of the numbers 0 ... n - 1, as rows: all of them, or 1000 at random where there are more.

    There are at most as many up to n = 12.
    """
    if math.comb(n, k) <= MOST_SUBSETS:
        return np.array(list(combinations(range(n), k)))
    rows = np.tile(np.arange(n), (MOST_SUBSETS, 1))
    return np.random.default_rng(k).permuted(rows, axis=1)[:, :k]


def _around(mean: float, half: float, n: int) -> Interval:
    mean, half = float(mean), float(half)
    return Interval(mean, mean - half, mean + half, n)


def _finite(values) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"expected a list of at least one value, not shape {values.shape}")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"value {first + 1} of {len(values)} is {values[first]}: each must be finite")
    return values


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")


def _check_share(k: int, n: int, alpha: float) -> None:
    _check_alpha(alpha)
    if not (n >= 1 and 0 <= k <= n):
        raise ValueError(f"expected 0 <= k <= n and n >= 1, not k = {k}, n = {n}")
