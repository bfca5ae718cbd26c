"""Data sets as tensors in memory: the subset of a run, normalised, and its batches by index."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nbhelpers import data as datasets
from nbhelpers.run import Data
from nbhelpers.streams import stream


@dataclass(frozen=True)
class Images:
    """Normalised images (N, C, H, W) float32 and labels (N,) int64, both on one device.

    augment: how the training loop augments them; mean and std: what they were normalised with.
    """

    images: Tensor
    labels: Tensor
    classes: int
    augment: tuple = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The images and labels at `index` (B,), in the memory format that the whole has."""
        images = self.images
        if images.is_contiguous():
            images = images.index_select(0, index)
        else:  # index_select returns its result contiguous: gather rows of (H, W, C) instead
            images = images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
        return images, self.labels.index_select(0, index)

    def to(self, device: torch.device, memory_format: torch.memory_format) -> "Images":
        """The same on `device` in `memory_format`."""
        images = self.images.to(device, memory_format=memory_format)
        return replace(self, images=images, labels=self.labels.to(device))


def load(spec: Data, seed: int) -> tuple[Images, Images, datasets.Dataset]:
    """Training images, test images and the whole data set of `spec`, for a run with `seed`."""
    whole = datasets.load(spec.name, size=spec.size, classes=spec.classes)
    classes = len(whole.class_names)
    subset_seed = seed if spec.subset_seed is None else spec.subset_seed
    splits = {
        "train": (whole.train_images, whole.train_labels),
        "test": (whole.test_images, whole.test_labels),
    }
    spare = _spare(spec)
    train = subset(whole.train_labels, classes, spec.per_class, "train", subset_seed, spare)
    if spec.test_from == "train":
        test = held_out(whole.train_labels, classes, spare, subset_seed)
    elif spec.test_from == "seen":
        test = train
    else:
        test = subset(whole.test_labels, classes, spec.test_per_class, "test", 0)
    train = _images(*splits["train"], train, classes, spec)
    tested = splits["test" if spec.test_from == "test" else "train"]
    test = _images(*tested, test, classes, spec, tested=True)
    return replace(train, augment=spec.augment, mean=spec.mean, std=spec.std), test, whole


def validation(spec: Data, seed: int) -> Images | None:
    """The validation images of `spec`, for a run with `seed`; None where it holds out none."""
    if spec.validation_per_class is None:
        return None
    whole = datasets.load(spec.name, size=spec.size, classes=spec.classes)
    classes, subset_seed = len(whole.class_names), seed if spec.subset_seed is None else spec.subset_seed
    index = held_out(whole.train_labels, classes, spec.validation_per_class, subset_seed)
    return _images(whole.train_images, whole.train_labels, index, classes, spec)


def _spare(spec: Data) -> int:
    """How many training images of each class are held out."""
    return (spec.test_per_class if spec.test_from == "train" else spec.validation_per_class) or 0


def subset(
    labels: np.ndarray, classes: int, per_class: int | None, split: str, seed: int, spare: int = 0
) -> np.ndarray:
    """Sorted positions of `per_class` images of each class, drawn at random; all for None.

    The first k of a permutation per class, so a smaller subset lies inside a larger one; its last `spare` ones are
    left for `held_out`. Raises DataError where a class has too few images.
    """
    if per_class is None and not spare:
        return np.arange(len(labels))
    chosen = []
    for label in range(classes):
        positions = np.flatnonzero(labels == label)
        if len(positions) < (per_class or 1) + spare:
            others = f" and {spare} others to validate on" if spare else ""
            raise datasets.DataError(
                f"per_class: {per_class}{others}: class {label} of the {split} split has only {len(positions)} images"
            )
        shuffled = stream(seed, f"subset/{split}/{label}").permutation(positions)
        chosen.append(shuffled[: len(positions) - spare][:per_class])
    return np.sort(np.concatenate(chosen))


def held_out(labels: np.ndarray, classes: int, count: int, seed: int) -> np.ndarray:
    """Sorted positions of `count` training images of each class that `subset` leaves with `spare=count`."""
    drawn = [
        stream(seed, f"subset/train/{label}").permutation(np.flatnonzero(labels == label)) for label in range(classes)
    ]
    return np.sort(np.concatenate([shuffled[-count:] for shuffled in drawn]))


def _images(
    pixels: np.ndarray, labels: np.ndarray, index: np.ndarray, classes: int, spec: Data, tested: bool = False
) -> Images:
    images = torch.from_numpy(np.ascontiguousarray(pixels[index])).permute(0, 3, 1, 2)
    if spec.permutation_seed is not None:
        places = stream(spec.permutation_seed, "pixels").permutation(images.shape[2] * images.shape[3])
        images = images.flatten(2)[:, :, torch.from_numpy(places)].unflatten(2, images.shape[2:])
    mean, std = spec.mean, spec.std
    if tested:
        mean, std = spec.test_mean or mean, spec.test_std or std
    return Images(normalise(images, mean, std), torch.from_numpy(np.asarray(labels[index])).long(), classes)


def normalise(images: Tensor, mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> Tensor:
    """(x / 255 - mean) / std per channel, of uint8 images (N, C, H, W), as float32."""
    channels = images.shape[1]
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise datasets.DataError(f"{name}: {list(values)}: the images have {channels} channels")
    result = images.float().div_(255)
    if mean is not None:
        result.sub_(torch.tensor(mean).view(-1, 1, 1))
    if std is not None:
        result.div_(torch.tensor(std).view(-1, 1, 1))
    return result
