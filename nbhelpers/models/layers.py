"""Activations, norms and attention by name: what exists, with which arguments, and how it is built.

This file is read when a parameter is checked, so torch is imported only to build.
"""

from typing import Any

from nbhelpers.errors import InputError
from nbhelpers.spec import arguments, named

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {"slope": 1.0},  # max(0, slope * x)
    "leaky_relu": {"negative_slope": 0.01},
    "sigmoid": {"scale": 1.0, "shift": 0.0},  # scale * sigmoid(x) + shift
    "tanh": {},
    "elu": {"alpha": 1.0},
    "gelu": {},
    "silu": {},
    "identity": {},
    "elliott": {},
    "prelu": {"init": 0.25},  # this and what follows with initial values: learnable, `models.activations`
    "selu": {},
    "celu": {"alpha": 1.0},
    "softplus": {},
    "mish": {},
    "swish": {"beta": 1.0},
    "abrelu": {},
    "lisht": {},
    "srs": {"alpha": 5.0, "beta": 3.0},
    "pau": {},
    "pdelu": {"alpha": 1.0, "t": 0.9},  # t is fixed
    "srelu": {"t_left": 0.0, "a_left": 0.2, "t_right": 1.0, "a_right": 1.0},
}
NORMS: dict[str, dict[str, Any]] = {
    "batch": {"momentum": 0.1, "eps": 1e-5},
    "group": {"groups": 32, "eps": 1e-5},  # one number, or one for each layer
    "none": {},
}
EXPANSION = {"basic": 1, "bottleneck": 4}  # output channels of a residual block over its width
ATTENTION: dict[str, dict[str, Any]] = {"none": {}, "se": {"ratio": 16, "bias": True}}  # arXiv:1709.01507
Activation = named("activation", ACTIVATIONS)
Norm = named("norm", NORMS)
Attention = named("attention", ATTENTION)


def activation(value: str | dict, inplace: bool = True):
    """The module of a checked `Activation`. ReLU works in place, which saves memory: no backward reads its input.

    Not so for a layer that receives the images themselves: those are used again.
    """
    from torch import nn

    from nbhelpers.models import activations, modules

    name, args = arguments(value, ACTIVATIONS)
    if name == "relu":
        return nn.ReLU(inplace=inplace) if args["slope"] == 1 else modules.ScaledReLU(args["slope"])
    if name == "leaky_relu":
        return nn.LeakyReLU(args["negative_slope"], inplace=inplace)
    if name == "sigmoid":
        default = args == ACTIVATIONS["sigmoid"]
        return nn.Sigmoid() if default else modules.AffineSigmoid(args["scale"], args["shift"])
    of_torch = {"tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "identity": nn.Identity, "elu": nn.ELU}
    of_torch |= {"prelu": nn.PReLU, "selu": nn.SELU, "celu": nn.CELU, "softplus": nn.Softplus, "mish": nn.Mish}
    return (of_torch | activations.MODULES)[name](**args)


def name_of(value: str | dict) -> str:
    """The bare name of a checked activation or norm."""
    return value if isinstance(value, str) else value["name"]


def groups_of(value: str | dict, layer: int) -> int:
    """The number of groups that a `group` norm has at `layer` (from 0)."""
    groups = arguments(value, NORMS)[1]["groups"]
    return groups if isinstance(groups, int) else groups[layer]


def check_norm(value: str | dict, widths: list[int]) -> None:
    """Raise InputError where group norm does not fit layers of these `widths`."""
    if name_of(value) != "group":
        return
    groups = arguments(value, NORMS)[1]["groups"]
    if not isinstance(groups, int) and len(groups) != len(widths):
        raise InputError(f"groups: {list(groups)}: one number is needed for each of {len(widths)} blocks")
    for layer, width in enumerate(widths):
        if width % (asked := groups_of(value, layer)):
            right = ", ".join(str(n) for n in range(1, width + 1) if not width % n)
            raise InputError(f"groups: {asked}: does not divide the {width} channels of block {layer + 1}; {right} do")


def check_values(value: str | dict, batch_size: int, pixels: int) -> None:
    """Raise InputError where BatchNorm would have one value per channel: one image, with one pixel at that layer."""
    if name_of(value) == "batch" and batch_size * pixels == 1:
        raise InputError(
            f"batch_size: a batch of {batch_size} image, and {pixels} pixel of it where the last norm is: "
            "BatchNorm needs more than one value per channel"
        )


def norm(value: str | dict, channels: int, layer: int):
    """The 2-d norm module of a checked `Norm` for `channels` channels at `layer`, None for "none"."""
    from torch import nn

    name, args = arguments(value, NORMS)
    if name == "batch":
        return nn.BatchNorm2d(channels, eps=args["eps"], momentum=args["momentum"])
    if name == "group":
        return nn.GroupNorm(groups_of(value, layer), channels, eps=args["eps"])
    return None
