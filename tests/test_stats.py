import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from nbhelpers import stats


def at_most(rate, promise, draws):
    return rate <= promise + 3 * math.sqrt(promise * (1 - promise) / draws)


def test_interval_by_hand():
    # mean 2, sd 1; t of 2 degrees of freedom at 97.5% is 4.302653
    ours = stats.interval([1, 2, 3])
    assert (ours.mean, ours.n) == (2, 3)
    assert ours.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert (ours.low + ours.high) / 2 == pytest.approx(2)
    assert stats.interval([1, 2, 3], alpha=0.01).half_width == pytest.approx(9.924843 / math.sqrt(3), rel=1e-6)


def test_one_value_has_a_mean_and_no_interval():
    ours = stats.interval([7.5])
    assert (ours.mean, ours.n) == (7.5, 1)
    assert math.isnan(ours.low) and math.isnan(ours.high)
    assert math.isnan(stats.prediction([7.5]).low)


@pytest.mark.parametrize("n", [3, 6, 10])
def test_interval_and_prediction_cover_95_per_cent(n):
    draws = 5000
    samples = np.random.default_rng(n).normal(70, 2, (draws, n + 1))
    covered = np.mean([70 in stats.interval(sample[:n]) for sample in samples])
    predicted = np.mean([stats.inside(sample[n], sample[:n]) for sample in samples])
    for share in (covered, predicted):
        assert at_most(1 - share, 0.05, draws) and at_most(share, 0.95, draws)


@pytest.mark.parametrize("n", [3, 6, 10])
def test_prediction_of_an_unpaired_gap_errs_in_5_per_cent_at_most(n):
    draws = 5000
    rng = np.random.default_rng(n)
    a, b = rng.normal(70, 2, (draws, n + 1)), rng.normal(60, 1, (draws, n + 1))
    covered = np.mean([stats.inside(x[n] - y[n], x[:n], y[:n]) for x, y in zip(a, b, strict=True)])
    assert at_most(1 - covered, 0.05, draws)
    assert covered < 0.975


def test_prediction_by_hand():
    assert stats.prediction([1, 2, 3]).half_width == pytest.approx(4.302653 * math.sqrt(4 / 3), rel=1e-6)
    # variances 1 and 4, times 4/3; Welch: (20/3)^2 / ((4/3)^2 / 2 + (16/3)^2 / 2) = 2.9412 degrees of freedom
    gap = stats.prediction([11, 12, 13], [0, 2, 4])
    assert gap.mean == 10
    assert gap.half_width == pytest.approx(student.ppf(0.975, 400 / 136) * math.sqrt(20 / 3))


def test_inside():
    assert stats.inside(6.9, [1, 2, 3])
    assert not stats.inside(7.0, [1, 2, 3])
    assert stats.inside(7.0, [1, 2, 3], alpha=0.01)
    assert stats.inside(2, [2]) is None
    assert stats.inside(0, [5, 5, 5], [5, 5, 5])
    assert not stats.inside(1, [5, 5, 5], [5, 5, 5])


def test_binomial_by_hand():
    assert stats.binomial(6, 6).low == pytest.approx(0.025 ** (1 / 6))
    assert stats.binomial(6, 6).high == 1
    assert stats.binomial(0, 3).low == 0
    assert stats.binomial(0, 3).high == pytest.approx(1 - 0.025 ** (1 / 3))
    three_of_ten = stats.binomial(3, 10)
    assert (three_of_ten.mean, three_of_ten.n) == (0.3, 10)
    assert (three_of_ten.low, three_of_ten.high) == pytest.approx((0.0667395, 0.6524529), abs=1e-6)


def test_wilson_by_hand():
    ours = stats.wilson(3, 10)
    assert (ours.low, ours.high) == pytest.approx((0.1077914, 0.6032219), abs=1e-6)
    assert (stats.wilson(0, 10).low, stats.wilson(10, 10).high) == pytest.approx((0, 1))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("n", [3, 6, 10])
def test_binomial_covers_at_least_95_per_cent_on_either_side(share, n):
    # exact, no simulation: the probabilities of all k
    chance = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    assert sum(p for k, p in enumerate(chance) if stats.binomial(k, n).low > share) <= 0.025
    assert sum(p for k, p in enumerate(chance) if stats.binomial(k, n).high < share) <= 0.025


def test_six_of_six_is_the_least_majority():
    assert [stats.majority(n) for n in range(1, 11)] == [2, 3, 4, 5, 6, 6, 7, 8, 8, 9]
    assert stats.majority(6, alpha=0.025) == 7


def test_chance():
    assert stats.chance_limit(10, 1000) == pytest.approx(10 + 300 * math.sqrt(0.09 / 1000))
    assert stats.at_chance(12.8, 10, 1000)
    assert not stats.at_chance(12.9, 10, 1000)
    assert stats.at_chance(90, 10, 1000, loss=math.nan) and stats.at_chance(90, 10, 1000, loss=math.inf)
    assert stats.at_chance([50, 51, 56], [2, 2, 2], 10_000).tolist() == [True, True, False]


def test_guessing_stays_below_the_chance_limit():
    guesses = np.random.default_rng(0).binomial(1000, 0.1, 20_000) / 10
    assert np.mean(stats.at_chance(guesses, 10, 1000)) > 0.997


def test_image_error_by_hand():
    # per image, the means over the two seeds are 100, 0, -100, 0: sd sqrt(20000 / 3), over sqrt(4)
    assert stats.image_error([[100, 0, -100, 100], [100, 0, -100, -100]]) == pytest.approx(math.sqrt(20000 / 3) / 2)


def test_image_error_is_the_sd_over_test_sets():
    rng = np.random.default_rng(0)
    test_sets = rng.choice([-100, 0, 100], p=[0.1, 0.7, 0.2], size=(3000, 400)).astype(np.float32)
    expected = test_sets.mean(1).std()
    assert np.mean([stats.image_error(one) for one in test_sets]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("power", [2, 0.5, 0, -1.5])
def test_the_slope_in_logarithms_is_the_power(power):
    x = np.array([62.0, 1, 4, 16])
    assert stats.log_slope(pd.Series(3 * x**power, x)) == pytest.approx(power, abs=1e-12)


def test_the_slope_in_logarithms_by_hand():
    # logarithms to base 2: x 0, 1, 2 and y 0, 0, 3; slope (-1 * -1 + 1 * 2) / 2
    assert stats.log_slope(pd.Series([1, 1, 8], [1, 2, 4])) == pytest.approx(1.5)


@pytest.mark.parametrize("shift", [0.3, -0.3, 0.9])
def test_seeds_needed_is_the_first_number_that_decides(shift):
    values = np.array([-2, -1, 0, 1, 2]) / math.sqrt(2.5) + shift  # sd 1
    needed = stats.seeds_needed(values, (0, math.inf))
    assert student.ppf(0.975, needed - 1) / math.sqrt(needed) < abs(shift)
    assert student.ppf(0.975, needed - 2) / math.sqrt(needed - 1) >= abs(shift)


def test_seeds_needed_knows_both_ends_and_levels():
    values = np.array([-2, -1, 0, 1, 2.0])
    assert stats.seeds_needed(values, (-9, 1)) == stats.seeds_needed(values, (-1, 9))
    outside = stats.seeds_needed(values, (1, 2), fail_alpha=0.005)
    assert outside == stats.seeds_needed(values, (1, 2), alpha=0.005) > stats.seeds_needed(values, (1, 2))


def test_seeds_needed_says_nothing_from_four_values_on_a_boundary_or_beyond_1000():
    assert stats.seeds_needed([1, 2, 3, 4], (0, 9)) is None
    assert stats.seeds_needed([1, 2, 3, 4, 5], (3, 9)) is None
    assert stats.seeds_needed([1, 2, 3, 4, 5], (2.99, 9)) is None


def test_seeds_needed_for_a_share():
    assert stats.seeds_needed_share(5, 5) == 6
    assert stats.seeds_needed_share(0, 5) == 6
    more = stats.seeds_needed_share(4, 5)
    assert stats.binomial(round(0.8 * more), more).low > 0.5
    assert stats.seeds_needed_share(3, 3) is None and stats.seeds_needed_share(5, 10) is None


def test_many_to_one_covers_all_differences_at_once():
    draws, arms, seeds = 3000, 6, 4
    rng = np.random.default_rng(0)
    values = np.arange(arms)[:, None] + rng.normal(0, 3, (draws, 1, seeds)) + rng.normal(0, 1, (draws, arms, seeds))
    missed = [any(k not in ours for k, ours in enumerate(stats.many_to_one(x), 1)) for x in values]
    assert at_most(np.mean(missed), 0.05, draws)
    assert np.mean(missed) > 0.02


def test_many_to_one_by_hand():
    # two arms: the residual sd times sqrt(2) is the sd of the paired difference, so this is the paired interval
    a, b = np.array([1.0, 2, 4]), np.array([3.0, 3, 9])
    (ours,) = stats.many_to_one([a, b], reference=1)
    paired = stats.interval(a - b)
    assert (ours.low, ours.high) == pytest.approx((paired.low, paired.high))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.interval([]), "at least one value"),
        (lambda: stats.interval([[1, 2], [3, 4]]), r"not shape \(2, 2\)"),
        (lambda: stats.interval([1, 2, math.nan]), "value 3 of 3 is nan: each must be finite"),
        (lambda: stats.prediction([1, math.inf]), "value 2 of 2 is inf"),
        (lambda: stats.prediction([1, 2], [1, math.nan]), "value 2 of 2 is nan"),
        (lambda: stats.interval([1, 2], alpha=5), "alpha must lie between 0 and 1, not 5"),
        (lambda: stats.z_quantile(0), "alpha must lie between 0 and 1, not 0"),
        (lambda: stats.binomial(4, 3), "k = 4, n = 3"),
        (lambda: stats.wilson(0, 0), "k = 0, n = 0"),
        (lambda: stats.seeds_needed_share(-1, 3), "k = -1, n = 3"),
        (lambda: stats.image_error([1.0]), "at least 2 images, not 1"),
        (lambda: stats.log_slope(pd.Series([1, math.nan], [1, 2])), "value 2 of 2 is nan"),
        (lambda: stats.log_slope(pd.Series([1, 2], [1, math.inf])), "value 2 of 2 is inf"),
        (lambda: stats.log_slope(pd.Series([], dtype=float)), "at least one value"),
        (lambda: stats.many_to_one([[1, 2]]), r"at least 2 x 2, not shape \(1, 2\)"),
        (lambda: stats.many_to_one([[1, 2], [3, math.nan]]), "value 4 of 4 is nan"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
