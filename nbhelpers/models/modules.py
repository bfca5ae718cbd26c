"""Layers that torch does not have."""

import torch
from torch import Tensor, nn


class ScaledReLU(nn.Module):
    """f(x) = max(0, slope * x), elementwise."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x * self.slope)

    def extra_repr(self) -> str:
        return f"slope={self.slope:g}"


class AffineSigmoid(nn.Module):
    """f(x) = scale * sigmoid(x) + shift, elementwise.

    With scale 4 and shift -2 the slope at zero is 1 and the output is centred on zero: what is left of
    the sigmoid is its saturation.
    """

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x).mul(self.scale).add_(self.shift)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}, shift={self.shift:g}"


class Positions(nn.Module):
    """Adds to every place of maps (N, C, H, W) where it is, the same in each image.

    kind "counted": its number 1, 2, 3 ... along the rows, in all channels. "waves": the sinusoidal code of Vaswani et
    al. (arXiv:1706.03762), sin and cos of the number over 10000**(2i/C) in channels 2i and 2i + 1.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        number = torch.arange(1, height * width + 1, dtype=x.dtype, device=x.device).view(height, width)
        if self.kind == "counted":
            return x + number
        channel = torch.arange(channels, device=x.device).view(-1, 1, 1)
        angle = number / 10000 ** (channel // 2 * 2 / channels)
        return x + torch.where(channel % 2 == 0, angle.sin(), angle.cos())

    def extra_repr(self) -> str:
        return self.kind
