"""Pictures of the lesson: fits, waves, windows, receptive fields, coverage, positions, words, kernels."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nbhelpers.plots.style import new, title_of

BLUE, ORANGE, GREEN, RED = "#0173b2", "#de8f05", "#029e73", "#d55e00"


def fits(x: np.ndarray, y: np.ndarray, models: Mapping, title: str = "") -> Figure:
    """Points and what each model, a function of x, makes of them: a panel per model."""
    figure, axes = new(2.1 * len(models), 2.6, len(models), sharey=True, squeeze=False)
    grid = np.linspace(x.min(), x.max(), 400)
    for axis, (name, model) in zip(axes.flat, models.items(), strict=True):
        axis.scatter(x, y, s=12, color="0.45", linewidths=0)
        axis.plot(grid, model(grid), color=RED, linewidth=2)
        axis.set_title(name, fontsize=10)
    title_of(figure, title)
    return figure


def square_waves(x: np.ndarray, sums: Mapping[int, np.ndarray], title: str = "") -> Figure:
    """Sums of sines against the square wave: a panel per number of terms."""
    figure, axes = new(2.3 * len(sums), 2.3, len(sums), sharey=True, squeeze=False)
    for axis, (terms, wave) in zip(axes.flat, sums.items(), strict=True):
        axis.plot(x, np.sign(np.sin(x)), color="0.6", linewidth=1.2)
        axis.plot(x, wave, color=BLUE, linewidth=1.6)
        axis.set_title(f"{terms} sine{'s' if terms > 1 else ''}", fontsize=10)
    title_of(figure, title)
    return figure


def through_windows(image: np.ndarray, found: pd.DataFrame, centre: tuple[int, int], title: str = "") -> Figure:
    """A photo, what windows of growing side see at one place, enlarged, and how much there is to recognise in them.

    found: columns side, "beyond a gradient" and "recognised", in per cent.
    """
    sides, (row, column) = list(found["side"]), centre
    figure = new(8.2, 3.5)[0]
    figure.clear()
    grid = figure.add_gridspec(2, len(sides) + 4, height_ratios=[1, 1.6])
    whole = figure.add_subplot(grid[:, :4])
    whole.imshow(image, cmap="gray", vmin=0, vmax=1)
    for i, side in enumerate(sides):
        top, left = row - side // 2, column - side // 2
        axis = figure.add_subplot(grid[0, 4 + i])
        axis.imshow(image[top : top + side, left : left + side], cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{side}", fontsize=9)
        _bare(axis)
    whole.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=RED, linewidth=1.5))
    _bare(whole)
    curve = figure.add_subplot(grid[1, 4:])
    for name, shade in (("recognised", BLUE), ("beyond a gradient", ORANGE)):
        curve.plot(sides, found[name], marker="o", markersize=4, color=shade, label=name)
    curve.set(xlabel="side of the window (pixels)", ylabel="%", xticks=sides, ylim=(0, 100))
    curve.legend(fontsize=9, loc="upper left")
    title_of(figure, title)
    return figure


def fields(listing: pd.DataFrame, title: str = "") -> Figure:
    """Receptive fields along a listing: as printed in the lesson, by formula, and measured from a gradient."""
    figure, axis = new(7.2, 3.6)
    at = np.arange(1, len(listing) + 1)
    axis.plot(at, listing["lesson's field"], "D", color=RED, markerfacecolor="none", markersize=8, label="the lesson")
    axis.plot(at, listing["field"], color=BLUE, linewidth=1.8, label="formula")
    axis.plot(at, listing["measured"], "o", color=BLUE, markersize=5, label="measured from a gradient")
    axis.set_xticks(at, [layer.replace("maxpool 2x2 + ", "pool,\n") for layer in listing["layer"]], rotation=60)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_ylabel("receptive field (pixels)")
    figure.legend(loc="outside right center", fontsize=9)
    title_of(figure, title)
    return figure


def maps(counts: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Small maps of whole numbers, each number written into its cell: a panel per name."""
    figure, axes = new(2.75 * len(counts), 3.1, len(counts), squeeze=False)
    for axis, (name, values) in zip(axes.flat, counts.items(), strict=True):
        axis.imshow(values, cmap="Blues", vmin=0, vmax=max(1.6 * values.max(), 1))
        for (i, j), value in np.ndenumerate(values):
            axis.text(j, i, f"{value:g}", ha="center", va="center", fontsize=7 if len(values) > 9 else 8)
        axis.set_title(name, fontsize=10)
        _bare(axis)
    title_of(figure, title)
    return figure


def codes(added: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """What is added at each position: a row per position, a column per number within the element, a panel per kind."""
    figure, axes = new(3.5 * len(added), 2.8, len(added), squeeze=False)
    for axis, (name, values) in zip(axes.flat, added.items(), strict=True):
        edges = (0.5, values.shape[1] + 0.5, len(values) + 0.5, 0.5)
        picture = axis.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest", extent=edges)
        axis.set_title(name, fontsize=10)
        axis.set(xlabel="number within the element", ylabel="position")
        axis.grid(False)
        figure.colorbar(picture, ax=axis)
    title_of(figure, title)
    return figure


def word_map(words: Sequence[str], vectors: np.ndarray, title: str = "") -> Figure:
    """Words at the two directions in which their vectors (words, width) vary most.

    Words that would lie on each other are moved apart, with a line to the point where each belongs.
    """
    centred = vectors - vectors.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    at = left[:, :2] * values[:2]
    at = at * np.sign(at[np.abs(at).argmax(0), [0, 1]])  # the sign of a singular vector is anybody's choice
    width, height, size = 9.0, 6.0, 9
    figure, axis = new(width, height)
    at = (at - at.min(0)) / np.maximum(np.ptp(at, axis=0), 1e-12) * [72 * (width - 1), 72 * (height - 1)]
    boxes = np.array([[0.68 * size * len(word) + 4, 1.35 * size] for word in words])
    placed = _apart(at, boxes)
    axis.scatter(*at.T, s=6, color="0.6", linewidths=0)
    for word, point, (x, y) in zip(words, at, placed, strict=True):
        axis.plot([point[0], x], [point[1], y], color="0.8", linewidth=0.7, zorder=0)
        axis.text(x, y, word, fontsize=size, color=BLUE, ha="center", va="center")
    low, high = (placed - boxes / 2).min(0), (placed + boxes / 2).max(0)
    axis.set(xticks=[], yticks=[], xlim=(low[0] - 8, high[0] + 8), ylim=(low[1] - 8, high[1] + 8))
    title_of(figure, title)
    return figure


def _apart(at: np.ndarray, boxes: np.ndarray, rounds: int = 400) -> np.ndarray:
    """Centres for `boxes` (n, 2: width, height) near their points (n, 2), pushed until hardly any two overlap."""
    centres = at + [0, 0.6] * boxes
    for _ in range(rounds):
        gaps = centres[:, None] - centres[None]
        inside = (boxes[:, None] + boxes[None]) / 2 - np.abs(gaps)
        overlap = (inside > 0).all(2) & ~np.eye(len(boxes), dtype=bool)
        if not overlap.any():
            break
        axis = np.argmin(inside, axis=2)  # along which it takes the shorter way out
        push = np.where(np.arange(2) == axis[..., None], inside, 0) * np.where(gaps < 0, -1, 1)
        push[np.tril_indices(len(boxes))] *= np.where(gaps == 0, -1, 1)[np.tril_indices(len(boxes))]  # one each way
        centres = centres + 0.3 * (push * overlap[..., None]).sum(1)
    return centres


def kernels(weights: Sequence, favourites: Mapping[str, Mapping], title: str = "") -> Figure:
    """The kernels of a first layer, and the images that the first channels of some layers like best, a row per layer.

    weights: (channels, inputs, side, side), nested lists; favourites: layer -> shape and pixels, as the probe
    `favourites` keeps them.
    """
    first = np.array(weights)
    first = (first - first.min()) / max(np.ptp(first), 1e-12)
    liked = {name: _pixels(entry) for name, entry in favourites.items()}
    columns = max(8, *(len(images) for images in liked.values()))
    rows = {"first kernels": first[:columns].transpose(0, 2, 3, 1), **liked}
    figure, axes = new(0.9 * columns + 1.6, 0.95 * len(rows) + 0.6, columns, len(rows), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image[..., 0] if image.shape[-1] != 3 else image, cmap="gray", vmin=0, vmax=1)
            _bare(axis)
        for axis in line[len(images) :]:
            axis.set_visible(False)
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    title_of(figure, title)
    return figure


def _pixels(entry: Mapping) -> np.ndarray:
    """The kept images as (images, H, W, C) in [0, 1]."""
    found = np.frombuffer(base64.b64decode(entry["pixels"]), np.uint8).reshape(entry["shape"])
    return found.transpose(0, 2, 3, 1) / 255


def _bare(axis) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
