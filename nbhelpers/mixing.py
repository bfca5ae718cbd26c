"""Mixing the images of a batch, and the loss that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nbhelpers.run import MIXINGS, Recipe
from nbhelpers.spec import arguments
from nbhelpers.streams import stream


@dataclass(frozen=True)
class Targets:
    """What a batch is to be classified as: K labels per image (K, B) int64, with the weight of each (K,)."""

    labels: Tensor
    weights: Tensor

    def loss(self, logits: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of logits (B, classes) in nats: the weighted sum over the K labels."""
        parts = [F.cross_entropy(logits, y, label_smoothing=smoothing) for y in self.labels]
        return torch.stack(parts).mul(self.weights).sum()

    def hits(self, logits: Tensor) -> Tensor:
        """How many images are classified rightly; a mixed image counts by the weight of the label that is named."""
        right = (logits.argmax(1) == self.labels).sum(1)
        return (right * self.weights).sum()


class Mixer:
    """The draws of one epoch for mixing batches: `mixup` (arXiv:1710.09412) or `ricap` (arXiv:1811.09030)."""

    def __init__(self, recipe: Recipe, seed: int, epoch: int):
        self.name, self.values = arguments(recipe.mixing, MIXINGS)
        self.draws = stream(seed, f"mix/{epoch}")

    def batch(self, x: Tensor, y: Tensor) -> tuple[Tensor, Targets]:
        """Images (B, C, H, W) and labels (B,), mixed."""
        return self._mixup(x, y) if self.name == "mixup" else self._ricap(x, y)

    def _others(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.draws.permutation(len(x))).to(x.device)

    def _mixup(self, x: Tensor, y: Tensor) -> tuple[Tensor, Targets]:
        """Each image blended with another of the batch, in one proportion that is drawn for the batch."""
        share, other = self.draws.beta(*[self.values["alpha"]] * 2), self._others(x)
        weights = torch.tensor([share, 1 - share], dtype=x.dtype, device=x.device)
        return x * weights[0] + x[other] * weights[1], Targets(torch.stack([y, y[other]]), weights)

    def _ricap(self, x: Tensor, y: Tensor) -> tuple[Tensor, Targets]:
        """Four images of the batch cropped at random and put together around a point that is drawn for the batch."""
        height, width = x.shape[2:]
        across, down = (int(np.round(side * self.draws.beta(*[self.values["beta"]] * 2))) for side in (width, height))
        made, labels, areas = torch.empty_like(x), [], []
        for top, left, h, w in (
            (0, 0, down, across),
            (0, across, down, width - across),
            (down, 0, height - down, across),
            (down, across, height - down, width - across),
        ):
            other = self._others(x)
            row, column = self.draws.randint(0, height - h + 1), self.draws.randint(0, width - w + 1)
            made[:, :, top : top + h, left : left + w] = x[other, :, row : row + h, column : column + w]
            labels.append(y[other])
            areas.append(h * w / (height * width))
        return made, Targets(torch.stack(labels), torch.tensor(areas, dtype=x.dtype, device=x.device))
