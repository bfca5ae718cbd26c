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
