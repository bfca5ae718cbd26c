"""A data set as arrays in canonical order, and its prepared copy on disk that processes share.

A prepared copy is a folder of four .npy files and meta.json (fingerprint, class names). It is written beside
its place under a lock and moved there whole, so what has its name is complete; then it is only read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbhelpers.download import DataError
from nbhelpers.readers import SPLITS, Raw

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Both splits of a data set, in canonical order.

    Images are (N, H, W, C) uint8, labels (N,) int64 from 0 to len(class_names) - 1. Arrays are private to the
    process (copy on write): writing to them changes neither the prepared copy nor another process.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    fingerprint: str


def assemble(name: str, raw: Raw) -> Dataset:
    """The data set in canonical order; images of one label with equal hashes are equal, so ties do not matter."""
    splits, class_names = raw
    arrays = []
    for images, labels in (splits[split] for split in SPLITS):
        digests = [hashlib.sha256(np.ascontiguousarray(image)).digest() for image in images]
        order = sorted(range(len(labels)), key=lambda i: (labels[i], digests[i]))
        arrays += [images[order], labels[order]]
    return Dataset(name, *arrays, class_names, fingerprint(*arrays))


def fingerprint(*arrays: np.ndarray) -> str:
    """16 hex digits of the sha256 over shapes, types and bytes; equal for the same arrays on any machine."""
    digest = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{little.shape}{little.dtype.str}".encode())
        digest.update(little)
    return digest.hexdigest()[:16]


def user_cache() -> Path:
    """The user's cache folder for nbhelpers."""
    import platformdirs

    return platformdirs.user_cache_path("nbhelpers")


def _caches(root: Path) -> tuple[Path, Path]:
    """Folders of prepared copies; the second is the user's own for this root, for when that is read-only."""
    own = hashlib.sha256(str(root).encode()).hexdigest()[:8]
    return root / "prepared", user_cache() / f"prepared-{own}"


def find(key: str, root: Path) -> Path | None:
    """The folder of the prepared copy `key`, or None."""
    return next((cache / key for cache in _caches(root) if (cache / key / "meta.json").is_file()), None)


def cached(name: str, key: str, root: Path, build: Callable[[Path | None], Dataset]) -> Dataset:
    """The prepared copy `key`, made by `build` if there is none, by one process at a time.

    `build` gets the folder to be filled, where it may already put some of the arrays. Raises DataError if
    neither folder of prepared copies can be written; "shapes" is then drawn in memory.
    """
    from filelock import FileLock

    reasons = []
    for cache in () if find(key, root) else _caches(root):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / f".{key}.lock"):
                if not find(key, root):
                    _write(cache, key, build)
            break
        except OSError as error:  # read-only, or full
            reasons.append(str(error))
    if found := find(key, root):
        return _open(name, found)
    if name == "shapes":
        return build(None)  # cheap enough to draw for every process
    raise DataError(
        f"{name}: it cannot be prepared ({'; '.join(reasons)}); set NBHELPERS_DATA to a folder you can write"
    )


def _write(cache: Path, key: str, build: Callable[[Path | None], Dataset]) -> None:
    """Write the prepared copy beside its place and move it there whole."""
    partial, final = cache / f".{key}.partial", cache / key
    try:
        for leftover in (partial, final):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        data = build(partial)
        for field in ARRAYS:
            if not (partial / f"{field}.npy").exists():
                np.save(partial / f"{field}.npy", getattr(data, field))
        meta = {"fingerprint": data.fingerprint, "class_names": data.class_names}
        (partial / "meta.json").write_text(json.dumps(meta))
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open(name: str, folder: Path) -> Dataset:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = [np.load(folder / f"{field}.npy", mmap_mode="c") for field in ARRAYS]
        return Dataset(name, *arrays, tuple(meta["class_names"]), meta["fingerprint"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{name}: the prepared copy is damaged ({error}); remove {folder}") from None
