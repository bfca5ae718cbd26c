"""The verdicts keep their promise: either kind of wrong one in at most 2.5% of samples, whatever the truth.

The truth is put where errors are likeliest, on the boundary of the region or just beside it.
"""

import math
from itertools import combinations

import numpy as np
import pytest

from nbhelpers.margins import Region, half_widths, margins, mixed

DRAWS = 8000
PROMISE = 0.025
POSITIVE = Region(low=0)
SEEDS = pytest.mark.parametrize("n", [3, 6, 10])


def kept(rate, promise=PROMISE):
    return rate <= promise + 3 * math.sqrt(promise * (1 - promise) / DRAWS)


def rates(parts, region, at_chance=None):
    """Shares of samples in which the claim on `parts` (parts x draws x seeds) holds and fails."""
    at_chance = np.zeros(parts.shape, int) if at_chance is None else at_chance
    both = [margins(v, c, region, parts=len(parts)) for v, c in zip(parts, at_chance, strict=True)]
    return np.mean(np.min([h for h, _ in both], 0) > 0), np.mean(np.max([f for _, f in both], 0) >= 0)


def noise(n, parts=1, sd=1.5):
    return np.random.default_rng(n).normal(0, sd, (parts, DRAWS, n))


def pairs(arms):
    return np.stack([a - b for a, b in combinations(arms, 2)])


def test_region():
    region = Region(1, 5)
    assert (region.slack(2, 4.5), region.distance(2, 4.5)) == (0.5, -3)
    assert region.contains(1.1, 4.9) and not region.contains(1, 4) and not region.contains(2, 6)
    assert region.disjoint(5, 6) and region.disjoint(0, 1) and not region.disjoint(4.9, 6)
    assert [str(r) for r in (region, Region(low=0), Region(high=2.5))] == ["1 to 5", "> 0", "< 2.5"]


def test_half_widths_by_hand():
    # sd 1, n 3: t at 97.5% 4.302653, at 98.75% 6.205347
    one, fail = half_widths(np.array([1.0, 2, 3]), POSITIVE)
    assert (one, fail) == pytest.approx((4.302653 / 3**0.5,) * 2, rel=1e-6)
    wide = half_widths(np.array([1.0, 2, 3]), Region(0, 4.96))  # narrower than the interval, 2 x 2.484
    assert wide == pytest.approx((4.302653 / 3**0.5, 6.205347 / 3**0.5), rel=1e-6)
    assert half_widths(np.array([1.0, 2, 3]), Region(0, 4.97))[1] == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert half_widths(np.array([1.0, 2, 3]), POSITIVE, parts=2)[1] == pytest.approx(6.205347 / 3**0.5, rel=1e-6)
    new_images = half_widths(np.array([1.0, 2, 3]), POSITIVE, image_error=2)[0]
    assert new_images == pytest.approx(math.hypot(4.302653 / 3**0.5, 1.959964 * 2), rel=1e-6)


def test_one_and_two_seeds_are_judged_by_their_mean():
    for values, holds in (([1.0], True), ([-1.0], False), ([3.0, -1.0], True), ([-3.0, 1.0], False), ([0.0], False)):
        hold, fail = margins(np.array(values), np.zeros(len(values)), POSITIVE)
        assert (hold > 0, fail >= 0) == (holds, not holds)


@SEEDS
def test_one_sided_region_errs_as_often_as_promised_and_no_less(n):
    holds, fails = rates(noise(n), POSITIVE)
    for rate in (holds, fails):
        assert kept(rate) and rate > 0.018


@SEEDS
@pytest.mark.parametrize("width", [0.01, 0.5, 1, 2, 4, 8, 30])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_two_sided_region(n, width, place):
    error = 1.5 / math.sqrt(n)  # width in standard errors; place: left end, middle, right end
    region = Region(-place * width * error, (1 - place) * width * error)
    holds, fails = rates(noise(n), region)
    assert kept(fails)
    if place in (0, 1):
        assert kept(holds)


@SEEDS
def test_each_part_with_one_false_rarely_holds(n):
    parts = noise(n, 8) + 50
    parts[3] -= 50
    holds, _ = rates(parts, POSITIVE)
    assert kept(holds) and holds > 0.018


@SEEDS
@pytest.mark.parametrize("shared", [0, 0.95])
def test_each_part_with_all_true_rarely_fails(n, shared):
    # all on the boundary; the noise that parts share makes them agree, as the arms of one seed do
    parts = math.sqrt(1 - shared) * noise(n, 8) + math.sqrt(shared) * noise(n + 100)[..., :n]
    _, fails = rates(parts, POSITIVE)
    assert kept(fails)


@SEEDS
def test_equal_arms_have_no_spread_of_three(n):
    arms = noise(n, 7)
    assert (arms.max(0) - arms.min(0)).mean() > 3.9  # the biased measure: 7 equal arms "differ" by 4
    holds, fails = rates(pairs(arms), Region(-3, 3))
    assert kept(fails, 0.001)
    assert holds > {3: -1, 6: 0.005, 10: 0.5}[n]  # pairs are wide: three seeds can show nothing


@SEEDS
@pytest.mark.parametrize("width", [0.01, 0.1, 0.5, 3])
def test_a_spread_just_inside_rarely_fails(n, width):
    # half of the arms at one end, half at the other, so that most pairs are on the boundary; or all equal
    ends = np.array([0, 1, 0, 1, 0, 1, 0])[:, None, None] * width
    for arms in (noise(n, 7), noise(n, 7) + ends):
        assert kept(rates(pairs(arms), Region(-width, width))[1])


@SEEDS
@pytest.mark.parametrize("spread", [3, 4])
def test_a_spread_outside_rarely_holds(n, spread):
    one_end = np.array([spread, 0, 0, 0, 0, 0, 0])[:, None, None]
    between = np.linspace(0, spread, 7)[:, None, None]
    for ends, sd in ((one_end, 1.5), (between, 1.5), (between, 0.1)):
        assert kept(rates(pairs(noise(n, 7, sd) + ends), Region(-3, 3))[0])


def test_a_large_spread_fails_and_a_small_one_holds():
    ends = np.array([8, 0, 0, 0, 0, 0, 0])[:, None, None]
    assert rates(pairs(noise(10, 7) + ends), Region(-3, 3))[1] > 0.8
    assert rates(pairs(noise(6, 7, sd=0.5)), Region(-3, 3))[0] > 0.95


def test_a_second_look_needs_half_the_alpha():
    values, at_chance = noise(10), np.zeros((1, DRAWS, 10), int)

    def wrong(alpha):  # after six seeds, or else after ten
        looks = [margins(values[..., :k], at_chance[..., :k], POSITIVE, alpha)[0] > 0 for k in (6, 10)]
        return np.mean(looks[0] | looks[1])

    assert kept(wrong(0.025))
    assert not kept(wrong(0.05))


def bimodal(n, chance, mean=20.0):
    """Gaps of an arm that is at chance with probability `chance` (then -20) and else about `mean`."""
    low = np.random.default_rng(n).random((1, DRAWS, n)) < chance
    return np.where(low, -20 + noise(n, sd=0.1), mean + noise(n)), low.astype(int)


def test_mixed_means_that_seeds_differ():
    assert mixed(np.array([[0, 1, 0], [1, 1, 1], [0, 0, 0], [2, 2, 1]])).tolist() == [True, False, False, True]


@pytest.mark.parametrize("n", [6, 10])
@pytest.mark.parametrize("chance", [0.02, 0.1, 0.2, 0.35, 0.5])
def test_mixed_rule_keeps_the_promise_from_six_seeds(n, chance):
    # the upper mode is put where exactly half of all seeds are in the region: neither "holds" nor "fails" is right
    quantile = np.quantile(noise(n), 1 - 0.5 / (1 - chance)) if chance < 0.5 else -20
    values, at_chance = bimodal(n, chance, mean=-quantile)
    assert (values > 0).mean() == pytest.approx(0.5, abs=0.01)
    holds, fails = rates(values, POSITIVE, at_chance)
    assert kept(holds) and kept(fails)


@pytest.mark.parametrize(("n", "unseen"), [(3, 1 / 8), (4, 1 / 16), (5, 1 / 32)])
def test_fewer_than_six_seeds_never_decide_a_mixed_part_but_can_miss_a_mode(n, unseen):
    values, at_chance = bimodal(n, 0.5)
    seen = mixed(at_chance)[0]
    hold, fail = margins(values[:, seen], at_chance[:, seen], POSITIVE)
    assert (hold <= 0).all() and (fail < 0).all()
    # the limit that `margins` states: all seeds in one mode, by luck, look sound
    for rate in rates(values, POSITIVE, at_chance):
        assert rate == pytest.approx(unseen, abs=3 * math.sqrt(unseen / DRAWS))


def test_six_of_six_decide_and_five_of_six_do_not():
    at_chance = np.array([1, 0, 0, 0, 0, 0])
    for values, holds, fails in (
        ([1, 70, 71, 72, 73, 74], 1, 69.0),
        ([-1, 70, 71, 72, 73, 74], -1, None),
        ([-1, -2, -3, -4, -5, -6], -6, 1),
    ):
        hold, fail = margins(np.array(values, float), at_chance, POSITIVE)
        assert hold == holds
        assert (fail >= 0) == (fails == 1) and (hold > 0) == (holds > 0)
    # five seeds: no count decides, and no move of the boundary would
    assert margins(np.array([1.0, 2, 3, 4, 5]), at_chance[:5], POSITIVE) == (-math.inf, -math.inf)


def test_yes_and_no_go_by_their_share_also_when_all_agree():
    yes = np.ones(6)
    assert margins(yes, np.zeros(6), Region(low=0.5), yes_no=True)[0] > 0
    assert margins(yes[:5], np.zeros(5), Region(low=0.5), yes_no=True)[0] < 0
    assert margins(1 - yes, np.zeros(6), Region(low=0.5), yes_no=True)[1] >= 0
