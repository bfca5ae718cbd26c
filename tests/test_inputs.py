"""Images of one's own: every layout is found out, and nothing in a file runs."""

import pickle

import numpy as np
import pytest
from PIL import Image
from test_weights import Planted

from nbhelpers import data as datasets
from nbhelpers import inputs
from nbhelpers.download import DataError

SHAPE, NAMES = (3, 32, 32), ("circle", "square", "triangle", "star")


@pytest.fixture(scope="module")
def photos():
    return np.array(datasets.load("shapes", classes=4).test_images[::20])


def fails(source) -> str:
    with pytest.raises(DataError) as caught:
        inputs.read(str(source), SHAPE, NAMES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


LAYOUTS = {
    "(images, height, width, channels)": lambda images: images,
    "(images, channels, height, width)": lambda images: images.transpose(0, 3, 1, 2),
    "flat rows, channel by channel": lambda images: images.transpose(0, 3, 1, 2).reshape(len(images), -1),
    "flat rows, pixel by pixel": lambda images: images.reshape(len(images), -1),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pickle_of_any_layout_gives_the_images(photos, tmp_path, layout, protocol):
    held = {b"data": np.ascontiguousarray(LAYOUTS[layout](photos)), b"ids": np.arange(len(photos))}
    (tmp_path / "test.pkl").write_bytes(pickle.dumps(held, protocol=protocol))
    given = inputs.read(str(tmp_path / "test.pkl"), SHAPE, NAMES)
    assert np.array_equal(given.images, photos) and given.labels is None
    assert given.said == f"test.pkl: {len(photos)} images, {layout}"


def test_labels_are_taken_where_they_are_and_must_fit(photos, tmp_path):
    labels = np.arange(len(photos)) % 4
    np.savez(tmp_path / "a.npz", images=photos, labels=labels)
    given = inputs.read(str(tmp_path / "a.npz"), SHAPE, NAMES)
    assert np.array_equal(given.labels, labels) and given.said.endswith(", labelled")
    np.savez(tmp_path / "a.npz", images=photos, labels=labels + 1)
    assert fails(tmp_path / "a.npz").endswith(f"labels: must be {len(photos)} whole numbers from 0 to 3")


@pytest.mark.parametrize("labels", [np.full(40, 0.5), np.array(["cat"] * 40), np.zeros(3, int)])
def test_labels_that_are_no_numbers_of_classes_are_refused(photos, tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=photos[:40], labels=labels)
    assert fails(tmp_path / "a.npz").endswith("labels: must be 40 whole numbers from 0 to 3")
    np.savez(tmp_path / "a.npz", images=photos[:0], labels=labels[:0])
    assert fails(tmp_path / "a.npz").endswith("holds no images")


def test_a_folder_gives_its_images_by_name_and_class_folders_their_labels(photos, tmp_path):
    for i, image in enumerate(photos[:6]):
        place = tmp_path / "classes" / ("star" if i % 2 else "circle")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "flat" / f"{i}.png")
    flat = inputs.read(str(tmp_path / "flat"), SHAPE, NAMES)
    assert np.array_equal(flat.images, photos[:6]) and flat.labels is None
    assert flat.names == tuple(f"{i}.png" for i in range(6))
    given = inputs.read(str(tmp_path / "classes"), SHAPE, NAMES)
    assert np.array_equal(given.images, photos[[0, 2, 4, 1, 3, 5]]) and given.labels.tolist() == [0, 0, 0, 3, 3, 3]
    (tmp_path / "classes" / "frog").mkdir()
    assert "the net does not know the classes frog; it knows circle, square" in fails(tmp_path / "classes")


def test_a_named_set_gives_its_test_images_of_the_classes_that_the_net_knows():
    given = inputs.read("shapes", (3, 16, 16), NAMES)
    assert given.images.shape == (800, 16, 16, 3) and given.labels.max() == 3
    with pytest.raises(DataError, match="shapes: its classes are not those of the net: cat, dog"):
        inputs.read("shapes", SHAPE, ("cat", "dog"))


def test_what_is_no_images_is_one_line(photos, tmp_path):
    path = tmp_path / "x.pkl"
    assert "is no file, no folder, and none of cifar10" in fails(tmp_path / "none")
    for held, reason in (
        ({"data": photos.astype(float)}, "the images must be bytes (uint8), not float64"),
        ({"data": photos[:, :8]}, "the images have the shape (8, 32, 3), the net takes 32x32 pixels with 3 channels"),
        ({"ids": photos}, "has no array named images, data, x, but ids"),
        ([photos], "must hold a dict with the images, not list"),
    ):
        path.write_bytes(pickle.dumps(held))
        assert fails(path).endswith(reason)
    path.write_bytes(b"garbage")
    assert "not a pickle of arrays alone" in fails(path)
    (tmp_path / "x.npz").write_bytes(b"PK garbage")
    assert "not a readable .npz file" in fails(tmp_path / "x.npz")
    (tmp_path / "empty").mkdir()
    assert "no images" in fails(tmp_path / "empty")


def test_code_in_a_pickle_or_an_npz_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"data": Planted(trap)}))
    assert "asks for posix.mkdir" in fails(tmp_path / "x.pkl") or "asks for nt.mkdir" in fails(tmp_path / "x.pkl")
    np.savez(tmp_path / "x.npz", images=np.array([Planted(trap)], dtype=object))
    fails(tmp_path / "x.npz")
    assert not trap.exists()
