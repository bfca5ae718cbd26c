"""Read image data sets from the files they are published as, and from folders of images.

Every reader gives `Raw`: for "train" and "test" the images (N, H, W, C) uint8 and labels (N,) int64, in the
order of the files, and the class names. What cannot be read raises DataError naming the file. Images keep
their pixels: no EXIF rotation, transparency dropped, grey images repeated to RGB where others have colour.
"""

import gzip
import io
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from nbhelpers.download import DataError

Raw = tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]

SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR10, CIFAR100 = tuple(_CIFAR10.split()), tuple(_CIFAR100.split())
DIGITS = tuple("0123456789")


def image_files(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The images of folder/{train,test}/CLASS, by split and class, sorted by name.

    Raises DataError for a missing split, splits with different classes, and a class without images.
    """
    found: dict[str, dict[str, list[Path]]] = {}
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise DataError(f"{folder}: no folder {split!r}; expected {{train,test}}/CLASS/IMAGE")
        found[split] = {
            each.name: _images_in(each)
            for each in sorted((folder / split).iterdir())
            if each.is_dir() and not each.name.startswith(".")
        }
    if odd := sorted(set(found["train"]) ^ set(found["test"])):
        raise DataError(f"{folder}: classes in only one of train and test: {', '.join(odd[:5])}")
    if not found["train"]:
        raise DataError(f"{folder}: no class folders; expected {{train,test}}/CLASS/IMAGE")
    for split in SPLITS:
        if empty := [name for name, files in found[split].items() if not files]:
            raise DataError(f"{folder / split / empty[0]}: no images ({', '.join(IMAGE_SUFFIXES)})")
    return found


def class_folders(folder: Path, channels: int | None = None, size: int | None = None) -> Raw:
    """Images in folder/{train,test}/CLASS; the sorted class names are the labels.

    `channels` None means 1 if every image is grey, else 3. Images of different sizes need `size`.
    """
    found = image_files(folder)
    images, labels = {}, {}
    for split, classes in found.items():
        images[split] = _decode((p for files in classes.values() for p in files), Path.read_bytes, channels, size)
        labels[split] = np.repeat(np.arange(len(classes), dtype=np.int64), [len(f) for f in classes.values()])
    shapes = sorted({image.shape[:2] for split in SPLITS for image in images[split]})
    if len(shapes) > 1:
        (h, w), (other_h, other_w) = shapes[0], shapes[-1]
        raise DataError(f"{folder}: images of mixed sizes, from {h}x{w} to {other_h}x{other_w}; give size=")
    colour = any(image.ndim == 3 for split in SPLITS for image in images[split])
    return {split: (_stack(images[split], colour), labels[split]) for split in SPLITS}, tuple(found["train"])


def labelled_folder(
    folder: Path, class_names: Sequence[str], size: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, size, size, C) in folder/CLASS, and their labels: the positions of the classes in `class_names`.

    DataError for a folder that is none of these classes, and where there are no images.
    """
    classes = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    if odd := sorted(set(classes) - set(class_names)):
        raise DataError(
            f"{folder}: the net does not know the classes {', '.join(odd[:5])}; it knows {', '.join(class_names)}"
        )
    files = {name: _images_in(folder / name) for name in classes}
    images = _decode((p for own in files.values() for p in own), Path.read_bytes, channels, size)
    if not images:
        raise DataError(f"{folder}: no images in class folders ({', '.join(IMAGE_SUFFIXES)})")
    labels = np.repeat([class_names.index(name) for name in classes], [len(own) for own in files.values()])
    return _stack(images, colour=channels == 3), labels.astype(np.int64)


def unlabelled_folder(folder: Path, size: int, channels: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The images (N, size, size, C) that lie in `folder`, and their names, sorted. DataError where there are none."""
    files = _images_in(folder)
    images = _decode(files, Path.read_bytes, channels, size)
    if not images:
        raise DataError(f"{folder}: no images ({', '.join(IMAGE_SUFFIXES)})")
    return _stack(images, colour=channels == 3), tuple(file.name for file in files)


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


def cifar(path: Path) -> Raw:
    """CIFAR-10 or CIFAR-100 (fine labels) from the folder of python batches or the .tar.gz of it."""
    try:
        if path.is_dir():
            members = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
        else:
            with tarfile.open(path) as tar:
                members = {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.isfile()}
        raw = {}
        for split, pattern in (("train", r"data_batch_\d|train"), ("test", r"test_batch|test")):
            batches = [Arrays.loads(members[name]) for name in sorted(members) if re.fullmatch(pattern, name)]
            planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
            labels = np.concatenate([batch.get("fine_labels") or batch["labels"] for batch in batches])
            raw[split] = (np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64))
            fine = "fine_labels" in batches[0]
    except Exception as error:  # a damaged or forged pickle fails in any way it likes
        raise DataError(f"{path}: not the official python batches ({error})") from None
    return raw, CIFAR100 if fine else CIFAR10


# _codecs.encode is how Python 3 writes bytes for Python 2, _frombuffer what numpy writes in pickles of protocol 5.
_ALLOWED = ("ndarray", "dtype", "core.multiarray._reconstruct", "core.multiarray.scalar", "core.numeric._frombuffer")


def _as_bytes(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


class Arrays(pickle.Unpickler):
    """Unpickles numpy arrays and plain values; a pickle that names anything else is refused unexecuted."""

    @classmethod
    def loads(cls, content: bytes) -> dict:
        return cls(io.BytesIO(content), encoding="latin1").load()  # written by Python 2

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("_codecs", "encode"):
            return _as_bytes
        if f"{module}.{name}".replace("_core", "core") not in {f"numpy.{allowed}" for allowed in _ALLOWED}:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def mnist(path: Path) -> Raw:
    """MNIST from its four idx files, plain or .gz, in the folder of `path` (one of them)."""
    raw = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (_idx(path.parent / f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
        raw[split] = (images[..., None], labels.astype(np.int64))
    return raw, DIGITS


def _idx(path: Path) -> np.ndarray:
    """An idx file of bytes: two zeros, 8 for uint8, the number of axes, their lengths big-endian, the values."""
    path = path if path.exists() else path.with_name(f"{path.name}.gz")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        axes = int(path.name.partition("idx")[2][0])
        if content[:4] != bytes((0, 0, 8, axes)):
            raise ValueError("wrong header")
        shape = np.frombuffer(content, ">u4", axes, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: not a readable idx file ({error})") from None


def tiny_imagenet(path: Path, classes: int, per_class: int) -> Raw:
    """Tiny ImageNet from the folder tiny-imagenet-200 or its .zip; the validation images are the test split.

    Only the first `classes` sorted wnids, of each the training images numbered below `per_class`. RGB.
    """
    try:
        if path.is_dir():
            files = {p.relative_to(path).as_posix(): p for p in path.rglob("*.*")}
            read = Path.read_bytes
        else:
            archive = zipfile.ZipFile(path)
            files = {name.partition("/")[2]: name for name in archive.namelist()}
            read = archive.read
        annotations = read(files["val/val_annotations.txt"]).decode().splitlines()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not the official Tiny ImageNet ({error!r})") from None
    train = [(m, m[1]) for name in files if (m := re.fullmatch(r"train/(n\d+)/images/n\d+_(\d+)\.JPEG", name))]
    wnids = sorted({wnid for _, wnid in train})[:classes]
    label = {wnid: i for i, wnid in enumerate(wnids)}
    items = {
        "train": [(m[0], wnid) for m, wnid in train if int(m[2]) < per_class],
        "test": [(f"val/images/{line.split()[0]}", line.split()[1]) for line in annotations],
    }
    raw = {}
    for split in SPLITS:
        chosen = [(files.get(name, name), label[wnid]) for name, wnid in items[split] if wnid in label]
        images = _stack(_decode([file for file, _ in chosen], read, channels=3), colour=True)
        raw[split] = (images, np.array([number for _, number in chosen], np.int64))
    return raw, tuple(wnids)


def _decode(files: Iterable, read: Callable, channels: int | None, size: int | None = None) -> list[np.ndarray]:
    """Decode each file to uint8, (H, W) if grey and (H, W, 3) if not; `channels` 1 or 3 forces the one."""
    from PIL import Image, UnidentifiedImageError

    images = []
    for file in files:
        try:
            with Image.open(io.BytesIO(read(file))) as image:
                if image.mode[0] in "IF":
                    raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
                grey = image.mode in ("1", "L") if channels is None else channels == 1
                image = image.convert("L" if grey else "RGB")
                if size:
                    image = image.resize((size, size), Image.Resampling.BILINEAR)
                images.append(np.asarray(image))
        except (OSError, ValueError, SyntaxError, KeyError, Image.DecompressionBombError) as error:
            reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
            raise DataError(f"{file}: not a readable image ({reason})") from None
    return images


def _stack(images: list[np.ndarray], colour: bool) -> np.ndarray:
    """(N, H, W, C) of images of one size, the grey ones repeated to three channels if `colour`."""
    try:
        return np.stack([i if i.ndim == 3 else np.repeat(i[..., None], 3 if colour else 1, -1) for i in images])
    except ValueError as error:
        raise DataError(f"images of mixed sizes or none at all ({error})") from None
