"""Results against a parameter: every seed a dot, the interval of the mean a bar, published values hollow."""

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nbhelpers import contrasts, stats
from nbhelpers.plots.style import UNITS, colour, half_width, new, note_of, title_of


def curves(
    df: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    title: str = "",
    published: pd.DataFrame | None = None,
    xlabel: str = "",
    ylabel: str = "",
    chance: float | None = None,
    zero: bool = False,
    even: bool = False,
    count: bool = False,
) -> Figure:
    """Mean of `y` over seeds against `x`, a line per `hue`: every seed a dot, the 95% interval of the mean a bar.

    Where some seeds are at chance and some are not there is no mean, only the seeds. Published values are hollow
    diamonds; `chance` is drawn as a dotted line, `zero` as a thin one. even: the values
    of `x` stand at equal distances, as for doublings. count: the legend says how many seeds each arm has.
    """
    figure, axis = new()
    arms, ticks = list(dict.fromkeys(df[hue])), sorted(df[x].unique())
    if even:
        places = {value: float(i) for i, value in enumerate(ticks)}
        df = df.assign(**{x: df[x].map(places)})
        if published is not None:
            published = published[published[x].isin(ticks)].assign(**{x: published[x].map(places)})
    width, counts = 0.12 * _least_gap(df[x]), set()
    for i, arm in enumerate(arms):
        own, shade, shift = df[df[hue] == arm], colour(arm, i), (i - (len(arms) - 1) / 2) * width
        axis.scatter(own[x] + shift - width / 4, own[y], s=14, color=shade, alpha=0.45, linewidths=0)
        groups = {position: _mean(group, y, [x, hue]) for position, group in own.groupby(x)}
        at = np.array(list(groups)) + shift
        means = np.array([g.mean for g in groups.values()])
        halves = np.array([half_width(g) for g in groups.values()])
        seeds = {g.n for g in groups.values()}
        counts |= seeds
        label = str(arm) + (f", n = {' to '.join(map(str, sorted({min(seeds), max(seeds)})))}" if count else "")
        style = {"marker": "o", "markersize": 5, "capsize": 4, "linewidth": 1.8}
        axis.errorbar(at, means, halves, color=shade, label=label, **style)
        if published is not None and (theirs := published[published[hue] == arm]).size:
            axis.plot(
                theirs[x] + shift,
                theirs["value"],
                "D",
                markerfacecolor="none",
                markeredgecolor=shade,
                markersize=9,
                markeredgewidth=1.5,
                label=f"{arm}, published",
                linestyle="none",
            )
    if chance is not None:
        axis.axhline(chance, color="0.4", linestyle=":", linewidth=1.2, label="chance")
    if "accuracy" in (ylabel or y):  # a wide interval of few seeds would else show impossible values
        low, high = axis.get_ylim()
        axis.set_ylim(low if df[y].min() < 0 else max(0, low), min(100, high))  # a change may be below 0
    if zero:
        axis.axhline(0, color="0.3", linewidth=1)
    axis.set(xlabel=xlabel or x.replace("_", " "), ylabel=ylabel or UNITS.get(y, y))
    axis.set_xticks(sorted(df[x].unique()), ticks)
    title_of(figure, title)
    note = note_of(counts)
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside right center", fontsize=9, title=note, title_fontsize=9
    )
    return figure


def _mean(group: pd.DataFrame, y: str, labels: list[str]) -> stats.Interval:
    """The interval of the mean of an arm, or a contrast; not a number where its seeds are partly at chance."""
    known = y == "test_accuracy" and {"status", "classes", "test_images"} <= set(group)
    mixed = known and isinstance(contrasts.cell(group, y, labels=labels), contrasts.Mixed)
    if mixed or contrasts.mixed(group):
        return stats.Interval(np.nan, np.nan, np.nan, len(group))
    return stats.interval(group[y])


def _least_gap(values: pd.Series) -> float:
    found = np.sort(values.unique())
    return float(np.diff(found).min()) if len(found) > 1 else 1.0


def strip(
    df: pd.DataFrame,
    by: str,
    x: str,
    title: str = "",
    published: pd.DataFrame | None = None,
    repeats: pd.DataFrame | None = None,
    xlabel: str = "",
    zero: bool = False,
) -> Figure:
    """A line per arm of `by`, from the top in their order: every seed a dot, the mean of `x` with its 95% interval.

    Published means are hollow diamonds below, the published single runs behind them small hollow dots. zero: the arms
    are differences, in one colour, with a thin line at none.
    """
    arms = list(dict.fromkeys(df[by]))
    figure, axis = new(8, (0.4 if zero else 0.75) * len(arms) + 1.2)
    counts: set[int] = set()
    raised = 0 if published is None and repeats is None else 0.12  # room for the published ones below
    for i, arm in enumerate(arms):
        own, shade = df[df[by] == arm][x], "#0173b2" if zero else colour(arm, i)
        ours = _mean(df[df[by] == arm], x, [by])
        axis.scatter(own, np.full(len(own), i - raised), s=26, color=shade, alpha=0.4, linewidths=0)
        half, counts = np.nan_to_num(half_width(ours)), counts | {ours.n}
        axis.errorbar(ours.mean, i - raised, xerr=half, color=shade, marker="o", markersize=6, capsize=4, linewidth=1.8)
        hollow = {"markerfacecolor": "none", "markeredgecolor": shade, "linestyle": "none"}
        if repeats is not None and (runs := repeats[repeats[by] == arm]["value"]).size:
            axis.plot(runs, np.full(len(runs), i + 0.18), "o", markersize=4, **hollow)
        if published is not None and (theirs := published[published[by] == arm]["value"]).size:
            axis.plot(theirs, np.full(len(theirs), i + 0.18), "D", markersize=9, markeredgewidth=1.5, **hollow)
    axis.set_yticks(range(len(arms)), [str(arm) for arm in arms])
    axis.set_ylim(len(arms) - 0.5, -0.5)
    if zero:
        axis.axvline(0, color="0.3", linewidth=1)
    axis.set_xlabel(xlabel or UNITS.get(x, x))
    ours_are = (
        "ours: mean, 95% interval (from 3 seeds), seeds" if note_of(counts) else "ours: mean, 95% interval, seeds"
    )
    key = [Line2D([], [], color="0.3", marker="o", label=ours_are)]
    if published is not None:
        key.append(Line2D([], [], color="0.3", marker="D", markerfacecolor="none", linestyle="none", label="published"))
    figure.legend(handles=key, loc="outside lower center", ncols=2, fontsize=9)
    title_of(figure, title)
    return figure


def heat(
    df: pd.DataFrame,
    x: str,
    y: str,
    value: str,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    boundary: pd.DataFrame | None = None,
    boundary_label: str = "",
    label: str = "",
) -> Figure:
    """Mean of `value` over a grid of two positive numbers, both on logarithmic axes, with the number in each cell.

    boundary: a line with columns `x` and `y` in the same numbers, drawn over it as far as the grid goes, with a gap
    where `x` is nan.
    """
    table = df.pivot_table(index=y, columns=x, values=value).sort_index().sort_index(axis=1)
    if table.empty:
        raise ValueError("there is nothing to draw: no recorded run has this measurement")
    columns, rows = (np.log10(axis.to_numpy(float)) for axis in (table.columns, table.index))
    figure, axis = new(1.05 * len(columns) + 2.4, 0.62 * len(rows) + 1.8)
    mesh = axis.pcolormesh(_edges(columns), _edges(rows), table.to_numpy(), cmap="viridis", rasterized=True)
    middle = np.nanmean([np.nanmin(table), np.nanmax(table)])
    for (i, j), number in np.ndenumerate(table.to_numpy()):
        if np.isnan(number):
            continue
        ink, edge = ("white", "black") if number < middle else ("black", "white")
        text = axis.text(columns[j], rows[i], f"{number:.1f}", ha="center", va="center", fontsize=9, color=ink)
        text.set_path_effects([patheffects.withStroke(linewidth=2, foreground=edge)])  # also across the boundary
    if boundary is not None:
        line = boundary.sort_values(y)
        axis.plot(
            np.log10(line[x]),
            np.log10(line[y]),
            color="#d55e00",
            linewidth=2.2,
            marker="o",
            markersize=5,
            label=boundary_label,
        )
        axis.set(xlim=_edges(columns)[[0, -1]], ylim=_edges(rows)[[0, -1]])
        if boundary_label:
            figure.legend(loc="outside lower center", fontsize=9)
    axis.set_xticks(columns, [f"{v:g}" for v in table.columns])
    axis.set_yticks(rows, [f"{v:g}" for v in table.index])
    axis.grid(False)
    axis.set(xlabel=xlabel or x, ylabel=ylabel or y)
    figure.colorbar(mesh, ax=axis, label=label or UNITS.get(value, value))
    title_of(figure, title)
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """The borders of the cells around rising centres."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    inner = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
