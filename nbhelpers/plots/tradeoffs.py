"""Accuracy against what it costs."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from nbhelpers import fronts, stats
from nbhelpers.plots.style import UNITS, colour, half_width, new, note_of, title_of


def tradeoffs(df: pd.DataFrame, hue: str, y: str, costs: Mapping[str, str], title: str = "") -> Figure:
    """Mean of `y` over seeds with its 95% interval against each cost, an arm per value of `hue`, seeds as dots.

    costs: column -> what the axis says. The line joins the arms that no other one equals at less cost.
    """
    arms = list(dict.fromkeys(df[hue]))
    figure, axes = new(3.2 * len(costs) + 1.8, 3.9, columns=len(costs), sharey=True, squeeze=False)
    means = df.groupby(hue, sort=False)[[y, *costs]].mean()
    for axis, (cost, said) in zip(axes.flat, costs.items(), strict=True):
        for i, arm in enumerate(arms):
            own, shade = df[df[hue] == arm], colour(arm, i)
            ours = stats.interval(own[y])
            half = half_width(ours)
            at = means.loc[arm, cost]
            axis.scatter(own[cost], own[y], s=14, color=shade, alpha=0.45, linewidths=0)
            axis.errorbar(at, ours.mean, half, color=shade, marker="o", markersize=6, capsize=4, label=str(arm))
        kept = means.loc[fronts.front(means, y, cost)]
        axis.step(kept[cost], kept[y], where="post", color="0.5", linewidth=1, linestyle="--", zorder=0)
        axis.set_xlabel(said)
        axis.margins(x=0.15)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.tick_params(axis="x", labelsize=9)
    axes[0, 0].set_ylabel(UNITS.get(y, y))
    note = {"title": note_of(set(df.groupby(hue).size())), "title_fontsize": 9}
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9, **note)
    title_of(figure, title)
    return figure


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
