"""Plain convolutional nets: blocks of convolution, norm and activation, then one linear layer."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from nbhelpers.errors import InputError
from nbhelpers.models import layers
from nbhelpers.spec import Count, Spec

LAYERS = {"conv", "norm", "activation"}


def _order(value: str) -> str:
    names = value.split("-")
    if sorted(names) != sorted(LAYERS):
        raise ValueError("must name conv, norm and activation once each, such as conv-norm-activation")
    return value


class ConvNet(Spec):
    """A net of `len(channels)` blocks; block i has `channels[i]` output channels.

    Every block holds a stride-1 convolution that keeps the image size, a norm and an activation, in the
    given `order`; 2x2 max pooling follows the blocks numbered in `pool` (from 1). The head is global
    average pooling ("average") or flattening ("flatten"), and a linear layer to the logits.
    """

    kind: Literal["convnet"] = "convnet"
    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    norm: layers.Norm = "batch"
    activation: layers.Activation = "relu"
    order: Annotated[str, AfterValidator(_order)] = "conv-norm-activation"
    kernel: Count = 3
    bias: bool = True
    pool: tuple[Count, ...] = ()
    head: Literal["average", "flatten"] = "average"

    @model_validator(mode="after")
    def _consistent(self):
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: {self.kernel}: must be odd, so that padding keeps the image size")
        if sorted(set(self.pool)) != list(self.pool) or any(block > len(self.channels) for block in self.pool):
            raise ValueError(f"pool: {list(self.pool)}: must be rising, from 1 to {len(self.channels)}")
        return self

    def norm_widths(self, width_in: int) -> list[int]:
        """The channels that each block's norm sees: the block's input where the norm comes first."""
        before = self.order.index("norm") < self.order.index("conv")
        return [width_in, *self.channels[:-1]] if before else list(self.channels)

    def check(self, shape: tuple[int, int, int], batch_size: int) -> None:
        """Raise InputError where the net cannot be built for images of `shape` or trained on such batches."""
        layers.check_norm(self.norm, self.norm_widths(shape[0]))
        if not min(shape[1:]) >> len(self.pool):
            raise InputError(f"pool: {list(self.pool)}: nothing is left of {shape[1]}x{shape[2]} pixels")
        pooled_before_last_norm = sum(block < len(self.channels) for block in self.pool)
        pixels = (shape[1] >> pooled_before_last_norm) * (shape[2] >> pooled_before_last_norm)
        layers.check_values(self.norm, batch_size, pixels)

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from collections import OrderedDict

        from torch import nn

        blocks, (width_in, height, width) = OrderedDict(), shape
        norm_widths = self.norm_widths(shape[0])
        for i, channels in enumerate(self.channels):
            made = {
                "conv": nn.Conv2d(width_in, channels, self.kernel, padding=self.kernel // 2, bias=self.bias),
                "norm": layers.norm(self.norm, norm_widths[i], i),
                "activation": layers.activation(self.activation, inplace=i > 0 or not self._starts_with_activation()),
            }
            block = OrderedDict((name, made[name]) for name in self.order.split("-") if made[name] is not None)
            if i + 1 in self.pool:
                block["pool"] = nn.MaxPool2d(2)
                height, width = height // 2, width // 2
            blocks[f"block{i + 1}"] = nn.Sequential(block)
            width_in = channels
        average = self.head == "average"
        if average:
            blocks["average"] = nn.AdaptiveAvgPool2d(1)
        blocks["flatten"] = nn.Flatten()
        blocks["linear"] = nn.Linear(width_in * (1 if average else height * width), classes)
        return nn.Sequential(blocks)

    def _starts_with_activation(self) -> bool:
        order = self.order.split("-")
        return order[0] == "activation" or (order[:2] == ["norm", "activation"] and self.norm == "none")
