"""Probes: measurements on a model, at initialisation and at the end of a run.

A probe is a pure function (model, train, test, recipe) -> plain JSON values. It gets a copy of the model
and leaves weights, buffers and random streams of the run as they were. It is named ``name@version``:
a changed measurement is a new version, and a record that lacks it stays complete.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers.errors import InputError
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate, layout

Probe = Callable[[nn.Module, Images, Images, Recipe], Any]
_PROBES: dict[str, tuple[Probe, tuple[str, ...]]] = {}


def probe(name: str, at: tuple[str, ...] = ("initial", "final")) -> Callable[[Probe], Probe]:
    """Register a probe as `name` ("name@version"), to run at the given moments of a run."""

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
    """Name -> value of the probes in `names` that run at `moment` ("initial" or "final")."""
    check(tuple(names))
    result, device, memory_format = {}, train.labels.device, layout(model)
    train, test = train.to(device, memory_format), test.to(device, memory_format)
    for name in names:
        function, moments = _PROBES[name]
        if moment in moments:
            with torch.random.fork_rng():
                result[name] = function(copy.deepcopy(model), train, test, recipe)
    return result


def first_images(train: Images, count: int = 500) -> Images:
    """At most `count` training images, evenly spread over the classes."""
    index = torch.linspace(0, len(train) - 1, min(count, len(train)), device=train.labels.device).long()
    return Images(*train.batch(index), train.classes)


@probe("gradient_norms@1")
def gradient_norms(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Layer name -> Euclidean norm of the loss gradient of its weights, for the convolutional and linear layers.

    On 500 training images in one batch, in training mode (batch statistics), as a training step sees it.
    """
    part = first_images(train)
    model.train()
    F.cross_entropy(model(part.images), part.labels).backward()
    return {
        name: layer.weight.grad.norm().item()
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.weight.grad is not None
    }


@probe("activation_slopes@1")
def activation_slopes(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Activation layer name -> mean derivative f'(z) over the values z that it receives.

    On 500 training images in training mode. The logistic sigmoid's derivative is at most 1/4.
    """
    part, slopes, hooks = first_images(train), {}, []
    model.train()

    def note(name: str, layer: nn.Module):
        def hook(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            with torch.enable_grad():
                z = inputs[0].detach().clone().requires_grad_()
                # A non-inplace copy of the input, since an in-place activation may not write to a leaf.
                slope = torch.autograd.grad(layer.forward(z * 1).sum(), z)[0]
            slopes[name] = slope.mean().item()

        return hook

    for name, layer in model.named_modules():
        if type(layer).__module__.endswith(("modules.activation", "nbhelpers.models.modules")):
            hooks.append(layer.register_forward_pre_hook(note(name, layer)))
    with torch.no_grad():
        model(part.images)
    return slopes


@probe("recalibrated_batchnorm@1", at=("final",))
def recalibrated_batchnorm(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Test accuracy (per cent) and loss with the BatchNorm statistics re-estimated, weights frozen.

    The running statistics are moving averages over training, so after few steps they lag the weights.
    Here they are replaced by plain averages over one pass of the training images, in batches of the
    recipe's size.
    """
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # torch: a cumulative average instead of a moving one
    model.train()
    with torch.no_grad():
        for images in train.images.split(recipe.batch_size):
            model(images.clone())  # a view, and a first layer may work in place
    result = evaluate(model, test, recipe.test_batch_size)
    return {"test_accuracy": result.accuracy, "test_loss": result.loss}
