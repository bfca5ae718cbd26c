"""The modules of a ResNet, built from its spec."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbhelpers.models import layers
from nbhelpers.models.layers import ATTENTION, EXPANSION
from nbhelpers.spec import Spec, arguments


def convolution(spec: Spec, width_in: int, width: int, kernel: int, stride: int = 1) -> list[tuple[str, nn.Module]]:
    """A convolution without bias, and its norm; the convolution has a bias where there is no norm."""
    norm = layers.norm(spec.norm, width, 0)
    conv = nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=norm is None)
    return [("conv", conv)] + ([("norm", norm)] if norm is not None else [])


class SqueezeExcitation(nn.Module):
    """Channels scaled by a gate that is computed from their means: x * sigmoid(W2 relu(W1 mean(x)))."""

    def __init__(self, channels: int, ratio: int, bias: bool):
        super().__init__()
        hidden = max(1, channels // ratio)
        self.reduce, self.expand = nn.Linear(channels, hidden, bias=bias), nn.Linear(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class ZeroPad(nn.Module):
    """Every `stride`-th pixel, with zeros as new channels: half of them before, half after the old ones."""

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        new = width - width_in
        self.before, self.after, self.stride = new // 2, new - new // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class Block(nn.Module):
    """activation(branch(x) + shortcut(x)); without a shortcut the branch alone."""

    def __init__(self, spec: Spec, width_in: int, width: int, stride: int):
        super().__init__()
        out, made = width * EXPANSION[spec.block], OrderedDict()
        if spec.block == "basic":
            shapes = [(width_in, width, 3, stride), (width, width, 3, 1)]
        else:
            shapes = [(width_in, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
        for i, shape in enumerate(shapes, 1):
            made |= {f"{name}{i}": layer for name, layer in convolution(spec, *shape)}
            if i < len(shapes):
                made[f"activation{i}"] = layers.activation(spec.activation)
        name, values = arguments(spec.attention, ATTENTION)
        if name == "se":
            made["attention"] = SqueezeExcitation(out, **values)
        self.branch = nn.Sequential(made)
        self.shortcut = _shortcut(spec, width_in, out, stride)
        self.activation = layers.activation(spec.activation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return self.activation(y if self.shortcut is None else y + self.shortcut(x))


def _shortcut(spec: Spec, width_in: int, width: int, stride: int) -> nn.Module | None:
    if spec.shortcut == "none":
        return None
    if width_in == width and stride == 1:
        return nn.Identity()
    if spec.shortcut == "zero-pad" and width >= width_in:
        return ZeroPad(width_in, width, stride)
    return nn.Sequential(OrderedDict(convolution(spec, width_in, width, 1, stride)))


class ResidualNet(nn.Module):
    """The net of a `ResNet` spec for images with `channels` channels: (N, channels, H, W) to (N, classes)."""

    def __init__(self, spec: Spec, channels: int, classes: int):
        super().__init__()
        stem = OrderedDict(convolution(spec, channels, spec.stem, 3))
        self.stem = nn.Sequential(stem | {"activation": layers.activation(spec.activation)})
        width_in = spec.stem
        for number, widths in enumerate(spec.block_widths(), 1):
            stage = []
            for i, width in enumerate(widths):
                stage.append(Block(spec, width_in, width, 2 if number > 1 and i == 0 else 1))
                width_in = width * EXPANSION[spec.block]
            setattr(self, f"stage{number}", nn.Sequential(*stage))
        self.stages = len(spec.blocks)
        self.dropout = nn.Dropout(spec.dropout)
        self.linear = nn.Linear(width_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number in range(1, self.stages + 1):
            x = getattr(self, f"stage{number}")(x)
        return self.linear(self.dropout(x.mean((2, 3))))
