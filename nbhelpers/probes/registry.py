"""Which probes there are, and measuring with them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from nbhelpers.errors import InputError
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import layout

Probe = Callable[[nn.Module, Images, Images, Recipe], Any]
_PROBES: dict[str, tuple[Probe, tuple[str, ...]]] = {}


def probe(name: str, at: tuple[str, ...] = ("initial", "final")) -> Callable[[Probe], Probe]:
    """Register a probe as `name` ("name@version"), to run at the given moments: "initial", "epoch" (each), "final"."""

    def register(function: Probe) -> Probe:
        _PROBES[name] = (function, at)
        return function

    return register


def check(names: tuple[str, ...]) -> None:
    """Raise InputError for a name that is no probe."""
    for name in names:
        if name not in _PROBES:
            raise InputError(f"probes: {name!r}: known are {', '.join(sorted(_PROBES))}")


def measure(names, moment: str, model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, Any]:
    """Name -> value of the probes in `names` that run at `moment` ("initial", "epoch" or "final")."""
    check(tuple(names))
    result, device, memory_format = {}, train.labels.device, layout(model)
    train, test = train.to(device, memory_format), test.to(device, memory_format)
    for name in names:
        function, moments = _PROBES[name]
        if moment in moments:
            with torch.random.fork_rng():
                torch.manual_seed(0)  # a net in training mode may have dropout
                result[name] = function(copy.deepcopy(model), train, test, recipe)
    return result


def first_images(train: Images, count: int = 500) -> Images:
    """At most `count` training images, evenly spread over the classes."""
    index = torch.linspace(0, len(train) - 1, min(count, len(train)), device=train.labels.device).long()
    return Images(*train.batch(index), train.classes)


def shuffled(part: Images, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of `size` in one fixed random order: images lie class by class, and a batch of one class is no batch."""
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0)).to(part.labels.device)
    return map(part.batch, order.split(size))


def activations_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The activation layers of a model with their names: torch's and the project's."""
    homes = ("modules.activation", "nbhelpers.models.modules", "nbhelpers.models.activations")
    return ((name, layer) for name, layer in model.named_modules() if type(layer).__module__.endswith(homes))


def inputs_of(model: nn.Module, part: Images, kinds: type | tuple[type, ...]) -> dict[str, torch.Tensor]:
    """Name -> what each layer of the given kinds receives in one pass in training mode: (images, C, H, W)."""
    found: dict[str, torch.Tensor] = {}

    def note(name: str):
        def hook(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found[name] = inputs[0].detach().clone()  # a later layer may work in place

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, kinds):
            layer.register_forward_pre_hook(note(name))
    model.train()
    with torch.no_grad():
        model(part.images.clone())
    return found
