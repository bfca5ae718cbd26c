"""Multilayer perceptrons on flattened images."""

from typing import Literal

from nbhelpers.models import layers
from nbhelpers.spec import Count, Spec


class MLP(Spec):
    """Flatten, then for each width in `hidden` a linear layer and the activation, then the output layer.

    `output` "logits" is what cross-entropy expects; "softmax" adds the softmax layer that some
    descriptions draw, so that the loss takes the softmax twice.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Count, ...] = (64, 128)
    activation: layers.Activation = "relu"
    output: Literal["logits", "softmax"] = "logits"

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from collections import OrderedDict

        from torch import nn

        made, width_in = OrderedDict(flatten=nn.Flatten()), shape[0] * shape[1] * shape[2]
        for i, width in enumerate(self.hidden):
            made[f"linear{i + 1}"] = nn.Linear(width_in, width)
            made[f"activation{i + 1}"] = layers.activation(self.activation)
            width_in = width
        made["output"] = nn.Linear(width_in, classes)
        if self.output == "softmax":
            made["softmax"] = nn.Softmax(dim=1)
        return nn.Sequential(made)
