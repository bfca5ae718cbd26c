"""How verdicts depend on the number of seeds."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbhelpers.plots.style import COLOURS, new, title_of


def seeds_needed(tables: dict[str, pd.DataFrame], title: str = "") -> Figure:
    """How each claim would have come out with fewer seeds: shares of the verdicts over all subsets of k seeds.

    tables: claim -> `claims.by_seeds`. With one or two seeds the mean alone is judged, as publications do.
    """
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    figure, axes = new(3.4 * columns + 0.4, 2.3 * rows + 0.7, columns, rows, sharey=True, squeeze=False)
    for axis, (text, table) in zip(axes.flat, tables.items(), strict=False):
        bottom = np.zeros(len(table))
        for verdict in ("holds", "undecided", "fails"):
            axis.bar(table["k"], 100 * table[verdict], bottom=bottom, color=COLOURS[verdict], label=verdict, width=0.8)
            bottom += 100 * table[verdict].to_numpy()
        axis.set_title("\n".join(textwrap.wrap(text, 34)), fontsize=9)
        axis.set(xticks=table["k"], ylim=(0, 100))
        axis.grid(False)
    for axis in axes.flat[len(tables) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("subsets (%)", fontsize=10)
    for i, axis in enumerate(axes.flat[: len(tables)]):
        if i + columns >= len(tables):
            axis.set_xlabel("seeds used", fontsize=10)
            axis.tick_params(labelbottom=True)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    rule = "with 1 or 2 seeds the mean alone is judged, with more the interval"
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, title=rule, title_fontsize=9)
    title_of(figure, title)
    return figure
