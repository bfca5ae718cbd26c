"""Figures: one style, intervals always drawn, published values as hollow markers, titles that say what is found."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nbhelpers import stats, tables

COLOURS = {  # the same arm has the same colour in all notebooks
    "relu": "#0173b2",
    "sigmoid": "#de8f05",
    "4·sigmoid(x) − 2": "#029e73",
    "holds": "#029e73",
    "fails": "#d55e00",
    "undecided": "#949494",
}
OTHERS = ["#cc78bc", "#ca9161", "#fbafe4", "#ece133", "#56b4e9", "#d55e00"]
UNITS = {
    "test_accuracy": "test accuracy (%)",
    "train_accuracy": "training accuracy (%)",
    "train_loss": "training loss (nats)",
    "test_loss": "test loss (nats)",
}


def style() -> None:
    """The project's look: set once for each figure, so that importing nbhelpers changes nobody's plots."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "axes.titleweight": "bold",
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "figure.constrained_layout.use": True,
            "grid.linewidth": 0.6,
        },
    )


def colour(label: Any, position: int = 0) -> str:
    """The colour of an arm: its own where it has one, else by its position among the arms without."""
    return COLOURS.get(str(label), OTHERS[position % len(OTHERS)])


def new(width: float = 8, height: float = 4.5, columns: int = 1, rows: int = 1, **options: Any):
    """Figure and axes in the project's style, not shown by themselves."""
    style()
    with plt.ioff():
        return plt.subplots(rows, columns, figsize=(width, height), **options)


def images(data, count: int = 8) -> Figure:
    """A grid of training images, `count` of each of the first 10 classes, and the histogram of each channel.

    The histogram is of the normalised training subset of seed 0, with mean and standard deviation: what the net sees.
    """
    from nbhelpers import tensors

    train, _, whole = tensors.load(data, 0)
    classes = min(10, train.classes)
    figure, (left, right) = new(10, 0.55 * classes + 0.6, columns=2, gridspec_kw={"width_ratios": [1.25, 1]})
    pixels = np.concatenate([_row(whole, label, count) for label in range(classes)])
    left.imshow(pixels, interpolation="nearest", cmap="gray")
    side = pixels.shape[0] / classes
    left.set_yticks([(i + 0.5) * side for i in range(classes)], whole.class_names[:classes])
    left.set_xticks([])
    left.grid(False)
    left.set_title(f"{data.name}: {len(train):,} training images of {train.classes} classes")
    names = ["red", "green", "blue"] if train.images.shape[1] == 3 else ["grey"]
    for channel, name in enumerate(names):
        values = train.images[:, channel]
        label = f"{name}: mean {values.mean():+.2f}, sd {values.std():.2f}"
        colour = {"red": "#d55e00", "green": "#029e73", "blue": "#0173b2"}.get(name, "#555555")
        right.hist(
            values.flatten().numpy(), bins=64, density=True, histtype="step", linewidth=1.5, color=colour, label=label
        )
    right.set(xlabel="pixel value after normalisation", ylabel="density", title="What the net receives")
    right.set_ylim(top=1.3 * right.get_ylim()[1])  # room for the legend
    right.legend(fontsize=9, loc="upper right")
    return figure


def _row(whole, label: int, count: int) -> np.ndarray:
    chosen = np.flatnonzero(whole.train_labels == label)[:count]
    row = np.concatenate(list(np.asarray(whole.train_images[chosen])), axis=1)
    missing = count - len(chosen)
    row = np.pad(row, ((0, 0), (0, missing * row.shape[0]), (0, 0)), constant_values=255) if missing else row
    return row[..., 0] if row.shape[-1] == 1 else row


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
) -> Figure:
    """Mean of `y` over seeds against `x`, a line per `hue`: every seed a dot, the 95% interval of the mean a bar.

    Published values are hollow diamonds; `chance` is drawn as a dotted line, `zero` as a thin one.
    """
    figure, axis = new()
    arms = list(dict.fromkeys(df[hue]))
    width = 0.12 * _least_gap(df[x])
    for i, arm in enumerate(arms):
        own, shade, shift = df[df[hue] == arm], colour(arm, i), (i - (len(arms) - 1) / 2) * width
        axis.scatter(own[x] + shift, own[y], s=14, color=shade, alpha=0.45, linewidths=0)
        groups = {position: stats.interval(group) for position, group in own.groupby(x)[y]}
        at = np.array(list(groups)) + shift
        means = np.array([g.mean for g in groups.values()])
        halves = np.array([g.half_width if g.n > 1 else 0 for g in groups.values()])
        axis.errorbar(
            at, means, halves, color=shade, marker="o", markersize=5, capsize=4, linewidth=1.8, label=str(arm)
        )
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
    if y.endswith("accuracy"):  # a wide interval of few seeds would else show impossible values
        low, high = axis.get_ylim()
        axis.set_ylim(max(0, low), min(100, high))
    if zero:
        axis.axhline(0, color="0.3", linewidth=1)
    axis.set(xlabel=xlabel or x, ylabel=ylabel or UNITS.get(y, y), xticks=sorted(df[x].unique()))
    _title(figure, title)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontweight="bold", fontsize=12, x=0.01, ha="left")


def _least_gap(values: pd.Series) -> float:
    found = np.sort(values.unique())
    return float(np.diff(found).min()) if len(found) > 1 else 1.0


def learning(df: pd.DataFrame, panel: str, hue: str, y: str = "train_loss", title: str = "") -> Figure:
    """`y` of every epoch, a panel per value of `panel`, a line per `hue`: mean over seeds with its 95% interval.

    df: runs with a `history` column.
    """
    panels, arms = list(dict.fromkeys(df[panel])), list(dict.fromkeys(df[hue]))
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new(2.6 * columns + 0.6, 2.5 * rows + 0.5, columns, rows, sharex=True, sharey=True, squeeze=False)
    for axis, value in zip(axes.flat, panels, strict=False):
        for i, arm in enumerate(arms):
            own = df[(df[panel] == value) & (df[hue] == arm)]
            if own.empty:
                continue
            series = pd.DataFrame([[float(row[y]) for row in history] for history in own["history"]])
            mean, n = series.mean(), len(series)
            epochs = np.arange(1, len(mean) + 1)
            axis.plot(epochs, mean, color=colour(arm, i), linewidth=1.8, label=str(arm))
            if n > 1:
                half = stats.t_quantile(n - 1) * series.std() / np.sqrt(n)
                axis.fill_between(epochs, mean - half, mean + half, color=colour(arm, i), alpha=0.2, linewidth=0)
        axis.set_title(f"{panel} = {value}", fontsize=10)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(UNITS.get(y, y), fontsize=10)
    for axis in axes[-1, :]:
        axis.set_xlabel("epoch", fontsize=10)
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles = {text: handle for a in axes.flat for handle, text in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=9)
    _title(figure, title)
    return figure


def by_layer(
    df: pd.DataFrame,
    probe: str,
    panel: str,
    hue: str,
    moments: Sequence[str] = ("initial", "final"),
    title: str = "",
    ylabel: str = "",
    bound: tuple[float, str] | None = None,
    logarithmic: bool = False,
) -> Figure:
    """A probe with one number per layer, against the layer: a row of panels per moment, a panel per `panel` value.

    A line is the mean over seeds (geometric on a logarithmic axis), its band the 95% interval. `bound` draws a
    horizontal line with its name.
    """
    panels, arms = list(dict.fromkeys(df[panel])), list(dict.fromkeys(df[hue]))
    figure, axes = new(
        3.1 * len(panels) + 0.8,
        2.7 * len(moments) + 0.5,
        len(panels),
        len(moments),
        sharey=True,
        squeeze=False,
        sharex="col",
    )
    for row, moment in zip(axes, moments, strict=True):
        for axis, value in zip(row, panels, strict=True):
            for i, arm in enumerate(arms):
                own = df[(df[panel] == value) & (df[hue] == arm)]
                if own.empty:
                    continue
                table = tables.probe(own, probe, moment).dropna(axis=1, how="all")
                table = np.log(table.clip(lower=1e-12)) if logarithmic else table
                mean, n, at = table.mean().to_numpy(), len(table), np.arange(1, table.shape[1] + 1)
                half = stats.t_quantile(n - 1) * table.std().to_numpy() / np.sqrt(n) if n > 1 else 0 * mean
                ends = [mean, mean - half, mean + half]
                mean, low, high = [np.exp(v) for v in ends] if logarithmic else ends
                axis.plot(at, mean, marker="o", markersize=4, color=colour(arm, i), linewidth=1.6, label=str(arm))
                axis.fill_between(at, low, high, color=colour(arm, i), alpha=0.2, linewidth=0)
            if bound:
                axis.axhline(bound[0], color="0.3", linestyle="--", linewidth=1.2, label=bound[1])
            if logarithmic:
                axis.set_yscale("log")
            axis.set_title(f"{panel} = {value}, {'start' if moment == 'initial' else 'trained'}", fontsize=10)
            axis.xaxis.get_major_locator().set_params(integer=True)
        row[0].set_ylabel(ylabel, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("layer, from the input", fontsize=10)
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    _title(figure, title)
    return figure


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
        axis.set_title("\n".join(_wrap(text, 34)), fontsize=9)
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
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    _title(figure, title)
    return figure


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
