"""The images that a net receives."""

import numpy as np
from matplotlib.figure import Figure

from nbhelpers.plots.style import new


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
    left.set_title(f"{data.name}:\n{len(train):,} training images of {train.classes} classes")
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
