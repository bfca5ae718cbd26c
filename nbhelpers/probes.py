"""Probes: measurements on a model at the start of a run, at its end, or after every epoch.

A probe is a pure function (model, train, test, recipe) -> plain JSON values. It gets a copy of the model
and leaves weights, buffers and random streams of the run as they were. It is named ``name@version``:
a changed measurement is a new version, and a record that lacks it stays complete.
"""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import gain
from nbhelpers.errors import InputError
from nbhelpers.models.modules import ScaledReLU
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate, layout

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


@probe("recalibrated_batchnorm@2", at=("final",))
def recalibrated_batchnorm(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Test accuracy (per cent) and loss with the BatchNorm statistics re-estimated, weights frozen.

    The running statistics are moving averages over training, so after few steps they lag the weights, and
    with small batches they are those of small batches. Here they are replaced by plain averages over one pass
    of the training images in shuffled batches of about 512 ("PreciseBN": Wu and Johnson, arXiv:2105.07576).
    Version 1 took the images class by class, whose batches lack the variance between classes.
    """
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # torch: a cumulative average instead of a moving one
    model.train()
    with torch.no_grad():
        for images, _ in shuffled(train, math.ceil(len(train) / math.ceil(len(train) / 512))):
            model(images)
    result = evaluate(model, test, recipe.test_batch_size)
    return {"test_accuracy": result.accuracy, "test_loss": result.loss}


@probe("batch_mode_accuracy@1", at=("final",))
def batch_mode_accuracy(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Test accuracy (per cent) in training mode: each shuffled batch of test images, of the size that the net was
    trained with, is normalised by its own statistics, as in training. The images of a last, smaller batch are left out.
    """
    model.train()
    size = min(recipe.batch_size, len(test))
    with torch.no_grad():
        hits = [(model(x).argmax(1) == y).sum() for x, y in shuffled(test, size) if len(y) == size]
    return {"test_accuracy": 100 * torch.stack(hits).sum().item() / (size * len(hits))}


@probe("batch_statistics@1", at=("initial",))
def batch_statistics(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """How much the mean and the variance of a batch vary from batch to batch, where norms receive them.

    In 1,000 random batches of the recipe's size (drawn with replacement from 500 training images, in training mode):
    the sd of the batch mean in units of the standard deviation of all values, and the sd of the batch variance
    relative to their variance, averaged over the channels of all norm layers (but constant ones). "predicted" is what
    independent images give: the sd of one image's contribution over the square root of the batch size.
    """
    inputs = _inputs(model, first_images(train), (nn.BatchNorm2d, nn.GroupNorm))
    generator = torch.Generator().manual_seed(0)
    rows = []
    for values in inputs.values():
        means = values.double().mean((2, 3)).cpu()  # (images, channels): each image's part of a batch's moments
        squares = values.double().square().mean((2, 3)).cpu()
        mean = means.mean(0)
        variance = squares.mean(0) - mean**2
        drawn = torch.randint(len(means), (1000, recipe.batch_size), generator=generator)
        batch_mean = means[drawn].mean(1)
        batch_variance = squares[drawn].mean(1) - batch_mean**2
        first_order = squares - 2 * mean * means  # of an image, in the batch variance
        root = math.sqrt(recipe.batch_size)
        found = {
            "mean": batch_mean.std(0) / variance.sqrt(),
            "mean, predicted": means.std(0) / variance.sqrt() / root,
            "variance": batch_variance.std(0) / variance,
            "variance, predicted": first_order.std(0) / variance / root,
        }
        rows.append(found)
    return {name: torch.cat([row[name] for row in rows]).nanmean().item() for name in rows[0]} if rows else {}


@probe("input_zeros@1")
def input_zeros(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> share (per cent) of zeros among the values that it receives, of 500 images in training mode."""
    inputs = _inputs(model, first_images(train), nn.Conv2d)
    return {name: 100 * (values == 0).double().mean().item() for name, values in inputs.items()}


@probe("input_means@1")
def input_means(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> mean of the values that it receives over their sd, of 500 training images in training mode."""
    inputs = _inputs(model, first_images(train), nn.Conv2d)
    return {name: (values.double().mean() / values.double().std()).item() for name, values in inputs.items()}


@probe("input_skews@1")
def input_skews(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> skewness (third standardised moment) of the values that it receives, as for `input_means`."""
    result = {}
    for name, values in _inputs(model, first_images(train), nn.Conv2d).items():
        centred = values.double() - values.double().mean()
        result[name] = (centred.pow(3).mean() / centred.square().mean().pow(1.5)).item()
    return result


@probe("gradient_norms_by_epoch@1", at=("initial", "epoch"))
def gradient_norms_by_epoch(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """`gradient_norms` at the start and after every epoch."""
    return gradient_norms(model, train, test, recipe)


@probe("dead_units_by_epoch@1", at=("initial", "epoch"))
def dead_units_by_epoch(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Rectifier layer -> share (per cent) of its units that are positive for none of 500 training images.

    A unit is an output of a layer on flat vectors, a channel of one on images. No gradient reaches its weights.
    """
    part, result = first_images(train), {}

    def note(name: str):
        def hook(_layer: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            alive = (output > 0).any(0)
            result[name] = 100 * (~alive.flatten(1).any(1) if alive.dim() > 1 else ~alive).double().mean().item()

        return hook

    hooked = [(n, layer) for n, layer in model.named_modules() if isinstance(layer, (nn.ReLU, ScaledReLU))]
    for name, layer in hooked:
        layer.register_forward_hook(note(name))
    model.train()
    with torch.no_grad():
        model(part.images)
    return result


@probe("sharpness@1", at=("initial",))
def sharpness(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """The largest eigenvalue of the Hessian of the training loss, by 30 power iterations, on 500 training images.

    Gradient descent with a learning rate above 2 / sharpness moves away along that direction: the bound for a
    quadratic function.
    """
    part = first_images(train)
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(F.cross_entropy(model(part.images), part.labels), weights, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(w.shape, generator=generator).to(w.device) for w in weights]

    def largest(shift: float) -> float:
        """The eigenvalue of largest magnitude of the Hessian plus `shift` on its diagonal, without the shift."""
        vector, value = start, math.nan
        for _ in range(30):
            norm = torch.sqrt(sum(v.double().square().sum() for v in vector))
            vector = [(v / norm).to(v.dtype) for v in vector]
            product = torch.autograd.grad(gradient, weights, grad_outputs=vector, retain_graph=True)
            value = sum((v.double() * p.double()).sum() for v, p in zip(vector, product, strict=True)).item()
            vector = [p.detach() + shift * v for v, p in zip(vector, product, strict=True)]
        return value

    found = largest(0.0)
    return {"sharpness": found if found >= 0 else largest(-found)}


@probe("equal_gain@1", at=("initial",))
def equal_gain(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """How far plain-ReLU twins of a scaled MLP come from it over 200 float64 steps with the recipe's learning rate.

    The largest relative difference of their losses, for three choices of step sizes: `gain.compare`.
    """
    return gain.compare(model, first_images(train, 2000), recipe.lr)


def shuffled(part: Images, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of `size` in one fixed random order: images lie class by class, and a batch of one class is no batch."""
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0)).to(part.labels.device)
    return map(part.batch, order.split(size))


def _inputs(model: nn.Module, part: Images, kinds: type | tuple[type, ...]) -> dict[str, torch.Tensor]:
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
