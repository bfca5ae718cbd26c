"""Data sets from every source and in every state of disrepair; real ones only where NBHELPERS_DATA has them."""

import gzip
import hashlib
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbhelpers import catalogue, data, readers
from nbhelpers.data import DataError

REAL = os.environ.get("NBHELPERS_DATA")
PER_CLASS = {"train": 4, "test": 2}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty data folder, an empty user's cache, no network."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("NBHELPERS_DATA", str(folder))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("NBHELPERS_MIRRORS", raising=False)
    monkeypatch.setattr(data, "DRAWN", {"train": 6, "test": 3})
    for name, spec in catalogue.SETS.items():
        files = tuple(replace(file, url=f"http://127.0.0.1:9/{file.name}") for file in spec.files)
        counts = tuple(PER_CLASS[split] * spec.classes for split in data.SPLITS)
        monkeypatch.setitem(catalogue.SETS, name, replace(spec, files=files, counts=counts))
    return folder


def pixels(name):
    """Random images and labels of both splits, in random order, with some equal images."""
    (channels, side, _), classes = data.describe(name)
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in PER_CLASS.items():
        labels = rng.permutation(np.repeat(np.arange(classes), count))
        images = rng.integers(0, 256, (len(labels), side, side, channels), np.uint8)
        first, second = np.flatnonzero(labels == 1)[:2]
        images[first] = images[second]
        splits[split] = images, labels
    return splits


def class_folders(folder, splits, names, suffix=".png", **options):
    for split, (images, labels) in splits.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / names[label] / f"{i:05d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(path, **options)


def batches(folder, splits, labels_key="labels"):
    """The python batches of CIFAR: five and one for CIFAR-10, one and one for CIFAR-100."""
    folder.mkdir(parents=True)
    for split, (images, labels) in splits.items():
        parts = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
        parts = parts if labels_key == "labels" else [split]
        for part, index in zip(parts, np.array_split(np.arange(len(labels)), len(parts)), strict=True):
            planes = np.ascontiguousarray(images[index].transpose(0, 3, 1, 2)).reshape(len(index), -1)
            (folder / part).write_bytes(pickle.dumps({"data": planes, labels_key: labels[index].tolist()}, 4))


def pack(folder, name, monkeypatch):
    """The archive of `folder` as the published one of set `name`, checksum and all."""
    (file,) = catalogue.SETS[name].files
    path = folder.parent / file.name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each in sorted(folder.rglob("*.*")):
                archive.write(each, each.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, folder.name)
    content = path.read_bytes()
    file = replace(file, size=len(content), checksum=hashlib.md5(content).hexdigest())
    monkeypatch.setitem(catalogue.SETS, name, replace(catalogue.SETS[name], files=(file,)))
    return path


def idx(folder, splits, packed):
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = splits[split]
        contents = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">4I", 0x803, *images.shape[:3]) + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">2I", 0x801, len(labels)) + labels.astype("u1").tobytes(),
        }
        for name, content in contents.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


def fresh(monkeypatch, tmp_path, name):
    """Another empty data folder."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("NBHELPERS_DATA", str(folder))
    return folder


def same(one, other):
    assert one.fingerprint == other.fingerprint
    assert one.class_names == other.class_names
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
    return True


# One set, whichever source


@pytest.mark.parametrize("name, key", [("cifar10", "labels"), ("cifar100", "fine_labels")])
def test_cifar_is_the_same_from_batches_archive_and_folders(name, key, root, tmp_path, monkeypatch):
    splits, names = pixels(name), catalogue.SETS[name].class_names
    batches(root / Path(catalogue.SETS[name].official[0]), splits, key)
    official = data.load(name)
    assert official.class_names == names
    assert official.train_images.dtype == np.uint8 and official.train_labels.dtype == np.int64
    for suffix in (".png", ".webp"):
        folder = fresh(monkeypatch, tmp_path, suffix)
        class_folders(folder / name, splits, names, suffix, lossless=True)
        assert same(official, data.load(name))
    archive = pack(root / catalogue.SETS[name].official[0], name, monkeypatch)
    folder = fresh(monkeypatch, tmp_path, "archive")
    os.replace(archive, folder / archive.name)
    assert same(official, data.load(name, download=False))


def test_mnist_is_the_same_from_idx_gz_and_folders(root, tmp_path, monkeypatch):
    splits = pixels("mnist")
    idx(root / "MNIST" / "raw", splits, packed=False)
    official = data.load("mnist")
    assert official.train_images.shape == (40, 28, 28, 1)
    class_folders(fresh(monkeypatch, tmp_path, "folders") / "mnist", splits, readers.DIGITS)
    assert same(official, data.load("mnist"))
    folder = fresh(monkeypatch, tmp_path, "gz") / "mnist"
    idx(folder, splits, packed=True)
    with pytest.raises(DataError, match="instead of 9912422"):  # synthetic, so not the published files
        data.load("mnist")
    files = [
        replace(file, size=(folder / file.name).stat().st_size, checksum=md5(folder / file.name))
        for file in catalogue.SETS["mnist"].files
    ]
    monkeypatch.setitem(catalogue.SETS, "mnist", replace(catalogue.SETS["mnist"], files=tuple(files)))
    assert same(official, data.load("mnist"))


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_tiny_imagenet_72_is_the_same_from_the_full_set_and_its_copy(root, tmp_path, monkeypatch):
    rng, wnids = np.random.default_rng(0), [f"n{i:08d}" for i in range(100, 174)]
    full, lines = root / "tiny-imagenet-200", []
    copy = tmp_path / "copy" / "tiny-imagenet-72"
    for label, wnid in enumerate(wnids):
        for folder in (full / "train" / wnid / "images", full / "val" / "images"):
            folder.mkdir(parents=True, exist_ok=True)
        for number in (0, 7, 42, 199, 200, 499):
            jpeg = io.BytesIO()
            grey = number == 7
            image = rng.integers(0, 256, (64, 64) if grey else (64, 64, 3), np.uint8)
            Image.fromarray(image).save(jpeg, "JPEG")
            (full / "train" / wnid / "images" / f"{wnid}_{number}.JPEG").write_bytes(jpeg.getvalue())
            if label < 72 and number < 200:
                write(copy / "train" / wnid / f"{wnid}_{number:03d}.JPEG", jpeg.getvalue())
            if number in (0, 7):
                val = f"val_{label * 10 + number}.JPEG"
                (full / "val" / "images" / val).write_bytes(jpeg.getvalue())
                lines.append(f"{val}\t{wnid}\t0\t0\t62\t62")
                if label < 72:
                    write(copy / "test" / wnid / f"val_{label * 10 + number:04d}.JPEG", jpeg.getvalue())
    (full / "val" / "val_annotations.txt").write_text("\n".join(reversed(lines)) + "\n")
    whole = data.load("tiny-imagenet-72")
    assert whole.train_images.shape == (288, 64, 64, 3) and whole.class_names == tuple(wnids[:72])
    assert [whole.train_labels[0], whole.train_labels[-1]] == [0, 71]
    archive = pack(full, "tiny-imagenet-72", monkeypatch)
    folder = fresh(monkeypatch, tmp_path, "archive")
    os.replace(archive, folder / archive.name)
    assert same(whole, data.load("tiny-imagenet-72"))
    monkeypatch.setenv("NBHELPERS_DATA", str(copy.parent))
    assert same(whole, data.load("tiny-imagenet-72"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_order_is_by_label_and_hash(root):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    one = data.load("cifar10")
    keys = [(y, hashlib.sha256(x).digest()) for x, y in zip(one.train_images, one.train_labels.tolist(), strict=True)]
    assert keys == sorted(keys)


def test_a_jpeg_copy_has_another_fingerprint(root, tmp_path, monkeypatch):
    splits = pixels("cifar10")
    class_folders(root / "cifar10", splits, readers.CIFAR10)
    png = data.load("cifar10")
    class_folders(fresh(monkeypatch, tmp_path, "jpeg") / "cifar10", splits, readers.CIFAR10, ".jpg")
    assert data.load("cifar10").fingerprint != png.fingerprint


def test_the_fingerprint_is_the_documented_one(root):
    one = data.load("shapes", size=8, classes=2)
    text = hashlib.sha256()
    for array, shape in (
        (one.train_images, "(12, 8, 8, 3)|u1"),
        (one.train_labels, "(12,)<i8"),
        (one.test_images, "(6, 8, 8, 3)|u1"),
        (one.test_labels, "(6,)<i8"),
    ):
        text.update(shape.encode() + array.tobytes())
    assert one.fingerprint == text.hexdigest()[:16]


# Prepared copies


def test_the_prepared_copy_is_enough_and_private(root):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    assert data.available("cifar10")
    first = data.load("cifar10")
    (root / "cifar10").rename(root / "gone")
    assert data.available("cifar10")
    again = data.load("cifar10", download=False)
    assert same(first, again)
    assert isinstance(again.train_images, np.memmap)
    again.train_images[:] = 0
    assert same(first, data.load("cifar10"))
    meta = json.loads((root / "prepared" / "cifar10" / "meta.json").read_text())
    assert meta["fingerprint"] == first.fingerprint


def test_an_interrupted_preparation_leaves_nothing_behind(root, monkeypatch):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nbhelpers.prepared.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        data.load("cifar10")
    assert [p.name for p in (root / "prepared").iterdir() if p.suffix != ".lock"] == []
    assert len(data.load("cifar10").train_labels) == 40


def test_a_damaged_prepared_copy_says_what_to_remove(root):
    data.load("shapes", classes=2)
    (copy,) = (root / "prepared").glob("shapes*")
    (copy / "train_images.npy").write_bytes((copy / "train_images.npy").read_bytes()[:-5])
    with pytest.raises(DataError, match=f"damaged .*; remove {re.escape(str(copy))}"):
        data.load("shapes", classes=2)


def test_a_root_that_cannot_be_written_falls_back_to_the_users_cache(root, tmp_path):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    (root / "prepared").touch()  # in the way, as a read-only folder is
    one = data.load("cifar10")
    assert len(list((tmp_path / "cache").rglob("meta.json"))) == 1
    assert same(one, data.load("cifar10"))


def test_where_nothing_can_be_written_only_shapes_works(root, tmp_path):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    (root / "prepared").touch()
    (tmp_path / "cache").touch()
    with pytest.raises(DataError, match=r"cifar10: it cannot be prepared .*; set NBHELPERS_DATA"):
        data.load("cifar10")
    assert data.load("shapes").train_images.shape == (60, 32, 32, 3)


def test_resized_images_are_pillows_and_keep_their_order(root):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    small, large = data.load("cifar10"), data.load("cifar10", size=48)
    expected = [np.asarray(Image.fromarray(x).resize((48, 48), Image.Resampling.BILINEAR)) for x in small.test_images]
    assert np.array_equal(large.test_images, expected)
    assert np.array_equal(large.test_labels, small.test_labels)
    assert large.fingerprint != small.fingerprint
    assert same(large, data.load("cifar10", size=48))
    assert same(small, data.load("cifar10", size=32))


def test_grey_images_are_resized_too(root):
    class_folders(root / "mnist", pixels("mnist"), readers.DIGITS)
    assert data.load("mnist", size=32).train_images.shape == (40, 32, 32, 1)


def test_classes_takes_the_first_labels(root):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    whole, part = data.load("cifar10"), data.load("cifar10", classes=3)
    assert part.class_names == ("airplane", "automobile", "bird")
    assert np.array_equal(part.train_images, whole.train_images[:12])
    assert part.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert part.fingerprint != whole.fingerprint


# Shapes and folders


def test_shapes_need_nothing_and_nest(root):
    assert data.available("shapes")
    ten, two = data.load("shapes"), data.load("shapes", classes=2)
    assert ten.train_images.shape == (60, 32, 32, 3) and ten.test_images.shape == (30, 32, 32, 3)
    assert np.array_equal(ten.train_images[:12], two.train_images)
    assert data.load("shapes", size=16).train_images.shape[1:] == (16, 16, 3)


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes of 5x7 colour images."""
    rng, folder = np.random.default_rng(0), tmp_path / "pictures"
    labels = np.repeat([0, 1], 3)
    splits = {split: (rng.integers(0, 256, (6, 5, 7, 3), np.uint8), labels) for split in data.SPLITS}
    class_folders(folder, splits, ("cat", "dog"))
    return folder


def test_a_folder_is_noticed_to_change(pictures):
    name = f"folder:{pictures}"
    assert data.available(name)
    assert data.describe(name) == ((3, 5, 7), 2)
    one = data.load(name)
    assert one.train_images.shape == (6, 5, 7, 3) and one.class_names == ("cat", "dog")
    assert same(one, data.load(name))
    next(iter((pictures / "train" / "cat").iterdir())).unlink()
    assert len(data.load(name).train_images) == 5


def test_a_grey_image_among_coloured_ones_gets_three_channels(pictures):
    path = pictures / "train" / "cat" / "00000.png"
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    Image.fromarray(grey).save(path)
    one = data.load(f"folder:{pictures}")
    assert any(np.array_equal(image, np.stack([grey] * 3, -1)) for image in one.train_images)


def test_grey_images_alone_keep_one_channel(tmp_path):
    splits = {split: (np.zeros((2, 4, 4, 1), np.uint8), [0, 1]) for split in data.SPLITS}
    class_folders(tmp_path / "grey", splits, ("a", "b"))
    assert data.load(f"folder:{tmp_path / 'grey'}").train_images.shape == (2, 4, 4, 1)


def test_mixed_sizes_need_a_size(pictures):
    Image.new("RGB", (9, 9)).save(pictures / "test" / "dog" / "large.png")
    with pytest.raises(DataError, match=r"mixed sizes, from 5x7 to 9x9; give size="):
        data.load(f"folder:{pictures}")
    assert data.load(f"folder:{pictures}", size=8).test_images.shape == (7, 8, 8, 3)


# Errors: each one line that names the field or file


def one_line(call, *parts):
    with pytest.raises(DataError) as error:
        call()
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (("cifar", None, None), ("'cifar'", "did you mean 'cifar10'", "folder:PATH")),
        ((7, None, None), ("7 is unknown",)),
        (("cifar10", 0, None), ("size: 0",)),
        (("cifar10", 32.0, None), ("size: 32.0",)),
        (("cifar10", None, True), ("classes: True",)),
        (("cifar10", None, 11), ("classes: 11", "cifar10 has 10", "cifar100, tiny-imagenet, tiny-imagenet-72, shapes")),
        (("shapes", None, 100000), ("shapes", "100000")),
    ],
)
def test_what_is_asked_wrongly(arguments, parts):
    for call in (data.load, data.describe, data.prepare):
        one_line(lambda call=call: call(*arguments), *parts)


def test_too_small_shapes():
    one_line(lambda: data.load("shapes", size=2), "shapes: size")


@pytest.mark.parametrize("download", [True, False])
def test_no_data_and_no_network(root, download):
    assert not data.available("cifar10")
    ways = (str(root), "cifar-10-batches-py", "NBHELPERS_DATA", "NBHELPERS_MIRRORS", "'shapes'")
    one_line(
        lambda: data.load("cifar10", download=download), *ways, "127.0.0.1:9" if download else "downloading is off"
    )


def test_a_download_is_prepared(root, tmp_path, monkeypatch):
    batches(tmp_path / "mirror" / "cifar-10-batches-py", pixels("cifar10"))
    pack(tmp_path / "mirror" / "cifar-10-batches-py", "cifar10", monkeypatch)
    monkeypatch.setenv("NBHELPERS_MIRRORS", (tmp_path / "mirror").as_uri())
    assert len(data.load("cifar10").train_labels) == 40
    assert (root / "cifar-10-python.tar.gz").exists()


def test_a_wrong_archive_is_named(root):
    (root / "cifar-10-python.tar.gz").write_bytes(b"not it")
    one_line(lambda: data.load("cifar10"), "cifar-10-python.tar.gz: has 6 bytes instead of 170498071", "remove it")


def test_an_incomplete_copy_is_refused(root):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    next(iter((root / "cifar10" / "train" / "cat").iterdir())).unlink()
    one_line(lambda: data.load("cifar10"), "train images are (39, 32, 32, 3), published (40, 32, 32, 3)", "folder:PATH")


def test_other_class_names_are_refused(root):
    class_folders(root / "cifar10", pixels("cifar10"), ("aeroplane", *readers.CIFAR10[1:]))
    one_line(lambda: data.load("cifar10"), "aeroplane, airplane")


def test_missing_batches_are_named(root):
    batches(root / "cifar-10-batches-py", pixels("cifar10"))
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    one_line(lambda: data.load("cifar10"), "cifar-10-batches-py: not the official python batches")


class Harmful:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_with_code_is_refused_unexecuted(root, tmp_path):
    batches(root / "cifar-10-batches-py", pixels("cifar10"))
    mark = tmp_path / "executed"
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({"data": Harmful(mark)}, 4))
    one_line(lambda: data.load("cifar10"), "it asks for ")
    assert not mark.exists()
    pickle.loads((root / "cifar-10-batches-py" / "data_batch_3").read_bytes())
    assert mark.exists()  # so the code would have run


def test_a_damaged_idx_file_is_named(root):
    idx(root / "mnist", pixels("mnist"), packed=False)
    (root / "mnist" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    one_line(lambda: data.load("mnist"), "train-images-idx3-ubyte: not a readable idx file")


def test_an_unreadable_image_is_named(pictures):
    (pictures / "train" / "dog" / "bad.png").write_bytes(b"no image")
    one_line(lambda: data.load(f"folder:{pictures}"), "bad.png: not a readable image (unknown format)")


def test_a_truncated_image_is_named(pictures):
    path = pictures / "train" / "dog" / "00003.png"
    path.write_bytes(path.read_bytes()[:80])
    one_line(lambda: data.load(f"folder:{pictures}"), "00003.png: not a readable image")


def test_sixteen_bits_are_refused(pictures):
    Image.fromarray(np.full((5, 7), 40000, np.uint16)).save(pictures / "train" / "dog" / "deep.png")
    one_line(lambda: data.load(f"folder:{pictures}"), "deep.png", "more than 8 bits")


def test_folders_of_the_wrong_shape(pictures, tmp_path):
    def load():
        data.load(f"folder:{pictures}")

    (pictures / "test" / "emu").mkdir()
    one_line(load, "classes in only one of train and test: emu")
    (pictures / "train" / "emu").mkdir()
    one_line(load, "emu: no images")
    (pictures / "test").rename(tmp_path / "away")
    one_line(load, "no folder 'test'")
    assert not data.available(f"folder:{pictures}")
    one_line(lambda: data.load(f"folder:{tmp_path / 'nowhere'}"), "no folder 'train'")
    (tmp_path / "flat" / "train").mkdir(parents=True)
    (tmp_path / "flat" / "test").mkdir()
    one_line(lambda: data.load(f"folder:{tmp_path / 'flat'}"), "no class folders")


# The rest


@pytest.mark.parametrize(
    "name, expected",
    [
        ("cifar10", ((3, 32, 32), 10)),
        ("cifar100", ((3, 32, 32), 100)),
        ("mnist", ((1, 28, 28), 10)),
        ("tiny-imagenet", ((3, 64, 64), 200)),
        ("tiny-imagenet-72", ((3, 64, 64), 72)),
        ("shapes", ((3, 32, 32), 10)),
    ],
)
def test_describe_needs_no_data(name, expected):
    assert data.describe(name) == expected
    assert data.describe(name, size=20, classes=4) == ((expected[0][0], 20, 20), 4)


def test_prepare_says_what_it_did(root, capsys):
    class_folders(root / "cifar10", pixels("cifar10"), readers.CIFAR10)
    one = data.prepare("cifar10")
    first = capsys.readouterr().out
    assert f"from {root / 'cifar10'}" in first and one.fingerprint in first
    data.prepare("cifar10")
    data.prepare("shapes", size=8, classes=2)
    second = capsys.readouterr().out
    assert f"from {root / 'prepared' / 'cifar10'}" in second and "shapes: from drawing" in second


def test_importing_is_light():
    heavy = "torch torchvision PIL filelock tqdm platformdirs urllib.request"
    code = f"import sys, nbhelpers.data; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not REAL, reason="NBHELPERS_DATA is not set: no real data")
@pytest.mark.parametrize("name, fingerprint", [("cifar10", "b5b4a90001914255"), ("mnist", "bb9c44f640f78e2c")])
def test_real_data_have_the_published_fingerprint(name, fingerprint, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("NBHELPERS_DATA", REAL)
    if not data.available(name):
        pytest.skip(f"{REAL} has no {name}")  # each real set is optional, and a test never downloads one
    assert data.load(name, download=False).fingerprint == fingerprint
