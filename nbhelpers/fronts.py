"""Trade-offs: which arms no other one beats at no more cost (the Pareto front)."""

from collections.abc import Sequence

import pandas as pd

from nbhelpers import contrasts


def undominated(
    df: pd.DataFrame, arm: str, costs: Sequence[str], metric: str = "test_accuracy", label: str = "arm"
) -> pd.DataFrame:
    """For each seed, whether no other arm has at least the metric of `arm` with no more of any of `costs`.

    A contrast of yes and no, for a claim that takes no region. df: runs with the columns `costs`. ValueError as for
    `contrasts.values`, and where `arm` has no run.
    """
    frame = contrasts.values(df, metric, [label])
    frame = frame.assign(**{cost: df.loc[df["status"] != "failed", cost].to_numpy() for cost in costs})
    if not (frame[label] == arm).any():
        raise ValueError(f"no run has {label}={arm}")
    rows = []
    for _, own in frame[frame[label] == arm].iterrows():
        others = frame[(frame["seed"] == own["seed"]) & (frame[label] != arm)]
        beaten = others["value"] >= own["value"]
        for cost in costs:
            beaten &= others[cost] <= own[cost]
        rows.append({"seed": own["seed"], "value": not beaten.any(), "images": None, "at_chance": own["at_chance"]})
    found = pd.DataFrame(rows)
    found.attrs = {"labels": []}
    return found


def front(means: pd.DataFrame, metric: str, cost: str) -> list:
    """The index of the rows of `means` that no other row equals in the metric at less cost, cheapest first."""
    best, kept = float("-inf"), []
    for name, row in means.sort_values([cost, metric], ascending=[True, False]).iterrows():
        if row[metric] > best:
            best = row[metric]
            kept.append(name)
    return kept
