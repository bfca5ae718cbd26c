"""Augmentation of training batches: each image its own draw, from the run's stream for the epoch.

Crop and flip are one gather over a whole batch, centre crop and rotation work on whole batches too. AutoAugment and
erasing are torchvision's, image by image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nbhelpers.errors import InputError
from nbhelpers.run import AUGMENTATIONS
from nbhelpers.spec import arguments
from nbhelpers.streams import seed_of, stream


class Augmenter:
    """The draws of one epoch for `count` images in the order in which they are taken.

    names: checked values of the field `augment` of Data. mean, std: what the images were normalised with, which
    AutoAugment must undo for a while. device: where the images lie, and hence the draws: a GPU that is sent some with
    each batch would stop for them.
    """

    def __init__(self, names: Sequence[Any], count: int, seed: int, epoch: int, mean=None, std=None, device="cpu"):
        self.given = dict(arguments(name, AUGMENTATIONS) for name in names)
        draws = stream(seed, f"augment/{epoch}")
        padding = self.given.get("crop", {"padding": 0})["padding"]
        self.shifts = torch.from_numpy(draws.randint(-padding, padding + 1, (count, 2))).to(device)
        flips = draws.randint(0, 2, count) if "flip" in self.given else np.zeros(count, np.int64)
        self.flips = torch.from_numpy(flips).bool().to(device)
        share = self.given.get("center_crop", {"share": 0.0})["share"]
        self.cropped = torch.from_numpy(draws.random_sample(count) < share) if share else None  # on the CPU: it chooses
        degrees = self.given.get("rotation", {"degrees": 0.0})["degrees"]
        angles = draws.uniform(-degrees, degrees, count if degrees else 0)
        self.angles = torch.from_numpy(np.radians(angles)).to(device) if degrees else None
        self.seeds = [seed_of(seed, f"augment/{epoch}/{i}") for i in range(count)] if self._by_image() else []
        self.mean, self.std = mean, std

    def _by_image(self) -> bool:
        return bool(self.given.keys() & {"autoaugment", "erasing"})

    def batch(self, images: Tensor, index: Tensor, start: int) -> Tensor:
        """The images (N, C, H, W) at `index` (B,), taken as number `start` and on, augmented: (B, C, H, W)."""
        _, _, height, width = images.shape
        taken = slice(start, start + len(index))
        down, right = self.shifts[taken].unbind(1)
        flip = self.flips[taken]
        rows = _reflected(torch.arange(height, device=index.device) + down[:, None], height)
        columns = _reflected(torch.arange(width, device=index.device) + right[:, None], width)
        columns = torch.where(flip[:, None], columns.flip(1), columns)
        pixels = images.permute(0, 2, 3, 1)  # channels last: a pixel's channels are gathered together
        chosen = pixels[index[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        if self.cropped is not None:
            chosen = self._enlarged(chosen, self.cropped[taken].nonzero()[:, 0].to(index.device))
        if self.angles is not None:
            chosen = self._rotated(chosen, self.angles[taken])
        return self._each(chosen, start) if self._by_image() else chosen

    def _enlarged(self, images: Tensor, which: Tensor) -> Tensor:
        """The middle of the images numbered `which`, enlarged to the whole with bilinear interpolation."""
        size, (height, width) = self.given["center_crop"]["size"], images.shape[2:]
        if not len(which):
            return images
        if size > min(height, width):
            raise InputError(f"center_crop: size {size}: the images have {height}x{width} pixels")
        top, left = (height - size) // 2, (width - size) // 2
        middle = images[which, :, top : top + size, left : left + size]
        images[which] = F.interpolate(middle, (height, width), mode="bilinear", align_corners=False)
        return images

    def _rotated(self, images: Tensor, angles: Tensor) -> Tensor:
        """Each image turned about its centre by its angle (B,) in radians: the nearest pixel, black from outside."""
        height, width = images.shape[2:]
        cos, sin = angles.cos(), angles.sin()
        ratio, zero = height / width, torch.zeros_like(cos)  # grid coordinates go from -1 to 1 along either side
        turn = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).view(-1, 2, 3).to(images.dtype)
        grid = F.affine_grid(turn, list(images.shape), align_corners=False)
        mean, std = self._scale(images)
        black = -mean / std  # what a pixel of value 0 is after normalisation
        return F.grid_sample(images - black, grid, mode="nearest", align_corners=False) + black

    def _each(self, images: Tensor, start: int) -> Tensor:
        from torchvision.transforms import v2

        made = []
        erase = v2.RandomErasing(self.given["erasing"]["share"]) if "erasing" in self.given else None
        policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10) if "autoaugment" in self.given else None
        with torch.random.fork_rng(devices=[]):
            for i, image in enumerate(images):
                torch.manual_seed(self.seeds[start + i])
                if policy:
                    image = self._normal(policy(self._bytes(image)), image)
                made.append(erase(image) if erase else image)
        return torch.stack(made).contiguous(memory_format=torch.channels_last)

    def _scale(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (
            torch.tensor(v, device=image.device)[:, None, None] for v in (self.mean or (0.0,), self.std or (1.0,))
        )
        return mean, std

    def _bytes(self, image: Tensor) -> Tensor:
        mean, std = self._scale(image)
        return ((image * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def _normal(self, image: Tensor, like: Tensor) -> Tensor:
        mean, std = self._scale(like)
        return (image.to(like.dtype) / 255 - mean) / std


def _reflected(position: Tensor, size: int) -> Tensor:
    """Positions beyond the edges mirrored at the edge pixels, as in "reflect" padding."""
    position = position.abs()
    return torch.where(position >= size, 2 * (size - 1) - position, position)
