"""How a net behaves: under a shift of the image by one pixel, and in time."""

import time
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers.models import layers
from nbhelpers.probes.registry import first_images, probe
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import layout

REPEATS = 9


@probe("changed_by_a_shift@1", at=("final",))
def changed_by_a_shift(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """The share of test images (per cent) that get another class when they move one pixel down and to the right.

    At the edges that come free the outermost pixels are repeated.
    """
    model.eval()
    moved = F.pad(test.images, (1, 0, 1, 0), mode="replicate")[:, :, :-1, :-1]
    with torch.inference_mode():
        changed = sum(
            (model(a.clone()).argmax(1) != model(b.clone()).argmax(1)).sum().item()
            for a, b in zip(test.images.split(recipe.test_batch_size), moved.split(recipe.test_batch_size), strict=True)
        )
    return {"changed": 100 * changed / len(test)}


@probe("inference_time@1", at=("final",))
def inference_time(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Milliseconds of wall time that the net takes for one image, in batches of at most 256: the median of 9."""
    model.eval()
    part = first_images(train, 256)
    images = part.images.contiguous(memory_format=layout(model))
    with torch.inference_mode():
        seconds = [_timed(lambda: model(images.clone()), images.device) for _ in range(REPEATS + 2)][2:]
    return {"milliseconds": 1000 * median(seconds) / len(part)}


@probe("activation_time@1", at=("initial",))
def activation_time(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Activation -> nanoseconds for each number, forward and backward, of 2**18 numbers: the median of 9 rounds.

    In every round each activation has its turn, so that a slow moment of the machine strikes all alike.
    """
    generator, device = torch.Generator().manual_seed(0), train.labels.device
    x = torch.randn(2**18, generator=generator).to(device).requires_grad_()
    made = {name: layers.activation(name, inplace=False).to(device) for name in ("relu", "sigmoid", "tanh", "gelu")}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(REPEATS + 2):
        for name, activation in made.items():
            seconds[name].append(_timed(lambda f=activation: f(x).sum().backward(), device))
    return {name: 1e9 * median(values[2:]) / x.numel() for name, values in seconds.items()}


def _timed(function, device: torch.device) -> float:
    """Seconds of wall time of one call; on a GPU until it is done."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
