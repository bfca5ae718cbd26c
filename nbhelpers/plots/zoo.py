"""Pictures of activations: the functions, their differences from a reference, their ranks and their costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nbhelpers import zoo
from nbhelpers.plots.style import new, title_of

OURS, THEIRS = "#0173b2", "#d55e00"


def functions(titles: Sequence[str], title: str = "", reach: float = 4.0) -> Figure:
    """A panel per activation: f(x) and its slope f'(x), from -reach to reach, at the initial values."""
    columns = min(5, len(titles))
    rows = -(-len(titles) // columns)
    figure, axes = new(2.0 * columns + 0.4, 1.7 * rows + 0.8, columns, rows, sharex=True, sharey=True, squeeze=False)
    x = np.linspace(-reach, reach, 1601)
    middle = (x[1:] + x[:-1]) / 2
    for axis, name in zip(axes.flat, titles, strict=False):
        y = zoo.curve(name, x)
        axis.plot(x, y, color=OURS, linewidth=1.8, label="f(x)")
        axis.plot(middle, np.diff(y) / np.diff(x), color=THEIRS, linewidth=1.1, linestyle="--", label="slope f′(x)")
        axis.set_title(name, fontsize=10)
        axis.set_ylim(-2.2, 4.2)
        axis.axhline(0, color="0.3", linewidth=0.8)
    for axis in axes.flat[len(titles) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(0, len(titles) - columns) : len(titles)]:
        axis.tick_params(labelbottom=True)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    title_of(figure, title)
    return figure


def differences(
    ours: pd.DataFrame,
    by: str,
    column: str,
    theirs: pd.DataFrame | None = None,
    title: str = "",
    xlabel: str = "",
    linear: float = 2.0,
) -> Figure:
    """A panel per group of `by`: the mean difference of every arm of `column` with its interval; published ones hollow.

    ours, theirs: `pooled.differences`, theirs in our groups. The axis is linear up to ±`linear`, then logarithmic.
    """
    groups, arms = (list(dict.fromkeys(ours[name])) for name in (by, column))
    figure, axes = new(
        3.0 * len(groups) + 1.2, 0.29 * len(arms) + 1.7, len(groups), sharey=True, sharex=True, squeeze=False
    )
    for axis, group in zip(axes[0], groups, strict=True):
        for frame, shade, shift, marker in ((ours, OURS, -0.14, "o"), (theirs, THEIRS, 0.14, "D")):
            own = None if frame is None else frame[frame[by] == group].set_index(column)
            for i, arm in enumerate(arms):
                if own is None or arm not in own.index:
                    continue
                cell = own.loc[arm]
                half = 0 if np.isnan(cell["high"]) else cell["high"] - cell["mean"]
                face = {"markerfacecolor": shade if marker == "o" else "none"}
                axis.errorbar(
                    cell["mean"], i + shift, xerr=half, color=shade, marker=marker, markersize=4, capsize=2, **face
                )
        axis.axvline(0, color="0.2", linewidth=1)
        axis.set_title(group, fontsize=10)
        axis.set_xscale("symlog", linthresh=linear, linscale=1.5)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_major_locator(_ticks(linear))
        axis.tick_params(axis="x", labelsize=8)
        axis.set_xlabel(f"{xlabel}\nlogarithmic beyond ±{linear:g}", fontsize=10)
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    key = [Line2D([], [], color=OURS, marker="o", label="ours")]
    if theirs is not None:
        key.append(Line2D([], [], color=THEIRS, marker="D", markerfacecolor="none", label="published"))
    figure.legend(handles=key, loc="outside lower center", ncols=2, fontsize=9)
    title_of(figure, title)
    return figure


def _ticks(linear: float):
    from matplotlib.ticker import FixedLocator

    ends = [linear, 5 * linear, 25 * linear]
    return FixedLocator([*(-v for v in reversed(ends)), -linear / 2, 0, linear / 2, *ends])


def ranks(ours: pd.DataFrame, theirs: pd.DataFrame, groups: dict[str, str], title: str = "") -> Figure:
    """A panel per group: our rank of every arm against the published one.

    ours, theirs: `ranking.ranks`. groups: our group -> the published one. Arms that both have are ranked anew.
    """
    figure, axes = new(3.1 * len(groups) + 0.4, 3.7, len(groups), squeeze=False)
    for axis, (group, other) in zip(axes[0], groups.items(), strict=True):
        both = pd.concat([theirs[other].rename("theirs"), ours[group].rename("ours")], axis=1).dropna().rank()
        axis.plot([1, len(both)], [1, len(both)], color="0.6", linewidth=1)
        for arm, row in both.iterrows():
            axis.plot(row["theirs"], row["ours"], "o", markersize=4, color=OURS)
            # To the right lie higher published ranks: a name stands lower where it would meet a neighbour.
            ahead = row["theirs"] - both["theirs"]
            beside = ((ahead > 0) & (ahead < 4) & (abs(both["ours"] - row["ours"]) < 1)).any()
            shift = (3, -8) if beside else (3, 2)
            axis.annotate(arm, (row["theirs"], row["ours"]), shift, textcoords="offset points", fontsize=7)
        axis.set_title(f"{group}, against {other}" if group != other else group, fontsize=10)
        ticks = [rank for rank in range(1, len(both) + 1) if len(both) < 8 or rank == 1 or rank % 5 == 0]
        axis.set(xticks=ticks, yticks=ticks, ylim=(len(both) + 0.7, 0.3))
        axis.set_xlim(len(both) + 0.9, 1 - 0.16 * len(both))  # room for a name beside rank 1
        axis.set_xlabel("published rank", fontsize=10)
    axes[0, 0].set_ylabel("our rank (1: best)", fontsize=10)
    title_of(figure, title)
    return figure


def costs(frame: pd.DataFrame, title: str = "") -> Figure:
    """Times over ReLU's: the activation alone, forward and backward, and a whole training step; medians, quartiles."""
    order = frame.groupby("activation")["step"].median().sort_values().index
    figure, axes = new(8.6, 0.27 * len(order) + 1.6, 2, sharey=True)
    panels = {"the activation alone": ["forward", "backward"], "a training step, mean of the nets": ["step"]}
    for axis, (name, quantities) in zip(axes, panels.items(), strict=True):
        for quantity, shade, shift in zip(quantities, (OURS, THEIRS), (-0.13, 0.13), strict=False):
            table = frame.groupby("activation")[quantity].quantile([0.25, 0.5, 0.75]).unstack().loc[order]
            halves = [table[0.5] - table[0.25], table[0.75] - table[0.5]]
            at = np.arange(len(order)) + (shift if len(quantities) > 1 else 0)
            style = {"color": shade, "marker": "o", "markersize": 4, "linestyle": "none", "capsize": 2}
            axis.errorbar(table[0.5], at, xerr=np.array(halves), label=quantity, **style)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.axvline(1, color="0.2", linewidth=1)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("time over ReLU's", fontsize=10)
        if len(quantities) > 1:
            axis.legend(fontsize=8)
    axes[1].xaxis.set_minor_formatter("{x:g}")
    axes[0].set_yticks(range(len(order)), order)
    title_of(figure, title)
    return figure
