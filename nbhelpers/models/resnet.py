"""Residual nets for small images (He et al., arXiv:1512.03385), with what was proposed for them since."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nbhelpers.errors import InputError
from nbhelpers.models import layers
from nbhelpers.spec import Count, Share, Spec, arguments

Width = Count | Annotated[tuple[Count, ...], Field(min_length=1)]


class ResNet(Spec):
    """Stem, stages of residual blocks, global average pooling, dropout, a linear layer to the logits.

    stem: channels of the 3x3 stem convolution. widths: of the blocks of each stage, one number, or one for each
    block (`pyramid`). blocks: how many each stage has; every stage but the first halves the image. block: "basic"
    (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1, with four times the width at its end). shortcut:
    "projection" (1x1 convolution and norm where the shape changes), "zero-pad" (every second pixel, zeros for new
    channels on both sides) or "none". attention: "none", or "se" in every block. dropout: before the linear layer.
    """

    kind: Literal["resnet"] = "resnet"
    block: Literal["basic", "bottleneck"] = "basic"
    stem: Count = 64
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    blocks: Annotated[tuple[Count, ...], Field(min_length=1)]
    shortcut: Literal["projection", "zero-pad", "none"] = "projection"
    attention: layers.Attention = "none"
    norm: layers.Norm = "batch"
    activation: layers.Activation = "relu"
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _consistent(self):
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"widths: {len(self.widths)} stages, but blocks has {len(self.blocks)}")
        for width, count in zip(self.widths, self.blocks, strict=True):
            if isinstance(width, tuple) and len(width) != count:
                raise ValueError(f"widths: {list(width)}: one number is needed for each of {count} blocks")
        return self

    def block_widths(self) -> list[list[int]]:
        """The width of every block, stage by stage."""
        pairs = zip(self.widths, self.blocks, strict=True)
        return [list(width) if isinstance(width, tuple) else [width] * count for width, count in pairs]

    def check(self, shape: tuple[int, int, int], batch_size: int) -> None:
        """Raise InputError where the net cannot be built for images of `shape` or trained on such batches."""
        flat, expansion = [width for stage in self.block_widths() for width in stage], layers.EXPANSION[self.block]
        if isinstance(arguments(self.norm, layers.NORMS)[1].get("groups"), (list, tuple)):
            raise InputError("groups: a ResNet takes one number for all its norms")
        for width in {self.stem, *flat, *(width * expansion for width in flat)}:
            layers.check_norm(self.norm, [width])
        halvings = len(self.blocks) - 1
        if not min(shape[1:]) >> halvings:
            raise InputError(f"blocks: {len(self.blocks)} stages: nothing is left of {shape[1]}x{shape[2]} pixels")
        layers.check_values(self.norm, batch_size, -(-shape[1] // 2**halvings) * -(-shape[2] // 2**halvings))

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from nbhelpers.models.residual import ResidualNet

        return ResidualNet(self, shape[0], classes)


CIFAR = {"stem": 40, "widths": (40, 80, 144, 176), "blocks": (3, 4, 6, 3), "dropout": 0.5}
NAMED: dict[str, ResNet] = {
    "resnet34": ResNet(**CIFAR),
    "resnet50": ResNet(block="bottleneck", **CIFAR),
    "resnet34_se": ResNet(stem=44, widths=(42, 84, 152, 184), blocks=(3, 4, 6, 3), attention="se", dropout=0.5),
    "resnet50_se": ResNet(block="bottleneck", attention={"name": "se", "bias": False}, **CIFAR),
    # A reconstruction: only the number of parameters of the published one is known.
    "resnet26": ResNet(stem=32, widths=(40, 104, 176, 192), blocks=(3, 3, 3, 3), dropout=0.5),
    "resnet74": ResNet(stem=32, widths=(32, 64, 128), blocks=(12, 12, 12), shortcut="zero-pad"),
    "resnet56": ResNet(stem=16, widths=(16, 32, 64), blocks=(9, 9, 9), shortcut="zero-pad"),
}


def narrowed(model: ResNet, share: float) -> ResNet:
    """The net with all its widths times `share`, rounded to multiples of 4 from 4 on; with 1 it is the net itself."""
    if share == 1:
        return model

    def width(value: int) -> int:
        return max(4, 4 * round(value * share / 4))

    widths = tuple(width(w) if isinstance(w, int) else tuple(map(width, w)) for w in model.widths)
    return ResNet(**model.model_dump() | {"stem": width(model.stem), "widths": widths})


def doubling(model: ResNet, shape: tuple[int, int, int], classes: int) -> ResNet:
    """The net with the same stem and widths that double from stage to stage, with the nearest number of parameters."""
    import torch

    def doubled(first: float) -> ResNet:
        widths = tuple(max(1, round(first * 2**i)) for i in range(len(model.blocks)))
        return ResNet(**model.model_dump() | {"widths": widths})

    def count(net: ResNet) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in net.build(shape, classes).parameters())

    wanted, step = count(model), 2.0 ** -len(model.blocks)  # at which the last width changes by less than one
    low, high = 1, 2
    while count(doubled(high)) < wanted:
        low, high = high, 2 * high
    firsts = [low + i * step for i in range(int((high - low) / step) + 1)]
    while len(firsts) > 2:  # the count rises with the first width
        middle = len(firsts) // 2
        firsts = firsts[middle:] if count(doubled(firsts[middle])) <= wanted else firsts[: middle + 1]
    return min(map(doubled, firsts), key=lambda net: abs(count(net) - wanted))


def pyramid(stem: int, added: int, blocks: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Widths that grow by equal steps at every block, to `stem` + `added` (Han et al., arXiv:1610.02915)."""
    total, made, done = sum(blocks), [], 0
    for count in blocks:
        made.append(tuple(int(stem + added * (done + i + 1) / total) for i in range(count)))
        done += count
    return tuple(made)


def compound(
    model: ResNet, size: int, phi: float, depth: float = 1.2, width: float = 1.1, resolution: float = 1.15
) -> tuple[ResNet, int]:
    """The net and the image size after compound scaling by `phi` (Tan and Le, arXiv:1905.11946).

    Depth grows as depth**phi, rounded up to whole blocks, width as width**phi, the image side as resolution**phi, both
    rounded to multiples of 4.
    """
    from math import ceil

    def wider(value: int) -> int:
        return max(4, 4 * round(value * width**phi / 4))

    widths = tuple(wider(w) if isinstance(w, int) else tuple(map(wider, w)) for w in model.widths)
    blocks = tuple(ceil(count * depth**phi - 1e-9) for count in model.blocks)
    scaled = ResNet(**model.model_dump() | {"stem": wider(model.stem), "widths": widths, "blocks": blocks})
    return scaled, max(4, 4 * round(size * resolution**phi / 4))
