"""Initial weights: PyTorch's default distributions, each parameter from its own stream.

A parameter's stream is named after it, so two arms with a parameter of the same name and shape start
from the same values there, whatever else differs between them.
"""

import math

import numpy as np
import torch
from torch import nn

from nbhelpers.streams import seed_of, stream


def build(spec, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """The net of a model spec for images of `shape` (channels, height, width), initialised for `seed`."""
    with torch.random.fork_rng(devices=[]):  # for what `initialise` does not know: layers of a Custom net
        torch.manual_seed(seed_of(seed, "init"))
        net = spec.build(shape, classes)
    return initialise(net, seed)


@torch.no_grad()
def initialise(net: nn.Module, seed: int) -> nn.Module:
    """Draw the weights of all linear and convolutional layers anew, and return the net.

    Weight and bias are uniform in ±1/sqrt(fan_in): what `reset_parameters` of torch draws
    (Kaiming uniform with a = sqrt(5)). The parameters of all other layers stay as they are built.
    """
    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter_name, parameter in layer.named_parameters(recurse=False):
                draws = stream(seed, f"init/{name}.{parameter_name}").uniform(-bound, bound, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(draws.astype(np.float32)))
    return net
