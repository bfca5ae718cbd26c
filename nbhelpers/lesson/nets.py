"""The nets that the lesson trains, as specs."""

from collections.abc import Sequence

from nbhelpers.lesson import listings
from nbhelpers.models import ConvNet, Stack


def digits(channels: Sequence[int], hidden: Sequence[int], last: Sequence[str] = ()) -> Stack:
    """The assignment's net: four 3x3 convolutions without padding, two poolings, two linear layers; `last` behind."""
    a, b, c, d = (f"conv 3x3 {width}" for width in channels)
    linear = [f"linear {width}" for width in hidden]
    return Stack(layers=[a, b, "pool 2", c, d, "pool 2", "flatten", *linear, "output", *last])


def strided(width: int, stride: int) -> Stack:
    """Three padded 3x3 convolutions, the first two with `stride`; global average pooling, a linear layer."""
    layers = ["pad 1", f"conv 3x3/{stride} {width}"] * 2 + ["pad 1", f"conv 3x3 {2 * width}"]
    return Stack(layers=[*layers, "average", "output"], norm="batch")


def blocks(kind: str, widths: Sequence[int], squeezed: int) -> Stack:
    """Four blocks that squeeze and expand, or a pyramid of four layers a block: see `listings.blocks`."""
    return Stack(layers=[*listings.blocks(kind, 4, widths, squeezed)[0], "average", "output"], norm="batch")


def patches(width: int, positions: str) -> Stack:
    """Patches of 4x4 pixels, treated all alike: an embedding, positions ("none", "counted" or "waves"), two 1x1
    convolutions, the average over all patches, a linear layer.
    """
    added = [] if positions == "none" else [f"positions {positions}"]
    mixed = [f"conv 1x1 {width}"] * 2
    return Stack(layers=[f"conv 4x4/4 {width}", *added, *mixed, "average", "output"])


def shapes(widths: Sequence[int]) -> dict[str, Stack]:
    """Squeeze-and-expand, the pyramid of equal depth, and the one of twice the widths, which costs about as much."""
    wide = [2 * width for width in widths]
    kinds = {"squeeze and expand": ("squeeze", widths), "pyramid, equal depth": ("pyramid", widths)}
    kinds |= {"pyramid, equal cost": ("pyramid", wide)}
    return {name: blocks(kind, own, widths[0]) for name, (kind, own) in kinds.items()}


def plain(width: int, activation, depth: int = 4) -> ConvNet:
    """`depth` convolutions without norm, the first two with pooling, and a connected head."""
    return ConvNet(channels=[width] * depth, norm="none", activation=activation, pool=[1, 2], head="flatten")


def small(width: int, head: str = "average") -> ConvNet:
    """Four blocks of convolution, BatchNorm and ReLU, with pooling after the first and the third."""
    return ConvNet(channels=[width, width, 2 * width, 2 * width], pool=[1, 3], head=head)
