"""What a trained net gets right and wrong: confusion, reliability, mistakes."""

import numpy as np
from matplotlib.figure import Figure

from nbhelpers.assess import Assessment
from nbhelpers.plots.style import new, title_of


def confusion(found: Assessment) -> Figure:
    """Per cent of the images of each class (rows) that are given each answer (columns)."""
    table = found.confusion()
    table = table.loc[table.sum(axis=1) > 0]
    shares = 100 * table.to_numpy() / table.sum(axis=1).to_numpy()[:, None]
    count = table.shape[1]
    side = max(5.0, min(12.0, 0.55 * count + 1.5))
    figure, axis = new(side + 1, side)
    mesh = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (i, j), share in np.ndenumerate(shares) if count <= 20 else ():
        if share >= 0.05:
            ink = "white" if share > 55 else "black"
            axis.text(j, i, f"{share:.1f}", ha="center", va="center", fontsize=8, color=ink)
    axis.set_xticks(range(count), table.columns, rotation=90, fontsize=9 if count <= 20 else 5)
    axis.set_yticks(range(len(table)), table.index, fontsize=9 if count <= 20 else 5)
    axis.grid(False)
    axis.set(xlabel="answer", ylabel="true class")
    figure.colorbar(mesh, ax=axis, label="images of the class (%)")
    off = shares.copy()
    off[np.arange(len(table)), [list(table.columns).index(name) for name in table.index]] = 0
    i, j = np.unravel_index(off.argmax(), off.shape)
    worst = f"Most often confused: {off[i, j]:.1f}% of {table.index[i]} are called {table.columns[j]}"
    title_of(figure, worst if off[i, j] else "No image is given a wrong answer")
    return figure


def reliability(found: Assessment) -> Figure:
    """Share of right answers against confidence, with 95% intervals, and how many answers had which confidence."""
    bins = found.calibration()
    used = bins[bins["n"] > 0]
    figure, (top, below) = new(6.5, 6.5, rows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    top.plot([0, 1], [0, 1], color="#7f7f7f", linestyle="--", linewidth=1, label="as right as confident")
    error = [(used["accuracy"] - used["low"]).clip(lower=0), (used["high"] - used["accuracy"]).clip(lower=0)]
    top.errorbar(
        used["confidence"], used["accuracy"], yerr=error, fmt="o-", color="#0173b2", capsize=3, label="this net"
    )
    top.set(ylabel="share of right answers", xlim=(0, 1.03), ylim=(-0.03, 1.03))
    top.legend(fontsize=9, loc="upper left")
    below.bar(
        bins["from"], bins["n"], width=bins["to"] - bins["from"], align="edge", color="#56b4e9", edgecolor="white"
    )
    below.set(xlabel="confidence", ylabel="images")
    side = "more confident than right" if found.confidence.mean() > found.accuracy.mean else "less confident than right"
    title_of(figure, f"Calibration error {100 * found.calibration_error:.1f} points: {side} on average")
    return figure


def mistakes(images: np.ndarray, found: Assessment, count: int = 24) -> Figure:
    """The wrong answers given with the most confidence: image, answer with its probability, true class."""
    chosen, columns = found.mistakes(count), 8
    rows = max(1, -(-len(chosen) // columns))
    figure, axes = new(10.5, 1.75 * rows + 0.5, rows=rows, columns=columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, position in zip(axes.flat, chosen, strict=False):
        image = images[position]
        axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", interpolation="nearest")
        answer, truth = (found.class_names[value] for value in (found.predicted[position], found.labels[position]))
        axis.set_title(
            f"{answer} {100 * found.confidence[position]:.0f}%\ntrue: {truth}",
            fontsize=8,
            loc="center",
            weight="normal",
        )
    wrong = int((found.labels != found.predicted).sum())
    title_of(figure, f"The most confident of {wrong:,} mistakes among {len(found.labels):,} images")
    return figure
