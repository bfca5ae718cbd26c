"""How large a learning rate may be: the bound of a quadratic function, two over the sharpness, beside what happened."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from nbhelpers import contrasts, gain, stats, tensors
from nbhelpers.models.initialise import build
from nbhelpers.models.mlp import MLP
from nbhelpers.probes.gradients import dead_units_by_epoch, sharpness
from nbhelpers.run import Data, Recipe
from nbhelpers.tensors import Images

STEPS = 200
EMBEDDED = Data(name="shapes", classes=10, per_class=100, test_per_class=1, size=8, mean=(0.45,) * 3, std=(0.25,) * 3)
RECIPE = Recipe(lr=1, epochs=1, batch_size=64)  # of it, what the probes ask for


def bounds(sharp: pd.Series) -> pd.Series:
    """Two over the sharpness, for a sharpness by scale of the weights; nan where it bounds nothing.

    The curvature of a net grows with the scale of its weights. Where the measured one falls instead, or is not above 0,
    its outputs are saturated: the loss is flat where it was measured, and steep close by. So it is at larger scales.
    """
    sharp = sharp.sort_index()
    sound = ((sharp > 0) & (sharp >= sharp.cummax())).cummin()  # saturated once, so at larger scales
    return (2 / sharp.where(sound)).rename("lr")


def agreement(df: pd.DataFrame, found: pd.Series) -> str:
    """How many runs are at chance above the bound and not at chance below it, as a sentence.

    df: runs with the labels r and lr; found: `bounds` by r. Runs without a bound are counted apart.
    """
    bound = df["r"].map(found).to_numpy(float)
    above, lost = df["lr"].to_numpy(float) > bound, contrasts.chance(df, ["r", "lr"])["value"].to_numpy(bool)
    known = np.isfinite(bound)
    said = f"{(above == lost)[known].sum()} of {known.sum()} cells are as predicted: "
    said += f"{(above & lost & known).sum()} of {(above & known).sum()} above the line are at chance, "
    said += f"{(~above & ~lost & known).sum()} of {(~above & known).sum()} below it are not."
    if none := [f"r = {r:g}" for r in found[found.isna()].index]:
        said += f" No line at {', '.join(none)}: from there on the sharpness does not grow with the scale, "
        said += "as where the outputs are saturated, and bounds nothing."
    return said


def growth(sharp: pd.Series) -> str:
    """The power of the scale with which the sharpness grows at the three largest scales; empty where it also falls."""
    sharp = sharp.sort_index()
    if len(sharp) < 2 or not (sharp.is_monotonic_increasing and sharp.iloc[0] > 0):
        return ""
    return f"; sharpness grows as r^{stats.log_slope(sharp.iloc[-3:]):.1f} at the largest scales"


def twins(hidden: Sequence[int], r: float, steps: int = STEPS) -> str:
    """The check of `gain.compare` where units live: at a tenth of the bound, on embedded images, as a sentence.

    hidden: the widths of the MLP; r: the scale of its rectifiers. At one CPU thread: the nets are small.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _twins(hidden, r, steps)
    finally:
        torch.set_num_threads(threads)


def _twins(hidden: Sequence[int], r: float, steps: int) -> str:
    train, _, _ = tensors.load(EMBEDDED, 0)
    spec = MLP(hidden=tuple(hidden), activation={"name": "relu", "slope": float(r)})
    net = build(spec, tuple(train.images.shape[1:]), train.classes, 0).double()
    data = Images(train.images.double(), train.labels, train.classes)
    rate = 0.2 / sharpness(net, data, data, RECIPE)["sharpness"]
    right, *wrong = gain.compare(net, train, rate, steps, RECIPE.batch_size).values()
    loss = gain.losses(net, rate, rate, data, steps, RECIPE.batch_size)  # trains the net
    dead = max(dead_units_by_epoch(net, data, data, RECIPE).values())
    exact = "less than 1e-10" if right < 1e-10 else f"{right:.2g}"
    return (
        f"With live units, on embedded images with a learning rate of {rate:.2g}, a tenth of the bound below: after "
        f"{steps} steps {dead:.0f}% of the units of the worst layer are dead and the loss has gone from {loss[0]:.3g} "
        f"to {loss[-1]:.3g}; the first twin differs by {exact}, the others by {wrong[0]:.2g} and {wrong[1]:.2g}."
    )
