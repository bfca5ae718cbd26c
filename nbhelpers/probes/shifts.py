"""Accuracy on test images that differ from the training images in a known way."""

import torch
from torch import nn

from nbhelpers import shifts, tensors
from nbhelpers.probes.registry import probe
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate, layout

MOST = 1000  # test images, evenly spread over the classes: 26 evaluations of all would cost more than the training
OTHER_MEAN, OTHER_STD = (0.513, 0.497, 0.462), (0.263, 0.260, 0.273)


@probe("shifted_accuracy@1", at=("final",))
def shifted_accuracy(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """ "KIND SEVERITY" -> test accuracy (per cent) on up to 1,000 test images with that shift; "none 0" without one.

    "other normalisation" is the accuracy without a shift where the images are normalised with the mean and standard
    deviation that the original ResNet notebook (`ResNetFinal.ipynb`) took for its custom test set: not those of its
    training. Left out where images have other than three channels.
    """
    index = torch.linspace(0, len(test) - 1, min(MOST, len(test))).long()
    kept, labels = test.images.cpu()[index], test.labels.cpu()[index]
    mean, std = (torch.tensor(v or d).view(-1, 1, 1) for v, d in ((train.mean, [0.0]), (train.std, [1.0])))
    pixels = ((kept * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def accuracy(images: torch.Tensor, mean, std) -> float:
        normal = Images(tensors.normalise(images, mean, std), labels, test.classes)
        return evaluate(model, normal.to(test.labels.device, layout(model)), recipe.test_batch_size).accuracy

    found = {"none 0": accuracy(pixels, train.mean, train.std)}
    for kind in shifts.KINDS:
        for severity in shifts.SEVERITIES:
            moved = shifts.shifted(pixels, kind, severity)
            found[f"{kind} {severity}"] = accuracy(moved, train.mean, train.std)
    if pixels.shape[1] == 3:
        found["other normalisation"] = accuracy(pixels, OTHER_MEAN, OTHER_STD)
    return found
