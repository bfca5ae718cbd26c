"""Arms in order: ranks within groups, and how far two orders agree."""

import numpy as np
import pandas as pd

from nbhelpers import contrasts, stats


def ranks(table: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    """A row per arm of `column`, a column per group of `by`: the rank of `value`, 1 for the largest, ties shared.

    With the mean rank, in whose order the rows are.
    """
    means = table.groupby([by, column], sort=False)["value"].mean().unstack(by)
    ranked = means[list(dict.fromkeys(table[by]))].rank(ascending=False)
    return ranked.assign(**{"mean rank": ranked.mean(axis=1)}).sort_values("mean rank", kind="stable")


def agreement(df: pd.DataFrame, published: pd.DataFrame, by: str, column: str, kin: dict[str, str]) -> pd.DataFrame:
    """Spearman's rank correlation of our accuracies with the published ones, a row per group: over the arms of both.

    kin: our group -> the published one that it stands for; a group of the same name stands for itself. The interval is
    that of the mean over seeds: each seed's order against the published one. "of the means" is that of our means.
    """
    values, rows = contrasts.values(df, labels=[by, column]), []
    for group, own in values.groupby(by, sort=False):
        theirs = published[published[by] == kin.get(group, group)].set_index(column)["value"]
        table = own.pivot(index=column, columns="seed", values="value").dropna(axis=1)
        common = [arm for arm in table.index if arm in theirs.index]
        row = {by: group, "published": kin.get(group, group), "arms": len(common)}
        if len(common) > 2 and table.shape[1]:
            each = [spearman(table.loc[common, seed], theirs[common]) for seed in table]
            ours = stats.interval(each)
            row |= {
                "rank correlation, mean": f"{ours.mean:.2f}",
                "of the means": f"{spearman(table.loc[common].mean(axis=1), theirs[common]):.2f}",
            }
            row |= {
                "95% interval": f"{max(-1, ours.low):.2f} to {min(1, ours.high):.2f}" if ours.n > 1 else "",
                "n": ours.n,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def spearman(one: pd.Series, other: pd.Series) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties shared. 0 where an order has only ties."""
    a, b = (series.rank().to_numpy() for series in (one, other))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
