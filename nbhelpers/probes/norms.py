"""What BatchNorm estimates from batches, and what that does to the accuracy."""

import math

import torch
from torch import nn

from nbhelpers.probes.registry import first_images, inputs_of, probe, shuffled
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate


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
    inputs = inputs_of(model, first_images(train), (nn.BatchNorm2d, nn.GroupNorm))
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
