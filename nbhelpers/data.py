"""Image data sets as plain arrays, the same bytes wherever they come from.

`load(name)` returns a `Dataset` of memory-mapped uint8 arrays. Names: "cifar10", "cifar100", "mnist",
"tiny-imagenet", "tiny-imagenet-72" (the first 72 classes, training images 0-199 and all validation images),
"shapes" (drawn, never downloaded) and "folder:PATH" with PATH/{train,test}/CLASS/IMAGE.

A named set is taken, under `root()`, from the first of: its prepared copy, the official files, the official
archive, class folders NAME/{train,test}/CLASS/IMAGE, a download. Whichever it was, each split is put in
(label, sha256 of the image's pixels) order, so equal pixels give equal arrays and one fingerprint: the first
16 hex digits of the sha256 over shapes, labels and pixels of both splits. A copy saved as JPEG has other
pixels and so, honestly, another fingerprint. Number of images and class names must be the official ones.

Preparing holds a set in memory once; afterwards it is read from `root()/prepared`, or, where that cannot be
written, from the user's cache folder. The prepared copy is not checked against its source again, except for
"folder:" sets, which are prepared anew when a file's name, size or time changes. Resized variants
("cifar10@64") are squashed to a square by Pillow's bilinear filter, once, and keep the order of the original.
"""

import difflib
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from nbhelpers import catalogue, readers
from nbhelpers.catalogue import SETS
from nbhelpers.download import DataError
from nbhelpers.prepared import ARRAYS, Dataset, assemble, cached, find, fingerprint, user_cache
from nbhelpers.readers import SPLITS

__all__ = [
    "BROUGHT",
    "DataError",
    "Dataset",
    "available",
    "check",
    "describe",
    "load",
    "names",
    "per_class",
    "prepare",
    "root",
]

DRAWN = {"train": 1000, "test": 200}  # images a class of "shapes"
BROUGHT: dict[tuple, Dataset] = {}  # arguments of `load` -> what another machine sent to this process to be used


def root() -> Path:
    """The folder of all data: NBHELPERS_DATA, else "data" in the user's cache folder."""
    return Path(os.environ.get("NBHELPERS_DATA") or user_cache() / "data").expanduser().absolute()


def names() -> tuple[str, ...]:
    """The named data sets; "folder:PATH" is the other possibility."""
    return (*SETS, "shapes")


def describe(name: str, size: int | None = None, classes: int | None = None) -> tuple[tuple[int, int, int], int]:
    """The (C, H, W) of an image and the number of classes `load` would give.

    Needs no data for a named set; a "folder:" set is loaded for it. Raises DataError as `load` does.
    """
    check(name, size, classes)
    if name.startswith("folder:"):
        data = load(name, size, classes)
        height, width, channels = data.train_images.shape[1:]
        return (channels, height, width), len(data.class_names)
    if name == "shapes":
        channels, side, count = 3, 32, 10
    else:
        channels, side, count = SETS[name].channels, SETS[name].side, SETS[name].classes
    return (channels, size or side, size or side), classes or count


def per_class(name: str) -> tuple[int | None, int | None]:
    """The training and the test images of each class; None where they differ between classes, or for a folder."""
    if name == "shapes":
        return DRAWN["train"], DRAWN["test"]
    spec = SETS.get(name)
    if spec is None or name == "mnist":
        return None, None
    return spec.counts[0] // spec.classes, spec.counts[1] // spec.classes


def available(name: str) -> bool:
    """Whether `load(name)` can do without a download. Raises DataError for an unknown name."""
    check(name)
    if name.startswith("folder:"):
        return all((_folder(name) / split).is_dir() for split in SPLITS)
    return name == "shapes" or find(name, root()) is not None or catalogue.source(name, root()) is not None


def load(name: str, size: int | None = None, classes: int | None = None, download: bool = True) -> Dataset:
    """The data set, prepared on first use: images resized to size x size, the first `classes` labels only.

    Raises DataError for an unknown name, values out of range, and data that is missing (with the ways to get
    it), damaged or incomplete. Many processes may ask at once: one prepares, the others wait.
    """
    check(name, size, classes)
    if (name, size, classes) in BROUGHT:
        return BROUGHT[name, size, classes]
    key = _key(name, size, classes)
    if name == "shapes":
        return cached(name, key, root(), lambda folder: _draw(size or 32, classes or 10))
    if name.startswith("folder:"):
        data = cached(name, key, root(), lambda folder: assemble(name, readers.class_folders(_folder(name), size=size)))
    elif key == name:
        data = cached(name, key, root(), lambda folder: assemble(name, catalogue.read(name, root(), download)))
    else:
        data = cached(name, key, root(), lambda folder: _resize(load(name, download=download), size, folder))
    return _first(data, classes)


def prepare(name: str, size: int | None = None, classes: int | None = None) -> Dataset:
    """`load`, saying on standard output where the data came from, what it is and how long it took."""
    check(name, size, classes)
    start, origin = time.perf_counter(), find(_key(name, size, classes), root())
    if origin is None and name in SETS:
        origin = find(name, root()) or catalogue.source(name, root()) or "a download"
    print(f"{name}: from {origin or ('drawing' if name == 'shapes' else _folder(name))}", flush=True)
    data = load(name, size, classes)
    n, height, width, channels = data.train_images.shape
    print(f"{name}: {n:,} training and {len(data.test_images):,} test images of {height}x{width}x{channels}, "
          f"{len(data.class_names)} classes, fingerprint {data.fingerprint}")  # fmt: skip
    print(f"{name}: in {find(_key(name, size, classes), root()) or 'memory only'}, {time.perf_counter() - start:.1f} s")
    return data


def check(name: str, size: int | None = None, classes: int | None = None) -> None:
    if not isinstance(name, str) or not (name in names() or name.startswith("folder:")):
        near = difflib.get_close_matches(str(name), names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"data: {name!r} is unknown; {hint}known are {', '.join(names())} and folder:PATH")
    for field, value in (("size", size), ("classes", classes)):
        if value is not None and (type(value) is not int or value < 1):
            raise DataError(f"{field}: {value!r} is not a whole number of at least 1")
    if classes and name in SETS:
        _enough(name, SETS[name].classes, classes)
    elif classes and name == "shapes":
        from nbhelpers import shapes

        try:
            shapes.class_names(classes)
        except ValueError as error:
            raise DataError(f"shapes: {error}") from None


def _enough(name: str, count: int, classes: int) -> None:
    if classes > count:
        sets = [n for n in SETS if SETS[n].classes >= classes] + ["shapes"]
        raise DataError(f"classes: {classes} asked for, but {name} has {count}; enough have: {', '.join(sets)}")


def _first(data: Dataset, classes: int | None) -> Dataset:
    """The first `classes` labels: a prefix of every array, as they are in label order."""
    if classes is None or classes == len(data.class_names):
        return data
    _enough(data.name, len(data.class_names), classes)
    ends = [int(np.searchsorted(labels, classes)) for labels in (data.train_labels, data.test_labels)]
    train, test = ((data.train_images, data.train_labels), (data.test_images, data.test_labels))
    arrays = [array[:end] for pair, end in zip((train, test), ends, strict=True) for array in pair]
    return Dataset(data.name, *arrays, data.class_names[:classes], fingerprint(*arrays))


def _folder(name: str) -> Path:
    return Path(name.removeprefix("folder:")).expanduser().absolute()


def _key(name: str, size: int | None, classes: int | None) -> str:
    """The folder name of the prepared copy; it changes with all that can change the arrays in it."""
    if name == "shapes":
        from nbhelpers import shapes

        version = hashlib.sha256(Path(shapes.__file__).read_bytes()).hexdigest()[:8]
        return f"shapes-{classes or 10}@{size or 32}-{version}"
    if name.startswith("folder:"):
        folder = _folder(name)
        listing = [str(folder), size]
        for split, found in readers.image_files(folder).items():
            for label, files in found.items():
                stats = ((file.name, file.stat()) for file in files)
                listing += [(split, label, file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]
        return f"folder-{hashlib.sha256(repr(listing).encode()).hexdigest()[:16]}"
    return name if size in (None, SETS[name].side) else f"{name}@{size}"


def _draw(size: int, classes: int) -> Dataset:
    from nbhelpers import shapes

    try:
        splits = {split: shapes.generate(split, DRAWN[split], classes, size, 0) for split in SPLITS}
    except ValueError as error:
        raise DataError(f"shapes: {error}") from None
    return assemble("shapes", (splits, tuple(shapes.class_names(classes))))


def _resize(data: Dataset, size: int, folder: Path) -> Dataset:
    """Resize image by image, straight into the files of the prepared copy: it may be larger than memory."""
    from PIL import Image

    resized = {}
    for field in ("train_images", "test_images"):
        images = getattr(data, field)
        shape = (len(images), size, size, images.shape[-1])
        out = np.lib.format.open_memmap(folder / f"{field}.npy", "w+", np.uint8, shape)
        for i, image in enumerate(images):
            small = Image.fromarray(image.squeeze(-1) if shape[-1] == 1 else image)
            out[i] = np.asarray(small.resize((size, size), Image.Resampling.BILINEAR)).reshape(shape[1:])
        resized[field] = out
    data = replace(data, **resized)
    return replace(data, fingerprint=fingerprint(*(getattr(data, field) for field in ARRAYS)))
