"""Ranks and their agreement are those of scipy, seed by seed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from nbhelpers import ranking, stats

ARMS = ["a", "b", "c", "d", "e"]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"family": family, "activation": arm, "seed": seed, "test_accuracy": 50 + i + 3 * rng.normal()}
        | {"classes": 10, "test_images": 1000, "status": "done", "train_loss": 1.0}
        for family in ("dense", "other")
        for i, arm in enumerate(ARMS)
        for seed in range(4)
    ]
    made = pd.DataFrame(rows)
    made.attrs["labels"] = ["family", "activation"]
    return made


PUBLISHED = pd.DataFrame(
    [
        {"family": net, "activation": arm, "value": value}
        for net in ("DenseNet121", "other")
        for arm, value in zip(["b", "a", "c", "d"], [3.0, 1.0, 3.0, 2.0], strict=True)
    ]
)


def test_ranks_share_ties_and_the_largest_is_first():
    found = ranking.ranks(PUBLISHED, "family", "activation")
    assert found["other"].to_dict() == {"b": 1.5, "c": 1.5, "d": 3.0, "a": 4.0}
    assert list(found.index) == ["b", "c", "d", "a"] and found["mean rank"].tolist() == [1.5, 1.5, 3.0, 4.0]


def test_spearman_is_that_of_scipy_with_ties():
    one, other = pd.Series([1.0, 2, 2, 5, 4]), pd.Series([3.0, 1, 4, 4, 9])
    assert ranking.spearman(one, other) == pytest.approx(scipy_stats.spearmanr(one, other).statistic)
    assert ranking.spearman(one, one * 0) == 0


def test_agreement_is_the_mean_over_seeds_of_each_seeds_correlation_with_the_published_order():
    df = frame()
    found = ranking.agreement(df, PUBLISHED, "family", "activation", {"dense": "DenseNet121"}).set_index("family")
    for family in ("dense", "other"):
        table = df[df.family == family].pivot(index="activation", columns="seed", values="test_accuracy")
        theirs = PUBLISHED[PUBLISHED.family == "other"].set_index("activation")["value"]
        each = [scipy_stats.spearmanr(table.loc[theirs.index, s], theirs).statistic for s in table]
        row, expected = found.loc[family], stats.interval(each)
        assert row["arms"] == 4 and row["n"] == 4 and row["rank correlation, mean"] == f"{expected.mean:.2f}"
        assert row["95% interval"] == f"{max(-1, expected.low):.2f} to {min(1, expected.high):.2f}"
        of_means = scipy_stats.spearmanr(table.mean(axis=1).loc[theirs.index], theirs).statistic
        assert row["of the means"] == f"{of_means:.2f}"
    assert list(found["published"]) == ["DenseNet121", "other"]


def test_a_group_that_was_not_published_has_no_correlation():
    found = ranking.agreement(frame(), PUBLISHED.iloc[:0], "family", "activation", {})
    assert found["arms"].tolist() == [0, 0] and "rank correlation, mean" not in found
