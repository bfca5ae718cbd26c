"""Images that a user gives to a trained net: a named set, a folder, an .npz file, a pickle of arrays.

No code in a file runs: pickles go through an unpickler that knows numpy arrays only, .npz files are read without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbhelpers import data as datasets
from nbhelpers import readers
from nbhelpers.download import DataError

IMAGES = ("images", "data", "x")  # the names under which a file may hold them
LABELS = ("labels", "fine_labels", "y")


@dataclass(frozen=True)
class Given:
    """Images (N, H, W, C) uint8 and, where they are known, their labels (N,) int64; and what was read, as a line."""

    images: np.ndarray
    labels: np.ndarray | None
    said: str
    names: tuple[str, ...] | None = None  # of the files, where each image is one


def read(source: str, shape: Sequence[int], class_names: Sequence[str]) -> Given:
    """The images of `source` for a net that takes images of `shape` (C, H, W) and knows `class_names`.

    A named set or "folder:PATH" with train and test: its test images. A folder of class folders, or of images. An
    .npz or pickle file with an array of bytes: (N, H, W, C), (N, C, H, W), or flat rows, of which the order (channel
    by channel, or pixel by pixel) is found out. DataError, one line, for anything else.
    """
    path = Path(source).expanduser()
    if source in datasets.names() or source.startswith("folder:"):
        return _named(source, shape, class_names)
    if path.is_dir():
        return _folder(path, shape, class_names)
    if not path.is_file():
        raise DataError(f"{source}: is no file, no folder, and none of {', '.join(datasets.names())}")
    held = _npz(path) if path.suffix == ".npz" else _pickle(path)
    name = next((name for name in IMAGES if name in held), None)
    if name is None:
        raise DataError(f"{path}: has no array named {', '.join(IMAGES)}, but {', '.join(map(str, held)) or 'nothing'}")
    images, layout = arranged(path, np.asarray(held[name]), shape)
    if not len(images):
        raise DataError(f"{path}: holds no images")
    labels = next((np.asarray(held[name]) for name in LABELS if name in held), None)
    if labels is not None:
        labels = _checked(path, labels, len(images), len(class_names))
    return Given(
        images, labels, f"{path.name}: {len(images):,} images, {layout}{'' if labels is None else ', labelled'}"
    )


def _checked(path: Path, labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    whole = labels.dtype.kind in "iu" and labels.shape == (count,)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{path}: labels: must be {count} whole numbers from 0 to {classes - 1}")
    return labels.astype(np.int64)


def _named(name: str, shape: Sequence[int], class_names: Sequence[str]) -> Given:
    official = name in datasets.names() and name != "shapes" and shape[1] == datasets.describe(name)[0][1]
    whole = datasets.load(name, size=None if official else shape[1])
    if tuple(whole.class_names[: len(class_names)]) != tuple(class_names):
        raise DataError(f"{name}: its classes are not those of the net: {', '.join(class_names[:5])} ...")
    mine = whole.test_labels < len(class_names)
    images, labels = whole.test_images[mine], whole.test_labels[mine]
    if images.shape[-1] != shape[0]:
        raise DataError(f"{name}: its images have {images.shape[-1]} channels, the net takes {shape[0]}")
    return Given(images, labels, f"{name}: {len(images):,} test images, labelled")


def _folder(path: Path, shape: Sequence[int], class_names: Sequence[str]) -> Given:
    if any(each.is_dir() and not each.name.startswith(".") for each in path.iterdir()):
        images, labels = readers.labelled_folder(path, list(class_names), shape[1], shape[0])
        return Given(images, labels, f"{path.name}: {len(images):,} images in class folders")
    images, names = readers.unlabelled_folder(path, shape[1], shape[0])
    return Given(images, None, f"{path.name}: {len(images):,} images, by name", names)


def _npz(path: Path) -> dict[str, Any]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: not a readable .npz file ({' '.join(str(error).split())})") from None


def _pickle(path: Path) -> dict[str, Any]:
    try:
        found = readers.Arrays.loads(path.read_bytes())
    except Exception as error:  # a damaged or forged pickle fails in any way it likes
        raise DataError(f"{path}: not a pickle of arrays alone ({' '.join(str(error).split())})") from None
    if not isinstance(found, Mapping):
        raise DataError(f"{path}: must hold a dict with the images, not {type(found).__name__}")
    return {name.decode("latin1") if isinstance(name, bytes) else name: value for name, value in found.items()}


def arranged(path: Path, array: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, str]:
    """The images (N, H, W, C) in `array`, and in which layout they were. DataError where they are not of `shape`."""
    channels, height, width = shape
    if array.dtype != np.uint8:
        raise DataError(f"{path}: the images must be bytes (uint8), not {array.dtype}")
    if array.shape[1:] == (height, width, channels):
        return array, "(images, height, width, channels)"
    if array.shape[1:] == (channels, height, width):
        return array.transpose(0, 2, 3, 1), "(images, channels, height, width)"
    if array.ndim == 2 and array.shape[1] == channels * height * width:
        planes = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        pixels = array.reshape(-1, height, width, channels)
        if _roughness(planes) <= _roughness(pixels):
            return planes, "flat rows, channel by channel"
        return pixels, "flat rows, pixel by pixel"
    wanted = f"{height}x{width} pixels with {channels} channels"
    raise DataError(f"{path}: the images have the shape {array.shape[1:]}, the net takes {wanted}")


def _roughness(images: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels: pictures are smooth, pictures in a wrong order are not."""
    part = images[:500].astype(np.int16)
    return float(np.abs(np.diff(part, axis=1)).mean() + np.abs(np.diff(part, axis=2)).mean())
