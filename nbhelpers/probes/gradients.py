"""What a gradient meets: its norm in each layer, slopes of activations, dead units, sharpness, the rectifiers' gain."""

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nbhelpers import gain
from nbhelpers.models.modules import ScaledReLU
from nbhelpers.models.residual import Block
from nbhelpers.probes.registry import activations_of, first_images, probe
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images


@probe("gradient_norms@1")
def gradient_norms(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Layer name -> Euclidean norm of the loss gradient of its weights, for the convolutional and linear layers.

    On 500 training images in one batch, in training mode (batch statistics), as a training step sees it.
    """
    part = first_images(train)
    model.train()
    # What is inside of a residual block is computed twice, and kept for one block at a time: a deep net's activations
    # of 500 images are over 10 GB. The gradient is the same.
    for block in (layer for layer in model.modules() if isinstance(layer, Block)):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    F.cross_entropy(model(part.images), part.labels).backward()
    return {
        name: layer.weight.grad.norm().item()
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.weight.grad is not None
    }


@probe("gradient_norms_by_epoch@1", at=("initial", "epoch"))
def gradient_norms_by_epoch(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """`gradient_norms` at the start and after every epoch."""
    return gradient_norms(model, train, test, recipe)


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

    for name, layer in activations_of(model):
        hooks.append(layer.register_forward_pre_hook(note(name, layer)))
    with torch.no_grad():
        model(part.images)
    return slopes


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


@probe("constant_units@1")
def constant_units(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Activation layer -> share (per cent) of its units that say the same about all of 500 training images.

    A unit is an output of a layer on flat vectors, a channel of one on images. It counts where its values differ by
    less than a thousandth of what those of the layer's most varied unit do: a dead rectifier, a sigmoid that is
    saturated everywhere. For rectifiers it is `dead_units_by_epoch`, for any activation.
    """
    part, result = first_images(train), {}

    def note(name: str):
        def hook(_layer: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            units = output.detach().transpose(0, 1).flatten(1)
            varied = units.amax(1) - units.amin(1)
            result[name] = 100 * (varied <= varied.max() / 1000).double().mean().item()

        return hook

    for name, layer in activations_of(model):
        layer.register_forward_hook(note(name))
    model.train()
    with torch.no_grad():
        model(part.images.clone())  # an activation that comes first may work in place
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


@probe("equal_gain@2", at=("initial",))
def equal_gain(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """How far plain-ReLU twins of a scaled MLP come from it over 200 float64 steps with the recipe's learning rate.

    The largest relative difference of their losses, for three choices of step sizes (`gain.compare`), and how long
    the right one follows (`gain.followed`), which version 1 did not measure.
    """
    part = first_images(train, 2000)
    return gain.compare(model, part, recipe.lr) | gain.followed(model, part, recipe.lr)
