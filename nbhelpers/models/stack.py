"""Nets written down layer by layer, as lessons and papers list them."""

import math
import re
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from nbhelpers.errors import InputError
from nbhelpers.models import layers
from nbhelpers.spec import Spec

WINDOWED = re.compile(r"(conv) (\d+)x(\d+)(?:/(\d+))? (\d+)|(pool) (\d+)(?:x(\d+))?(?:/(\d+))?")
NUMBERED = re.compile(r"(pad|linear) (\d+)")
BARE = ("average", "flatten", "output", "log-softmax", "positions counted", "positions waves")


class Layer(NamedTuple):
    """One layer: what it is, the side and stride of its window, its output channels (0: as many as it receives)."""

    kind: str
    kernel: int = 1
    stride: int = 1
    width: int = 0


def parse(text: str) -> Layer:
    """The layer that `text` names. ValueError for anything else.

    "conv 3x3 32" or, with stride, "conv 3x3/2 32", both without padding; "pad 1", zeros at each side; "pool 2", the
    largest of windows of that side and stride ("pool 3/2": side 3, stride 2); "average", global average pooling;
    "flatten"; "linear 50"; "output", linear to the classes; "log-softmax"; "positions counted" and "positions waves",
    which add to each place its number 1, 2, 3 ... or its sinusoidal code.
    """
    if text in BARE:
        return Layer(text)
    if found := NUMBERED.fullmatch(text):
        kind, number = found[1], int(found[2])
        return Layer(kind, width=number) if kind == "linear" else Layer(kind, kernel=number)
    found = WINDOWED.fullmatch(text)
    if found and found[1] and found[2] == found[3]:
        return Layer("conv", int(found[2]), int(found[4] or 1), int(found[5]))
    if found and found[6] and found[8] in (None, found[7]):
        return Layer("pool", int(found[7]), int(found[9] or found[7]))
    raise ValueError(f'{text!r}: must be such as "conv 3x3 32", "conv 3x3/2 32", "pool 2", "pad 1", "linear 50", '
                     f"{', '.join(BARE)}")  # fmt: skip


def _parsed(text: str) -> str:
    layer = parse(text)
    if layer.kernel < 1 or layer.stride < 1 or (layer.kind in ("conv", "linear") and layer.width < 1):
        raise ValueError(f"{text!r}: sizes are whole numbers from 1")
    return text


class Stack(Spec):
    """The `layers` one after the other, as `parse` reads them.

    The norm follows every convolution. The activation follows that, and every linear layer, but not the last layer
    with weights; where a pooling comes next, it comes after that, which gives the same values for any activation that
    never falls.
    """

    kind: Literal["stack"] = "stack"
    layers: Annotated[tuple[Annotated[str, AfterValidator(_parsed)], ...], Field(min_length=1)]
    activation: layers.Activation = "relu"
    norm: layers.Norm = "none"
    bias: bool = True

    def check(self, shape: tuple[int, int, int], batch_size: int) -> None:
        """Raise InputError where the net cannot be built for images of `shape`."""
        shapes(self.layers, shape, 2)
        layers.check_norm(self.norm, [layer.width for layer in map(parse, self.layers) if layer.kind == "conv"])

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from collections import OrderedDict

        from torch import nn

        parsed = [parse(text) for text in self.layers]
        received = [shape, *shapes(self.layers, shape, classes)]
        weighted = [i for i, layer in enumerate(parsed) if layer.kind in ("conv", "linear", "output")]
        made, counts, due = OrderedDict(), {}, ""
        for i, layer in enumerate(parsed):
            kind = layer.kind.split()[0]
            number = counts[kind] = counts.get(kind, 0) + 1
            made["output" if kind == "output" else f"{kind}{number}"] = _module(layer, received[i], classes, self.bias)
            if kind == "conv" and (norm := layers.norm(self.norm, layer.width, number - 1)) is not None:
                made[f"norm{number}"] = norm
            if i in weighted[:-1]:
                due = f"activation{weighted.index(i) + 1}"
            if due and parsed[i + 1].kind != "pool":
                made[due], due = layers.activation(self.activation), ""
        return nn.Sequential(made)


def _module(layer: Layer, received: tuple[int, ...], classes: int, bias: bool):
    from torch import nn

    from nbhelpers.models import modules

    match layer.kind:
        case "conv":
            return nn.Conv2d(received[0], layer.width, layer.kernel, layer.stride, bias=bias)
        case "pool":
            return nn.MaxPool2d(layer.kernel, layer.stride)
        case "pad":
            return nn.ZeroPad2d(layer.kernel)
        case "average":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case "flatten":
            return nn.Flatten()
        case "linear" | "output":
            return nn.Linear(received[0], layer.width or classes, bias=bias)
        case "log-softmax":
            return nn.LogSoftmax(dim=1)
        case _:
            return modules.Positions(layer.kind.split()[1])


def shapes(texts, shape: tuple[int, ...], classes: int) -> list[tuple[int, ...]]:
    """The output shape of every layer of a listing for images of `shape` (channels, height, width).

    InputError, naming the layer, where nothing is left of the image, or a layer does not fit what it receives.
    """
    made = []
    for number, text in enumerate(texts, 1):
        layer = parse(text)
        flat = layer.kind in ("linear", "output", "log-softmax")
        if flat != (len(shape) == 1):
            kind = "a vector" if len(shape) == 1 else "maps"
            raise InputError(f"layers: {text!r}, number {number}: receives {kind}; flatten or average goes between")
        if layer.kind in ("conv", "pool"):
            sides = [(side - layer.kernel) // layer.stride + 1 for side in shape[1:]]
            if min(sides) < 1:
                received = "x".join(map(str, shape[1:]))
                raise InputError(f"layers: {text!r}, number {number}: nothing is left of {received} pixels")
            shape = (layer.width or shape[0], *sides)
        elif layer.kind == "pad":
            shape = (shape[0], *(side + 2 * layer.kernel for side in shape[1:]))
        elif layer.kind == "average":
            shape = (shape[0],)
        elif layer.kind == "flatten":
            shape = (math.prod(shape),)
        elif layer.kind in ("linear", "output"):
            shape = (layer.width or classes,)
        made.append(shape)
    return made
