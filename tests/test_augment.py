"""Augmentation: each image its own draw, the same for a seed and epoch, and what torchvision would give."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.functional import rotate

from nbhelpers import augment, train
from nbhelpers.errors import InputError
from nbhelpers.run import Data, Recipe

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture
def images(random_images):
    """Random bytes, normalised: what a run would hold."""
    made = random_images(24, (3, 12, 10)).images
    pixels = (made * 60 + 128).clamp(0, 255).round() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def augmenter(*names, seed=3, epoch=2, count=24):
    return augment.Augmenter(names, count, seed, epoch, MEAN, STD)


def test_crop_and_flip_are_a_window_of_the_reflected_image_possibly_mirrored(images):
    made = augmenter({"name": "crop", "padding": 3}, "flip")
    found = made.batch(images, torch.arange(24), 0)
    padded = F.pad(images, (3, 3, 3, 3), mode="reflect")
    for i, (down, right) in enumerate(made.shifts.tolist()):
        window = padded[i, :, 3 + down : 15 + down, 3 + right : 13 + right]
        assert torch.equal(found[i], window.flip(-1) if made.flips[i] else window)
    assert 0 < made.flips.sum() < 24 and len(made.shifts.unique(dim=0)) > 12
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_every_shift_is_drawn_equally_often():
    shifts = augmenter({"name": "crop", "padding": 1}, count=9000).shifts
    counts = torch.unique(shifts, dim=0, return_counts=True)[1]
    assert len(counts) == 9 and counts.min() > 850 and counts.max() < 1150


DRAWN = [("crop", "flip"), ("autoaugment",), ("erasing",), ("crop", "autoaugment", "erasing")]


@pytest.mark.parametrize("names", DRAWN)
def test_the_draws_belong_to_the_seed_the_epoch_and_the_place_in_the_order(images, names):
    whole = augmenter(*names).batch(images, torch.arange(24), 0)
    before = torch.random.get_rng_state()
    assert torch.equal(whole, augmenter(*names).batch(images, torch.arange(24), 0))
    assert torch.equal(before, torch.random.get_rng_state())
    later = augmenter(*names).batch(images, torch.arange(8, 24), 8)
    assert torch.equal(whole[8:], later)
    for other in (augmenter(*names, seed=4), augmenter(*names, epoch=3)):
        assert not torch.equal(whole, other.batch(images, torch.arange(24), 0))


def test_without_shifts_and_flips_the_images_are_as_they_were(images):
    index = torch.tensor([5, 0, 5])
    assert torch.equal(augmenter({"name": "crop", "padding": 0}).batch(images, index, 0), images[index])


def test_erasing_sets_a_rectangle_of_some_images_to_zero(images):
    found = augmenter({"name": "erasing", "share": 0.5}, count=24).batch(images, torch.arange(24), 0)
    changed = (found != images).flatten(1).any(1)
    assert 4 < changed.sum() < 20
    assert torch.equal(found[~changed], images[~changed]) and (found[changed] == 0).flatten(1).any(1).all()


def test_autoaugment_leaves_whole_byte_values(images):
    found = augmenter("autoaugment").batch(images, torch.arange(24), 0)
    pixels = (found * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255
    assert (pixels - pixels.round()).abs().max() < 1e-3 and not torch.equal(found, images)
    assert pixels.min() > -0.01 and pixels.max() < 255.01


def test_the_loop_trains_on_augmented_images(small_data, monkeypatch):
    from nbhelpers import tensors
    from nbhelpers.models import MLP
    from nbhelpers.models.initialise import build

    def trained(*names):
        data, _, _ = tensors.load(small_data.model_copy(update={"augment": names}), 0)
        net = build(MLP(hidden=(6,)), tuple(data.images.shape[1:]), 3, 0)
        return train.fit(net, data, None, Recipe(lr=0.1, epochs=2, batch_size=16), seed=0)

    plain, flipped = trained(), trained("flip")
    assert [row["train_loss"] for row in plain] != [row["train_loss"] for row in flipped]
    assert [row["train_loss"] for row in flipped] == [row["train_loss"] for row in trained("flip")]


def test_an_unknown_augmentation_is_one_clear_line():
    with pytest.raises(ValueError, match=r"augment.*unknown augmentation 'flipp'.*did you mean 'flip'"):
        Data(name="shapes", augment=("flipp",))


def test_the_centre_of_some_images_is_enlarged_and_the_others_stay(images):
    made = augmenter({"name": "center_crop", "size": 6, "share": 0.4})
    found = made.batch(images, torch.arange(24), 0)
    enlarged = F.interpolate(images[:, :, 3:9, 2:8], (12, 10), mode="bilinear", align_corners=False)
    assert 0 < made.cropped.sum() < 24
    for i, cropped in enumerate(made.cropped):
        torch.testing.assert_close(found[i], enlarged[i] if cropped else images[i])


def test_a_centre_larger_than_the_image_is_one_clear_line(images):
    made = augmenter({"name": "center_crop", "size": 11, "share": 0.9})
    with pytest.raises(InputError, match=r"^center_crop: size 11: the images have 12x10 pixels$"):
        made.batch(images, torch.arange(24), 0)


def test_images_turn_as_torchvision_turns_them(images):
    made = augmenter({"name": "rotation", "degrees": 30.0})
    found = made.batch(images, torch.arange(24), 0)
    black = (-torch.tensor(MEAN) / torch.tensor(STD)).tolist()
    assert made.angles.abs().max() <= 0.5236 and made.angles.std() > 0.2
    for i, angle in enumerate(made.angles.tolist()):
        turned = rotate(images[i], 180 / torch.pi * angle, fill=black)
        assert ((found[i] - turned).abs() < 1e-5).all(0).double().mean() > 0.97  # halfway pixels may go either way


def test_a_turned_image_is_black_in_its_corners(images):
    made = augmenter({"name": "rotation", "degrees": 45.0})
    corners = made.batch(images, torch.arange(24), 0)[made.angles.abs() > 0.6][:, :, 0, 0]
    expected = (-torch.tensor(MEAN) / torch.tensor(STD)).expand(len(corners), 3)
    assert len(corners) and torch.allclose(corners, expected, atol=1e-6)


def test_new_draws_leave_those_of_crop_and_flip_as_they_were():
    plain, more = augmenter("crop", "flip"), augmenter("crop", "flip", "rotation", "center_crop")
    assert torch.equal(plain.shifts, more.shifts) and torch.equal(plain.flips, more.flips)
