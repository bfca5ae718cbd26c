"""Layer lists: sizes, receptive fields, weights and multiply-accumulates by formula, and the field by a gradient."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from nbhelpers import published
from nbhelpers.models.stack import parse, shapes

STUDY = "building_first_neural_networks"
LENET = ("pad 2", "conv 5x5 6", "pool 2", "conv 5x5 16", "pool 2", "flatten", "linear 120", "linear 84", "output")
HEADS = {"flatten": ("flatten", "output"), "average": ("average", "output")}


def table(layers: Sequence[str], shape: tuple[int, int, int], classes: int = 10, bias: bool = False) -> pd.DataFrame:
    """A row per layer of a `Stack` listing for images of `shape` (channels, height, width).

    Columns: layer, side, channels, field (side of the square of input pixels that one output sees), jump (input pixels
    between neighbouring outputs), weights (or, with `bias`, parameters: the biases are among them), macs
    (multiply-accumulates for one image).
    field += (kernel - 1) * jump, then jump *= stride: Araujo et al., distill.pub/2019/computing-receptive-fields. A
    layer that takes all places together sees all that they see, at most the image, and has no neighbours: jump 0.
    InputError where a layer does not fit what it receives.
    """
    rows, received, field, jump = [], tuple(shape), 1, 1
    counted = "parameters" if bias else "weights"
    for text, made in zip(layers, shapes(layers, shape, classes), strict=True):
        layer, weights, macs = parse(text), 0, 0
        if layer.kind in ("conv", "pool"):
            field, jump = field + (layer.kernel - 1) * jump, jump * layer.stride
        elif len(made) == 1 and len(received) == 3:  # flattened, averaged, or taken by a connected layer
            field, jump = min(field + (received[1] - 1) * jump, shape[1]), 0
        if layer.kind == "conv":
            weights = layer.kernel**2 * received[0] * layer.width
            macs = weights * made[1] * made[2]
        elif layer.kind in ("linear", "output"):
            weights = macs = received[0] * made[0]
        if bias and weights:
            weights += made[0]
        side = made[1] if len(made) == 3 else 1
        row = {"layer": text, "side": side, "channels": made[0], "field": field, "jump": jump}
        rows.append(row | {counted: weights, "macs": macs})
        received = made
    return pd.DataFrame(rows)


def measured_field(layers: Sequence[str], side: int) -> int:
    """The field of the last layer of convolutions and poolings, measured: how many rows of the input the gradient of
    one output in the middle reaches.

    In a real net of one channel, all weights one, with images of `side` pixels, in float64. A maximum passes the
    gradient to a single pixel of its window, so means stand for it; the field depends on neither weights nor channels.
    """
    made = []
    for layer in map(parse, layers):
        if layer.kind == "conv":
            conv = nn.Conv2d(1, 1, layer.kernel, layer.stride, bias=False, dtype=torch.float64)
            nn.init.ones_(conv.weight)
            made.append(conv)
        elif layer.kind == "pool":
            made.append(nn.AvgPool2d(layer.kernel, layer.stride))
        elif layer.kind == "pad":
            made.append(nn.ZeroPad2d(layer.kernel))
    image = torch.ones((1, 1, side, side), dtype=torch.float64, requires_grad=True)
    output = nn.Sequential(*made)(image)
    output[0, 0, output.shape[2] // 2, output.shape[3] // 2].backward()
    return int((image.grad[0, 0] != 0).any(1).sum())


def layers_of(listing: str) -> list[list[str]]:
    """The layers of each row of a published listing ("receptive_field" or "receptive_field_first_listing")."""
    rows = []
    for row in published.table(STUDY, listing):
        steps, width = row["layer"].rsplit("->", 1)[0], row["layer"].rsplit("->", 1)[1]
        kernel = steps.rsplit("conv ", 1)[1].split(",")[0]
        rows.append((["pool 2"] if steps.startswith("maxpool") else []) + [f"conv {kernel} {width}"])
    return rows


def beside(listing: str, shape: tuple[int, int, int] = (3, 400, 400)) -> pd.DataFrame:
    """A published listing beside what is computed: a row per published row.

    Columns: layer, side and field as printed in the lesson, then side, field, jump by formula, the field measured from
    a gradient, weights and MACs of the row, and whether the printed field is right.
    """
    groups, printed = layers_of(listing), published.table(STUDY, listing)
    made = table([text for group in groups for text in group], shape)
    rows, end = [], 0
    for row, group in zip(printed, groups, strict=True):
        start, end = end, end + len(group)
        last, so_far = made.iloc[end - 1], [text for g in groups[: len(rows) + 1] for text in g]
        found = {"layer": row["layer"], "lesson's side": row["lesson_size"], "lesson's field": row["lesson_rf"]}
        found |= {"side": last["side"], "field": last["field"], "jump": last["jump"]}
        found |= {"measured": measured_field(so_far, 3 * int(last["field"]))}
        found |= {name: int(made[name].iloc[start:end].sum()) for name in ("weights", "macs")}
        rows.append(found | {"right": row["lesson_rf"] == last["field"]})
    return pd.DataFrame(rows)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """`beside` for a reader: a cross behind what is wrong, numbers in groups of three digits."""
    field = [f"{f}" if right else f"{f} ✗" for f, right in found[["lesson's field", "right"]].to_numpy()]
    side = ["" if pd.isna(s) else f"{s:g}" for s in found["lesson's side"]]
    return grouped(found.assign(**{"lesson's field": field, "lesson's side": side}).drop(columns="right"))


def costs(found: pd.DataFrame) -> str:
    """Weights and multiply-adds of `beside` up to its second 1x1 convolution, as a sentence, and the dearest layer."""
    upto = found[: found["layer"].str.contains("1x1").to_numpy().nonzero()[0][1] + 1]
    dearest = upto.loc[upto["macs"].idxmax()]
    return (f"Up to the second transition: {upto['weights'].sum():,} weights, {upto['macs'].sum() / 1e9:.1f} G "
            f"multiply-adds for one image, {dearest['macs'] / 1e9:.1f} G of them in {dearest['layer']}.")  # fmt: skip


def lenet(side: int = 28) -> tuple[pd.DataFrame, str]:
    """LeNet for grey images of `side` pixels, with LeCun's widths, layer by layer, and a sentence with its sums."""
    made = table(LENET, (1, side, side), bias=True)
    note = (
        f"LeNet: {made['parameters'].sum():,} parameters (weights and biases), {made['macs'].sum():,} multiply-adds. "
    )
    note += f"From the flattening on a number depends on the whole image, {side} pixels, and has no neighbours."
    jumps = ["" if jump == 0 else f"{jump}" for jump in made["jump"]]
    return grouped(made.assign(jump=jumps)), note


def ends(listings: Mapping[int, Sequence[str]], shape: tuple[int, int, int]) -> pd.DataFrame:
    """A row per listing, by its name: multiply-accumulates in all, side and field of its last maps."""
    rows = {}
    for name, layers in listings.items():
        made = table(layers, shape)
        maps = made[made["layer"].str.startswith(("conv", "pool"))].iloc[-1]
        rows[name] = {"macs": int(made["macs"].sum()), "side": int(maps["side"]), "field": int(maps["field"])}
    return pd.DataFrame(rows).T


def blocks(kind: str, layers: int = 4, widths=(64, 128, 256, 512), squeezed: int = 32) -> tuple[list[str], tuple]:
    """Four blocks of 3x3 convolutions at 56, 28, 14 and 7 pixels, and the shape of what they receive.

    kind "squeeze": every block goes through all `widths`, and a 1x1 convolution squeezes the channels between blocks.
    "pyramid": block i has `layers` layers of widths[i].
    """
    made = []
    for i, width in enumerate(widths):
        if i:
            made += ["pool 2"] + ([f"conv 1x1 {squeezed}"] if kind == "squeeze" else [])
        for own in widths if kind == "squeeze" else [width] * layers:
            made += ["pad 1", f"conv 3x3 {own}"]
    return made, ((squeezed if kind == "squeeze" else widths[0]), 56, 56)


def shapes_of_nets() -> pd.DataFrame:
    """Squeeze-and-expand beside pyramids of four and of two layers a block: layers, weights, MACs."""
    arms = {"squeeze and expand": ("squeeze", 4), "pyramid, 4 layers a block": ("pyramid", 4)}
    arms |= {"pyramid, 2 layers a block": ("pyramid", 2)}
    rows = []
    for name, (kind, layers) in arms.items():
        made = table(*blocks(kind, layers))
        row = {"net": name, "3x3 layers": int(made.layer.str.startswith("conv 3x3").sum())}
        rows.append(row | {"weights": int(made.weights.sum()), "macs": int(made.macs.sum())})
    return pd.DataFrame(rows)


def grouped(counts: pd.DataFrame) -> pd.DataFrame:
    """The table with its whole numbers in groups of three digits, as text."""
    whole = counts.select_dtypes("integer").columns
    return counts.assign(**{name: counts[name].map("{:,}".format) for name in whole})


def heads(side: int = 7, channels: int = 512, classes: int = 1000) -> pd.DataFrame:
    """Weights of a fully connected head and of global pooling with one linear layer, on maps of that size."""
    return pd.DataFrame(
        {"head": name, "weights": int(table(head, (channels, side, side), classes).weights.sum())}
        for name, head in HEADS.items()
    )
