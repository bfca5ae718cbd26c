"""The embedded data set: the same pixels everywhere, sets that nest, and a task that needs a deep net."""

from hashlib import sha256

import numpy as np
import pytest
import torch
from torch import nn

from nbhelpers import shapes


def _sha(images):
    return sha256(images.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        (
            {"split": "train", "per_class": 20},
            "891c56ab0655baa1ab8bdf31ff49a061dd242f60c99c50b57b4cdfb614388b1a",
        ),
        (
            {"split": "test", "per_class": 1, "classes": shapes.MAX_CLASSES, "size": 17, "seed": 7},
            "fed633cc373ec9720d0071fb58149548afc6b8019305ea5af09c8ac76debf194",
        ),
    ],
    ids=["plain", "every class"],
)
def test_pixels_are_the_same_on_every_machine(arguments, golden):
    assert _sha(shapes.generate(**arguments)[0]) == golden


@pytest.mark.parametrize(("classes", "size"), [(2, 8), (10, 16), (72, 33), (100, 32), (200, 24), (3, 128)])
def test_any_number_of_classes_at_any_size(classes, size):
    images, labels = shapes.generate("train", 2, classes, size)
    assert images.shape == (2 * classes, size, size, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [label for label in range(classes) for _ in range(2)]
    assert images.std(axis=(1, 2)).max(axis=1).min() > 1  # none is blank


def test_smaller_sets_nest_in_larger_ones():
    large = shapes.generate("train", 40, classes=12)[0].reshape(12, 40, 32, 32, 3)
    for per_class in (1, 7, 16, 17, 33):  # on both sides of the number rendered at once
        small = shapes.generate("train", per_class, classes=5)[0].reshape(5, per_class, 32, 32, 3)
        assert np.array_equal(small, large[:5, :per_class])


def test_numpy_integers_do_as_well():
    plain = shapes.generate("test", 3, 4, 20, 5)[0]
    assert np.array_equal(plain, shapes.generate("test", *np.array([3, 4, 20, 5], np.uint8))[0])


def test_splits_seeds_and_classes_share_no_picture():
    sets = [shapes.generate(split, 50, seed=seed)[0] for split in ("train", "test") for seed in (0, 1)]
    assert len({image.tobytes() for images in sets for image in images}) == 4 * 500


def test_a_scene_is_the_same_at_every_size():
    small, large = (shapes.generate("train", 20, size=size)[0].astype(float) for size in (32, 64))
    halved = large.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    same, other = (np.abs(small - picture).mean() for picture in (halved, halved[::-1]))
    assert same < 10 < 40 < other


def test_class_names_are_distinct_and_describe_the_digits():
    names = shapes.class_names(shapes.MAX_CLASSES)
    assert len(set(names)) == shapes.MAX_CLASSES == 1000
    assert names[:3] == ["circle", "square", "triangle"]
    assert names[13] == "striped star"
    assert names[300] == "circle on dotted ground"
    assert names[313] == "striped star on dotted ground"
    assert shapes.class_names(72) == names[:72]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "split is 'val': expected 'train' or 'test'"),
        ({"per_class": 0}, "per_class is 0: expected an integer of at least 1"),
        ({"per_class": 2.5}, "per_class is 2.5: expected an integer of at least 1"),
        ({"classes": 1}, "classes is 1: expected an integer from 2 to 1000"),
        ({"classes": 1001}, "classes is 1001: expected an integer from 2 to 1000"),
        ({"size": 7}, "size is 7: expected an integer of at least 8"),
        ({"seed": -1}, "seed is -1: expected an integer of at least 0"),
    ],
    ids=str,
)
def test_errors_name_the_field_the_value_and_what_is_allowed(change, message):
    with pytest.raises(ValueError) as error:
        shapes.generate(**{"split": "train", "per_class": 1, **change})
    assert str(error.value) == message


def test_class_names_check_their_number():
    with pytest.raises(ValueError, match=r"^classes is 0: expected an integer from 2 to 1000$"):
        shapes.class_names(0)


def test_a_linear_classifier_on_pixels_stays_under_40_percent():
    def design(split, per_class):
        images, labels = shapes.generate(split, per_class)
        pixels = images.reshape(len(images), -1).astype(np.float32) / 127.5 - 1
        return np.hstack([pixels, np.ones((len(pixels), 1), np.float32)]), labels

    (x, y), (x_test, y_test) = design("train", 1000), design("test", 100)
    gram, targets = x.T @ x, x.T @ np.eye(10, dtype=np.float32)[y]
    for ridge in (1e3, 1e5):
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram), dtype=np.float32), targets)
        assert ((x_test @ weights).argmax(1) == y_test).mean() < 0.4


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@pytest.mark.slow_all
def test_a_small_convnet_passes_70_percent(one_thread):
    def tensors(split, per_class):
        images, labels = shapes.generate(split, per_class)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)

    blocks, channels = [], 3
    for width in (16, 32, 64):
        blocks += [
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = width
    net = nn.Sequential(*blocks[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    net = net.to(memory_format=torch.channels_last)

    (x, y), (x_test, y_test) = tensors("train", 500), tensors("test", 100)
    epochs, batch, rate = 6, 50, 2e-2
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * len(x) // batch)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        assert (net(x_test).argmax(1) == y_test).float().mean() > 0.7
