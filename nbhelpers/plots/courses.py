"""What changes along the epochs, and along the layers of a net."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nbhelpers import contrasts, stats, tables
from nbhelpers.plots.style import UNITS, colour, new, note_of, plain_log_ticks, title_of

LEAST = 1e-12  # on a logarithmic axis what is smaller, such as 0, is drawn here


def learning(
    df: pd.DataFrame,
    hue: str,
    y: str = "train_loss",
    panel: str | None = None,
    title: str = "",
    ylabel: str = "",
    published: pd.DataFrame | None = None,
    logarithmic: bool = False,
) -> Figure:
    """`y` of every epoch, a line per `hue`: mean over seeds with its 95% interval; a panel per value of `panel`.

    Of an arm of which some seeds end at chance and some do not: every seed. df: runs with a `history` column.
    published: rows with `epoch`, `value` and the same labels, drawn dashed.
    """
    arms = list(dict.fromkeys(df[hue]))
    figure, panels = _panels(list(dict.fromkeys(df[panel])) if panel else [None])
    counts: set[int] = set()
    for value, axis in panels:
        here = df if value is None else df[df[panel] == value]
        theirs = published if published is None or value is None else published[published[panel] == value]
        for i, arm in enumerate(arms):
            own = here[here[hue] == arm]
            if own.empty:
                continue
            series = pd.DataFrame([pd.Series([float(row[y]) for row in history]) for history in own["history"]])
            label = f"{arm}, diverged" if (own["status"] == "diverged").all() else str(arm)
            at, apart = np.arange(1, series.shape[1] + 1), "seeds, partly at chance" if _mixed(own) else ""
            counts |= _line(axis, at, series, colour(arm, i), label, logarithmic, apart=apart, least=0)
            if theirs is not None and not (curve := theirs[theirs[hue] == arm]).empty:
                curve = curve.groupby("epoch")["value"].mean()
                style = {"color": colour(arm, i), "linestyle": "--", "linewidth": 1.2}
                axis.plot(curve.index, curve, label=f"{arm}, published", **style)
        if value is not None:
            axis.set_title(f"{panel.replace('_', ' ')} = {value}", fontsize=10)
    _finish(figure, panels, counts, ylabel or UNITS.get(y, y), title, logarithmic)
    return figure


def _mixed(arm: pd.DataFrame) -> bool:
    """Whether some runs of an arm are at chance and some are not; False where that is not known."""
    return {"status", "test_accuracy", "classes", "test_images"} <= set(arm) and contrasts.partly_at_chance(arm)


def by_epoch(
    measured: pd.DataFrame, hue: str, panel: str = "layer", title: str = "", ylabel: str = "", logarithmic: bool = False
) -> Figure:
    """A probe along the epochs (0: the start), a panel per layer: mean over seeds with its 95% interval.

    measured: `tables.probe_by_epoch`. On a logarithmic axis the mean is geometric, and what is below 1e-12 is drawn
    there; of an arm of which that is so for some seeds and not for others, at the same epoch, every seed.
    """
    arms = list(dict.fromkeys(measured[hue]))
    measured = measured.assign(value=measured["value"].clip(lower=LEAST)) if logarithmic else measured
    figure, panels = _panels(list(dict.fromkeys(measured[panel])))
    counts: set[int] = set()
    for value, axis in panels:
        for i, arm in enumerate(arms):
            own = measured[(measured[panel] == value) & (measured[hue] == arm)]
            series = own.pivot(index="seed", columns="epoch", values="value")
            if not series.empty:
                at, least = series.columns.to_numpy(), series == LEAST
                apart = "seeds" if logarithmic and (least.any() & ~least.all()).any() else ""
                counts |= _line(axis, at, series, colour(arm, i), str(arm), logarithmic, apart=apart, least=0)
        axis.set_title(str(value), fontsize=10)
        if logarithmic and len(known := measured["value"].dropna()):
            axis.set_ylim(known.min() / 3, known.max() * 3)  # an interval may be many decades wider
    _finish(figure, panels, counts, ylabel, title, logarithmic)
    return figure


def _panels(values: Sequence[Any]) -> tuple[Figure, list[tuple[Any, Any]]]:
    """A figure, and a visible axis for each value."""
    if not values:
        raise ValueError("there is nothing to draw: no recorded run has this measurement")
    columns = min(4, len(values))
    rows = -(-len(values) // columns)
    width, height = (7, 4) if len(values) == 1 else (2.6 * columns + 0.6, 2.5 * rows + 0.5)
    figure, axes = new(width, height, columns, rows, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(values) :]:
        axis.set_visible(False)
    return figure, list(zip(values, axes.flat, strict=False))


def _line(
    axis,
    at: np.ndarray,
    series: pd.DataFrame,
    shade: str,
    label: str,
    logarithmic: bool,
    size: float = 0,
    apart: str = "",
    least: float = -np.inf,
    width: float = 1.8,
) -> set[int]:
    """The mean of the rows of `series` with its 95% interval; geometric on a logarithmic axis.

    Of two rows the rows themselves, as thin lines. Returns how many rows there are. size: of the markers, where every
    value has one. apart: what the rows are, where they are shown alone. least: the smallest value that can be. width:
    of the line.
    """
    if apart:
        for i, row in enumerate(series.to_numpy(float)):
            note = f"{label}: {apart}" if i == 0 else None
            axis.plot(at, row, color=shade, linewidth=0.8, alpha=0.8, label=note)
        return {len(series)}
    table = series.where(np.isfinite(series))
    table = np.log(table.where(table > 0)) if logarithmic else table
    mean, n = table.mean().to_numpy(), table.count().to_numpy()
    some = [k if k >= stats.LEAST_SEEDS else 0 for k in n]
    half = np.array([stats.t_quantile(k - 1) / np.sqrt(k) if k else np.nan for k in some]) * table.std().to_numpy()
    ends = [np.exp(v) if logarithmic else v for v in (mean, mean - half, mean + half)]
    ends[1] = np.maximum(ends[1], least)
    lonely = np.isfinite(ends[0]).sum() < 3  # a line of one point is none
    style = {"marker": "o", "markersize": size or 4} if size or lonely else {}
    axis.plot(at, ends[0], color=shade, linewidth=width, label=label, **style)
    if n.max() >= stats.LEAST_SEEDS:
        axis.fill_between(at, ends[1], ends[2], color=shade, alpha=0.2, linewidth=0)
    elif n.max() == 2:
        for row in series.to_numpy(float):
            axis.plot(
                at, row, color=shade, linewidth=0.8, alpha=0.6, **({"marker": ".", "markersize": 3} if lonely else {})
            )
    return set(map(int, n))


def _finish(figure: Figure, panels: Sequence[tuple[Any, Any]], counts, ylabel: str, title: str, logarithmic) -> None:
    for i, (_, axis) in enumerate(panels):
        place = axis.get_subplotspec()
        if logarithmic:
            plain_log_ticks(axis)
        if place.is_first_col():
            axis.set_ylabel(ylabel, fontsize=10)
        if i + place.get_gridspec().ncols >= len(panels):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("epoch", fontsize=10)
        axis.xaxis.get_major_locator().set_params(integer=True)
    found = {text: h for _, a in panels for h, text in zip(*a.get_legend_handles_labels(), strict=True)}
    note = {"title": note_of(counts), "title_fontsize": 9}
    figure.legend(found.values(), found.keys(), loc="outside right center", fontsize=9, **note)
    title_of(figure, title)


def by_layer(
    df: pd.DataFrame,
    probe: str,
    hue: str,
    panel: str | None = None,
    moments: Sequence[str] = ("initial", "final"),
    title: str = "",
    ylabel: str = "",
    bound: tuple[float, str] | None = None,
    logarithmic: bool = False,
    without: str = "",
    nested: bool = False,
) -> Figure:
    """A probe with one number per layer, against the layer: a row of panels per moment, a panel per `panel` value.

    Without `panel` the moments stand side by side.

    A line is the mean over seeds (geometric on a logarithmic axis), its band the 95% interval. `bound` draws a
    horizontal line with its name. Layers with `without` in their names are left out.
    nested: from arm to arm the lines become thinner, so that of lines that coincide each is seen.
    """
    panels, arms = list(dict.fromkeys(df[panel])) if panel else [None], list(dict.fromkeys(df[hue]))
    columns, rows = (len(panels), len(moments)) if panel else (len(moments), 1)
    size = (3.1 * columns + 0.8, 2.7 * rows + 0.5) if panel else (3.6 * columns + 1.4, 3.8)
    figure, axes = new(*size, columns, rows, sharey=True, squeeze=False, sharex="col")
    axes, counts = axes if panel else axes.T, set()
    for row, moment in zip(axes, moments, strict=True):
        for axis, value in zip(row, panels, strict=True):
            for i, arm in enumerate(arms):
                own = df[(df[hue] == arm) & (True if panel is None else df[panel] == value)]
                if own.empty:
                    continue
                table = tables.probe(own, probe, moment).dropna(axis=1, how="all")
                table = table[[name for name in table if not without or without not in name]]
                table, at = table.clip(lower=LEAST) if logarithmic else table, np.arange(1, table.shape[1] + 1)
                width = 1.6 + 0.6 * (len(arms) - 1 - i) if nested else 1.6
                counts |= _line(axis, at, table, colour(arm, i), str(arm), logarithmic, size=2.4 + width, width=width)
            if bound:
                axis.axhline(bound[0], color="0.3", linestyle="--", linewidth=1.2, label=bound[1])
            if logarithmic:
                axis.set_yscale("log")
            when = "start" if moment == "initial" else "trained"
            axis.set_title(f"{panel} = {value}, {when}" if panel else when, fontsize=10)
            axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes.flat:
        place = axis.get_subplotspec()
        axis.set_ylabel(ylabel if place.is_first_col() else "", fontsize=10)
        last = "\nthe last one linear" if table.columns[-1] in ("linear", "output") else ""
        axis.set_xlabel(f"layer, from the input{last}" if place.is_last_row() else "", fontsize=10)
    note = {"title": note_of(counts), "title_fontsize": 9}
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside right center", fontsize=9, **note)
    title_of(figure, title)
    return figure
