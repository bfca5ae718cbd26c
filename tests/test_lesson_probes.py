"""The probes of the lesson measure what they say, each on a net for which the answer is known."""

import base64

import numpy as np
import pytest
import torch
from torch import nn

from nbhelpers import probes
from nbhelpers.models import ConvNet
from nbhelpers.models.initialise import build
from nbhelpers.probes.experiments import _marked, _with_noise
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images

RECIPE = Recipe(lr=0.1, momentum=0.9, epochs=6, batch_size=10)


def measure(name, net, train, test, moment, recipe=RECIPE):
    return probes.measure((name,), moment, net, train, test, recipe)[name]


def bright(n: int, classes: int = 4, side: int = 8, channels: int = 1) -> Images:
    """Images with one bright quarter that tells their class, under faint noise."""
    pixels = 0.1 * torch.randn((n, channels, side, side), generator=torch.Generator().manual_seed(n))
    labels, half = torch.arange(n) % classes, side // 2
    for i, label in enumerate(labels):
        row, column = divmod(int(label), 2)
        pixels[i, :, row * half : (row + 1) * half, column * half : (column + 1) * half] += 2
    order = labels.argsort(stable=True)
    return Images(pixels[order], labels[order], classes)


@pytest.fixture
def net():
    return build(ConvNet(channels=[4, 6], norm="batch", head="flatten"), (1, 8, 8), 4, seed=1)


def test_first_kernels_are_the_weights(net, random_images):
    found = measure("first_kernels@1", net, random_images(8, (1, 8, 8), 4), random_images(4, (1, 8, 8), 4), "final")
    assert np.allclose(found, net.block1.conv.weight.detach().numpy(), atol=1e-4)


def test_favourites_excite_their_channels_more_than_images_do(net):
    train = bright(40)
    found = measure("favourites@1", net, train, train, "final")
    assert list(found) == ["block1.conv", "block2.conv"]
    low, high = train.images.min(), train.images.max()
    for name, layer in (("block1.conv", net.block1), ("block2.conv", net[:2])):
        shape = found[name]["shape"]
        bytes_ = np.frombuffer(base64.b64decode(found[name]["pixels"]), np.uint8).reshape(shape).copy()
        images = low + (high - low) * torch.from_numpy(bytes_) / 255
        conv = nn.Sequential(*(layer[:1] if name == "block1.conv" else [net.block1, net.block2.conv])).eval()
        with torch.no_grad():
            own, others = (conv(x)[:, :, 4, 4] for x in (images, train.images))
        assert shape == [len(images), 1, 8, 8]
        assert (own[range(len(own)), range(len(own))] > others.quantile(0.95, dim=0)[: len(own)]).all()


def test_the_class_explains_what_a_channel_that_sees_it_says():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(128, 4))
    net[0].weight.data = torch.tensor([1.0, 1.0]).view(2, 1, 1, 1)
    images = torch.ones(40, 1, 8, 8) * (torch.arange(40) % 4).view(-1, 1, 1, 1)
    part = Images(images, torch.arange(40) % 4, 4)
    assert measure("class_in_channels@1", net, part, part, "final") == {"0": pytest.approx(100)}
    mixed = Images(images[torch.randperm(40, generator=torch.Generator().manual_seed(0))], part.labels, 4)
    assert measure("class_in_channels@1", net, mixed, mixed, "final")["0"] < 50


def test_a_net_that_sums_all_pixels_changes_by_no_shift_of_an_even_image_and_one_that_sees_a_pixel_does():
    one = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    one[1].weight.data.zero_()
    one[1].weight.data[1, 0] = 1.0
    one[1].bias.data = torch.tensor([0.5, 0.0])
    images = torch.zeros(10, 1, 8, 8)
    images[:5, 0, 0, 0] = 1  # repeated at the free edge: stays
    images[5:, 0, 7, 7] = 1  # goes out
    part = Images(images, torch.zeros(10, dtype=torch.int64), 2)
    assert measure("changed_by_a_shift@1", one, part, part, "final") == {"changed": 0}
    one[1].weight.data = one[1].weight.data.roll(63, 1)
    assert measure("changed_by_a_shift@1", one, part, part, "final") == {"changed": 50}


def test_times_are_positive_and_of_all_activations(net):
    part = bright(20)
    assert measure("inference_time@1", net, part, part, "final")["milliseconds"] > 0
    found = measure("activation_time@1", net, part, part, "initial")
    assert set(found) == {"relu", "sigmoid", "tanh", "gelu"} and min(found.values()) > 0


def test_transfer_learns_new_classes_from_few_images_with_any_number_of_frozen_blocks(net):
    found = measure("transfer@1", net, bright(200), bright(80), "initial")
    assert list(found) == ["0", "1", "2"] and min(found.values()) > 90


def test_marks_lie_or_stand_where_they_say():
    part = Images(torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64), 2)
    part.images[0, 0, 0, 0] = 5.0
    made = _marked(part, 4, "train")
    assert made.labels.sum() == 6 and (made.images[1:] > 0).flatten(1).sum(1).tolist() == 11 * [4]
    for image, lies in zip(made.images[1:, 0], made.labels[1:], strict=True):
        rows = (image == 5).any(1).sum()
        assert rows == (1 if lies else 4)


def test_fine_detail_is_learnt_from_long_marks(net, random_images):
    part, test = random_images(300, (1, 8, 8), 4), random_images(100, (1, 8, 8), 4)
    parts = [Images(0.1 * p.images, p.labels, 4) for p in (part, test)]
    parts[0].images[0, 0, 0, 0] = parts[1].images[0, 0, 0, 0] = 3.0
    found = measure("fine_detail@1", net, *parts, "initial")
    assert list(found) == ["2", "4", "8"] and found["8"] > 90


def test_the_noise_is_a_channel_more_of_three_times_the_spread():
    part = bright(100)
    noisy = _with_noise(part, "train")
    assert noisy.images.shape == (100, 2, 8, 8) and torch.equal(noisy.images[:, :1], part.images)
    assert noisy.images[:, 1].std() == pytest.approx(3 * part.images.std().item(), rel=0.05)


def test_the_background_channel_is_learnt_around(net):
    found = measure("background_channel@1", net, bright(200), bright(80), "initial")
    before, after = np.array(found["before"]), np.array(found["after"])
    assert before.shape == after.shape == (2, 2) and not np.allclose(before, after)
    assert found["accuracy without"] > 95 and found["accuracy"] > 60
