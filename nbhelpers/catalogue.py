"""The named data sets: where their files may lie, and what must come out of them.

The sources of a set, in this order: official files, official archive, class folders NAME/{train,test}/CLASS/
IMAGE, download. Archives are held against the published checksum; from every source the number and shape of
the images and the class names must be the published ones, so a half-copied set is refused.

Fingerprints of the official pixels: cifar10 b5b4a90001914255, mnist bb9c44f640f78e2c. Of lossless copies:
cifar100 87dd29516db4dd62; tiny-imagenet-72 316975d11e2110d2, where the JPEG decoder of Pillow has a say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbhelpers import readers
from nbhelpers.download import DataError, File, fault, fetch

_CIFAR, _S3 = "https://www.cs.toronto.edu/~kriz/", "https://ossci-datasets.s3.amazonaws.com/mnist/"
_IDX = "t10k-labels-idx1-ubyte"  # the last of the four to be downloaded: where it is, all are


@dataclass(frozen=True)
class Listed:
    """A set of `classes` classes; images are (channels, side, side), `counts` of them for training and test."""

    channels: int
    side: int
    classes: int
    counts: tuple[int, int]
    official: tuple[str, ...]  # places under the root, each enough for `read`
    read: Callable[[Path], readers.Raw]
    files: tuple[File, ...]
    class_names: tuple[str, ...] | None = None  # None: whatever wnids the files have


_TINY = (
    ("tiny-imagenet-200", "tiny-imagenet-200.zip"),
    (File("http://cs231n.stanford.edu/tiny-imagenet-200.zip", 248100043, "90528d7ca1a48142e341f4ef8d21d0de"),),
)
SETS = {
    "cifar10": Listed(
        3, 32, 10, (50000, 10000), ("cifar-10-batches-py", "cifar-10-python.tar.gz"), readers.cifar,
        (File(_CIFAR + "cifar-10-python.tar.gz", 170498071, "c58f30108f718f92721af3b95e74349a"),), readers.CIFAR10,
    ),
    "cifar100": Listed(
        3, 32, 100, (50000, 10000), ("cifar-100-python", "cifar-100-python.tar.gz"), readers.cifar,
        (File(_CIFAR + "cifar-100-python.tar.gz", 169001437, "eb9058c3a382ffc7106e4002c42a8d85"),), readers.CIFAR100,
    ),
    "mnist": Listed(
        1, 28, 10, (60000, 10000),
        (f"mnist/{_IDX}", f"mnist/{_IDX}.gz", f"MNIST/raw/{_IDX}", f"MNIST/raw/{_IDX}.gz"), readers.mnist,
        (File(_S3 + "train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
         File(_S3 + "train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
         File(_S3 + "t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
         File(_S3 + "t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c")), readers.DIGITS,
    ),
    "tiny-imagenet": Listed(
        3, 64, 200, (100000, 10000), _TINY[0], lambda path: readers.tiny_imagenet(path, 200, 500), _TINY[1]
    ),
    "tiny-imagenet-72": Listed(
        3, 64, 72, (14400, 3600), _TINY[0], lambda path: readers.tiny_imagenet(path, 72, 200), _TINY[1]
    ),
}  # fmt: skip


def source(name: str, root: Path) -> Path | None:
    """The first place under `root` that has the set, or None if it must be downloaded."""
    places = [root / place for place in SETS[name].official if (root / place).exists()]
    folder = root / name
    return next(iter(places), folder if all((folder / s).is_dir() for s in readers.SPLITS) else None)


def read(name: str, root: Path, download: bool) -> readers.Raw:
    """The images and labels of a set, downloaded into `root` if they are not there.

    Raises DataError for what is missing (with the ways to get it), damaged, or not what was published.
    """
    spec, path, reason = SETS[name], source(name, root), "downloading is off"
    if path is None and download:
        try:
            for file in spec.files:
                fetch(file, (root / spec.official[0]).parent)
            path = source(name, root)
        except DataError as error:
            reason = str(error)
    if path is None:
        raise DataError(
            f"{name}: not under {root}, and {reason}; put {spec.official[0]} or {name}/{{train,test}}/CLASS/IMAGE "
            f"there, set NBHELPERS_DATA to a folder that has it or NBHELPERS_MIRRORS to a server, or use 'shapes'"
        )
    for file in spec.files if path.is_file() else ():
        if (archive := path.parent / file.name).exists() and (reason := fault(archive, file)):
            raise DataError(f"{archive}: {reason}, expected {file.checksum}; remove it")
    raw = readers.class_folders(path, spec.channels) if path == root / name else spec.read(path)
    _check(name, path, raw)
    return raw


def _check(name: str, path: Path, raw: readers.Raw) -> None:
    spec, (splits, names) = SETS[name], raw
    odd = sorted(set(names) ^ set(spec.class_names or names))[:5]
    if odd or len(names) != spec.classes:
        hint = f", differing in {', '.join(odd)}" if odd else ""
        raise DataError(f"{path}: {name} has {spec.classes} classes, here are {len(names)}{hint}")
    for split, count in zip(readers.SPLITS, spec.counts, strict=True):
        expected, shape = (count, spec.side, spec.side, spec.channels), splits[split][0].shape
        if shape != expected:
            raise DataError(f"{path}: {split} images are {shape}, published {expected}; complete it or use folder:PATH")
