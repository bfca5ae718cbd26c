"""Streams are frozen: the same numbers on every machine and in every version."""

from itertools import pairwise

import pytest

from nbhelpers.streams import seed_of, stream


def test_seeds_are_frozen():
    assert seed_of(0, "order/0") == 3955691223199900983
    assert seed_of(3, "order/7") == 8403337869328738062


def test_numbers_are_frozen():
    assert stream(0, "order/0").permutation(10).tolist() == [3, 6, 9, 8, 0, 1, 4, 7, 2, 5]
    assert stream(3, "order/7").permutation(10).tolist() == [1, 8, 6, 0, 2, 5, 4, 3, 7, 9]
    assert stream(0, "init/x").uniform(-1, 1, 3).tolist() == [0.6359593749695127, 0.610776390668482, 0.9532362550869891]


def test_a_stream_starts_anew_at_each_call():
    assert stream(1, "a").random_sample() == stream(1, "a").random_sample()


@pytest.mark.parametrize("other", [(2, "a"), (1, "b"), (11, "a"), (1, "1/a")])
def test_another_seed_or_use_is_another_stream(other):
    assert stream(1, "a").random_sample() != stream(*other).random_sample()


def test_streams_of_neighbouring_seeds_are_uncorrelated():
    draws = [stream(seed, "order/0").random_sample() for seed in range(2000)]
    mean = sum(draws) / len(draws)
    lag = sum((a - mean) * (b - mean) for a, b in pairwise(draws)) / len(draws)
    assert mean == pytest.approx(1 / 2, abs=4 * (1 / 12 / 2000) ** 0.5)
    assert lag == pytest.approx(0, abs=4 / 12 / 2000**0.5)


def test_seeds_fit_torch_and_are_never_negative():
    assert all(0 <= seed_of(seed, "init") < 2**63 for seed in range(1000))
