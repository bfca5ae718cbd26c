"""The modules of a `BlockNet`: depthwise, inception and dense blocks."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from nbhelpers.models import layers
from nbhelpers.spec import Spec


def unit(
    spec: Spec, width_in: int, width: int, kernel: int, stride: int = 1, groups: int = 1
) -> OrderedDict[str, nn.Module]:
    """Convolution without bias, BatchNorm, activation."""
    return OrderedDict(
        conv=nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        norm=nn.BatchNorm2d(width),
        activation=layers.activation(spec.activation),
    )


def chain(*units: OrderedDict[str, nn.Module]) -> nn.Sequential:
    """The units one after the other, their layers numbered."""
    return nn.Sequential(
        OrderedDict((f"{n}{i}", layer) for i, made in enumerate(units, 1) for n, layer in made.items())
    )


class Beside(nn.Module):
    """The outputs of all branches for the same input, side by side along the channels."""

    def __init__(self, **branches: nn.Module):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


def depthwise(spec: Spec, width_in: int, width: int, stride: int) -> nn.Module:
    """Each channel by itself in space, then all channels at each pixel."""
    return chain(unit(spec, width_in, width_in, 3, stride, groups=width_in), unit(spec, width_in, width, 1))


def inception(spec: Spec, width_in: int, width: int) -> nn.Module:
    """Four branches with the shares of GoogLeNet's first block; two 3x3 convolutions stand for its 5x5."""
    part = width // 16
    wide, deep = unit(spec, width_in, 6 * part, 1), unit(spec, width_in, part, 1)
    return Beside(
        point=chain(unit(spec, width_in, 4 * part, 1)),
        wide=chain(wide, unit(spec, 6 * part, 8 * part, 3)),
        deep=chain(deep, unit(spec, part, 2 * part, 3), unit(spec, 2 * part, 2 * part, 3)),
        pooled=nn.Sequential(nn.MaxPool2d(3, 1, 1), chain(unit(spec, width_in, 2 * part, 1))),
    )


def before(spec: Spec, width_in: int, width: int, kernel: int) -> OrderedDict[str, nn.Module]:
    """BatchNorm and activation before a convolution without bias. Not in place: others read the input too."""
    return OrderedDict(
        norm=nn.BatchNorm2d(width_in),
        activation=layers.activation(spec.activation),
        conv=nn.Conv2d(width_in, width, kernel, padding=kernel // 2, bias=False),
    )


def dense(spec: Spec, width_in: int, growth: int) -> nn.Module:
    """The input with `growth` new channels beside it, through a bottleneck of four times as many."""
    return Beside(
        old=nn.Identity(), new=chain(before(spec, width_in, 4 * growth, 1), before(spec, 4 * growth, growth, 3))
    )


def stage(spec: Spec, width_in: int, widths: tuple[int, ...], first: bool) -> tuple[nn.Sequential, int]:
    """A stage of blocks, with what halves the image before it unless it is the first; and its channels."""
    made = OrderedDict()
    if spec.block == "dense" and not first:
        made["transition"] = chain(before(spec, width_in, width_in // 2, 1))
        width_in //= 2
    if spec.block != "depthwise" and not first:
        made["pool"] = nn.AvgPool2d(2) if spec.block == "dense" else nn.MaxPool2d(3, 2, 1)
    for i, width in enumerate(widths, 1):
        if spec.block == "depthwise":
            made[f"block{i}"] = depthwise(spec, width_in, width, 2 if i == 1 and not first else 1)
        else:
            made[f"block{i}"] = (dense if spec.block == "dense" else inception)(spec, width_in, width)
        width_in = width_in + width if spec.block == "dense" else width
    return nn.Sequential(made), width_in


def block_net(spec: Spec, channels: int, classes: int) -> nn.Sequential:
    """The net of a `BlockNet` spec for images with `channels` channels: (N, channels, H, W) to (N, classes)."""
    if spec.block == "dense":
        made = OrderedDict(stem=nn.Conv2d(channels, spec.stem, 3, spec.stem_stride, padding=1, bias=False))
    else:
        made = OrderedDict(stem=chain(unit(spec, channels, spec.stem, 3, spec.stem_stride)))
    width = spec.stem
    for number, widths in enumerate(spec.widths, 1):
        made[f"stage{number}"], width = stage(spec, width, widths, number == 1)
    if spec.block == "dense":
        made["norm"], made["activation"] = nn.BatchNorm2d(width), layers.activation(spec.activation)
    made["average"], made["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    made["linear"] = nn.Linear(width, classes)
    return nn.Sequential(made)
