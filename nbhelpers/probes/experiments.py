"""Small experiments with the net of a run before it is trained: each trains copies of it for a question of its own."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from nbhelpers.models.initialise import initialise
from nbhelpers.probes.registry import probe
from nbhelpers.run import Recipe
from nbhelpers.streams import stream
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate, fit, layout

FEW = 20  # images of each class to learn a new task from
MARKS = (2, 4, 8)  # pixels


def _fitted(net: nn.Module, train: Images, recipe: Recipe, **changes) -> nn.Module:
    """`net` after training by `recipe`, with `changes` to it, on the device of the images; without augmentation."""
    own = Recipe(**dict(recipe) | {"evaluate": "end", "stop_after": None} | changes)
    fit(net, train, recipe=own, device=train.labels.device)
    return net


def _accuracy(net: nn.Module, test: Images, recipe: Recipe) -> float:
    memory_format = layout(net)
    return evaluate(net, test.to(test.labels.device, memory_format), recipe.test_batch_size).accuracy


def _changed(part: Images, change: Callable[[torch.Tensor], torch.Tensor], labels=None, classes=None) -> Images:
    images = change(part.images)
    return Images(images, part.labels if labels is None else labels, classes or part.classes)


@probe("transfer@1", at=("initial",))
def transfer(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Number of frozen blocks -> test accuracy (per cent) on new classes, of 20 training images each.

    The net learns the first half of the classes. Then its first k blocks (the children named block1, block2 ...) stay
    as they are, what follows starts anew, and learns the other classes: 0 is a net from the start (Yosinski et al.,
    arXiv:1411.1792). The second training has 20 passes, the first one those of the recipe.
    """
    half = train.classes // 2
    old = train.labels < half
    source = Images(train.images[old], train.labels[old], train.classes)
    trained = _fitted(model, source, recipe).eval()
    few = torch.cat([(train.labels == label).nonzero()[:FEW, 0] for label in range(half, train.classes)])
    parts = [Images(train.images[few], train.labels[few] - half, train.classes - half)]
    new = test.labels >= half
    parts.append(Images(test.images[new], test.labels[new] - half, train.classes - half))
    blocks = sum(name.startswith("block") for name, _ in trained.named_children())
    result = {}
    for frozen in range(blocks + 1):
        kept, rest = trained[:frozen], initialise(copy.deepcopy(trained[frozen:]), 1)
        for layer in rest.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.reset_running_stats()
                layer.reset_parameters()
        with torch.no_grad():
            learnt, held = (_changed(part, lambda x, kept=kept: kept(x.clone()).detach()) for part in parts)
        result[str(frozen)] = _accuracy(
            _fitted(rest, learnt, recipe, epochs=20, warmup=0, steps_per_epoch=None), held, recipe
        )
    return result


@probe("fine_detail@1", at=("initial",))
def fine_detail(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Length of a mark in pixels -> accuracy (per cent) of telling on test images whether it lies or stands.

    Every image gets one mark, one pixel wide and as bright as the brightest pixel of all, at a random place: lying for
    one half of the images, standing for the other. A copy of the net learns to tell them apart by the recipe.
    """
    result = {}
    for length in MARKS:
        parts = [_marked(part, length, name) for part, name in ((train, "train"), (test, "test"))]
        result[str(length)] = _accuracy(_fitted(copy.deepcopy(model), parts[0], recipe), parts[1], recipe)
    return result


def _marked(part: Images, length: int, name: str) -> Images:
    draws, (height, width) = stream(0, f"mark/{name}/{length}"), part.images.shape[2:]
    lies = draws.permutation(len(part)) % 2
    rows, columns = (draws.randint(0, side - length + 1, len(part)) for side in (height, width))
    images, brightest = part.images.clone(), part.images.amax()
    for i, (lying, row, column) in enumerate(zip(lies, rows, columns, strict=True)):
        down, right = (1, length) if lying else (length, 1)
        images[i, :, row : row + down, column : column + right] = brightest
    return Images(images, torch.from_numpy(lies).to(part.labels), part.classes)


@probe("background_channel@1", at=("initial",))
def background_channel(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict:
    """What a 1x1 convolution before the net makes of a channel of noise that is added to the images.

    The noise has three times the images' standard deviation and tells nothing of the class. Returns the weights of the
    1x1 convolution (outputs, inputs; the noise comes last) before and after training by the recipe with a weight decay
    of 0.01, and the test accuracy (per cent) with the noise, and without it and the convolution.
    """
    channels = train.images.shape[1]
    front = initialise(nn.Sequential(nn.Conv2d(channels + 1, channels + 1, 1, bias=False)), 0)
    back = initialise(nn.Sequential(nn.Conv2d(channels + 1, channels, 1, bias=False)), 1)
    net = nn.Sequential(front, nn.ReLU(), back, copy.deepcopy(model)).to(train.labels.device)
    before = front[0].weight.detach()[:, :, 0, 0].clone()
    noisy = [_with_noise(part, name) for part, name in ((train, "train"), (test, "test"))]
    _fitted(net, noisy[0], recipe, weight_decay=0.01)
    alone = _accuracy(_fitted(copy.deepcopy(model), train, recipe), test, recipe)
    after = front[0].weight.detach()[:, :, 0, 0]
    rounded = [[[round(v, 5) for v in row] for row in w.tolist()] for w in (before.cpu(), after.cpu())]
    return {
        "before": rounded[0],
        "after": rounded[1],
        "accuracy": _accuracy(net, noisy[1], recipe),
        "accuracy without": alone,
    }


def _with_noise(part: Images, name: str) -> Images:
    n, _, height, width = part.images.shape
    drawn = torch.from_numpy(stream(0, f"background/{name}").standard_normal((n, 1, height, width)))
    noise = 3 * part.images.std() * drawn.to(part.images)
    return _changed(part, lambda x: torch.cat([x, noise], 1))
