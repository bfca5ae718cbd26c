"""Subsets are balanced, nested and paired; batches are what plain indexing gives."""

import numpy as np
import pytest
import torch

from nbhelpers import data as datasets
from nbhelpers import tensors
from nbhelpers.tensors import Images, held_out, normalise, subset

LABELS = np.tile(np.arange(3), 20)  # 20 images of each of 3 classes


def changed(data, **fields):
    return type(data)(**dict(data) | fields)


def test_subsets_are_frozen():
    labels = np.tile(np.arange(3), 6)
    assert subset(labels, 3, 2, "train", 0).tolist() == [0, 5, 9, 10, 13, 17]
    assert subset(labels, 3, 2, "train", 1).tolist() == [1, 2, 3, 11, 13, 15]
    assert subset(labels, 3, 2, "test", 0).tolist() == [3, 5, 7, 14, 15, 16]


def test_a_smaller_subset_lies_inside_a_larger_one():
    subsets = [set(subset(LABELS, 3, n, "train", 4).tolist()) for n in (1, 5, 12, 20)]
    assert subsets[0] < subsets[1] < subsets[2] < subsets[3] == set(range(60))


def test_a_subset_is_balanced_and_sorted_and_has_no_image_twice():
    chosen = subset(LABELS, 3, 7, "train", 4)
    assert np.bincount(LABELS[chosen]).tolist() == [7, 7, 7]
    assert chosen.tolist() == sorted(set(chosen.tolist()))


def test_a_class_keeps_its_images_when_another_class_is_left_out():
    two = subset(LABELS[LABELS < 2], 2, 5, "train", 4)
    three = subset(LABELS, 3, 5, "train", 4)
    kept = np.flatnonzero(LABELS < 2)
    assert kept[two].tolist() == [i for i in three if LABELS[i] < 2]


def test_every_image_is_drawn_as_often_as_any_other():
    drawn = np.concatenate([subset(LABELS, 3, 5, "train", seed) for seed in range(400)])
    counts = np.bincount(drawn, minlength=60)  # expected 100, binomial with p = 1/4
    assert counts.sum() == 400 * 15
    assert abs(counts - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


def test_all_images_are_taken_in_order_where_no_number_is_given():
    assert subset(LABELS, 3, None, "train", 0).tolist() == list(range(60))


def test_more_images_than_there_are_is_one_clear_error():
    with pytest.raises(ValueError, match=r"per_class: 21: class 0 of the train split has only 20 images"):
        subset(LABELS, 3, 21, "train", 0)


def test_seeds_draw_other_training_images_and_the_same_test_images(small_data):
    (train_0, test_0, _), (train_1, test_1, _) = (tensors.load(small_data, seed) for seed in (0, 1))
    assert not torch.equal(train_0.images, train_1.images)
    assert torch.equal(test_0.images, test_1.images)
    assert torch.equal(train_0.labels.bincount(), torch.tensor([20, 20, 20]))
    assert torch.equal(test_0.labels.bincount(), torch.tensor([10, 10, 10]))


def test_a_shared_subset_seed_gives_all_seeds_the_same_training_images(small_data):
    shared = changed(small_data, subset_seed=1)
    train_0, train_1 = (tensors.load(shared, seed)[0] for seed in (0, 5))
    own = tensors.load(small_data, 1)[0]
    assert torch.equal(train_0.images, train_1.images)
    assert torch.equal(train_0.images, own.images)


def test_a_validation_split_is_held_out_and_drawn_by_the_seed(small_data):
    spec = changed(small_data, per_class=15, validation_per_class=4)
    whole = datasets.load("shapes", size=8, classes=3).train_images
    chosen = {}
    for seed in (0, 1):
        train, validation = tensors.load(spec, seed)[0], tensors.validation(spec, seed)
        assert torch.equal(validation.labels.bincount(), torch.tensor([4, 4, 4]))
        assert torch.equal(train.labels.bincount(), torch.tensor([15, 15, 15]))
        rows = {tuple(image.flatten().tolist()) for image in train.images}
        assert not rows & {tuple(image.flatten().tolist()) for image in validation.images}
        chosen[seed] = validation.images
    assert not torch.equal(chosen[0], chosen[1]) and spec.drawn_by_run and len(whole) == 3000
    everything = changed(small_data, per_class=None, validation_per_class=4)
    assert everything.drawn_by_run and len(tensors.load(everything, 0)[0]) == 3000 - 12
    assert tensors.validation(small_data, 0) is None


@pytest.mark.parametrize("per_class, taken", [(7, 7), (15, 15), (None, 15)])
def test_validation_images_are_others_and_as_many_of_every_class(per_class, taken):
    train, validation = subset(LABELS, 3, per_class, "train", 4, spare=5), held_out(LABELS, 3, 5, 4)
    assert np.bincount(LABELS[train]).tolist() == [taken] * 3
    assert np.bincount(LABELS[validation]).tolist() == [5] * 3
    assert not set(train) & set(validation)
    assert all(chosen.tolist() == sorted(chosen) for chosen in (train, validation))


def test_validation_images_are_frozen():
    labels = np.tile(np.arange(3), 6)
    assert held_out(labels, 3, 2, 0).tolist() == [2, 3, 6, 7, 8, 16]
    assert held_out(labels, 3, 2, 1).tolist() == [4, 5, 6, 8, 9, 16]


def test_holding_images_out_changes_no_smaller_training_subset():
    assert subset(LABELS, 3, 7, "train", 4, spare=5).tolist() == subset(LABELS, 3, 7, "train", 4).tolist()


@pytest.mark.parametrize("per_class, spare, said", [(5, 2, "5 and 2 others"), (None, 6, "None and 6 others")])
def test_too_few_images_to_validate_on_are_one_clear_error(per_class, spare, said):
    labels = np.repeat([0, 1, 2], [20, 6, 20])
    with pytest.raises(datasets.DataError) as caught:
        subset(labels, 3, per_class, "train", 0, spare)
    assert str(caught.value) == f"per_class: {said} to validate on: class 1 of the train split has only 6 images"
    assert (labels[subset(labels, 3, per_class, "train", 0, spare - 1)] == 1).sum() == (per_class or 1)


@pytest.mark.parametrize("per_class, taken", [(20, 60), (None, 3 * 990)])
def test_a_validation_split_is_drawn_from_the_training_images_by_the_seed(small_data, per_class, taken):
    spec = changed(small_data, per_class=per_class, test_from="train")
    found = {seed: tensors.load(spec, seed) for seed in (0, 1)}
    for seed, (train, validation, whole) in found.items():
        at = held_out(whole.train_labels, 3, 10, seed)
        pixels = torch.from_numpy(whole.train_images[at]).permute(0, 3, 1, 2)
        assert torch.equal(validation.images, normalise(pixels, spec.mean, spec.std))
        assert validation.labels.tolist() == whole.train_labels[at].tolist()
        assert train.labels.bincount().tolist() == [taken // 3] * 3
    assert not torch.equal(found[0][1].images, found[1][1].images)
    assert torch.equal(tensors.load(changed(spec, subset_seed=1), 0)[1].images, found[1][1].images)


def moves(plain: Images, moved: Images) -> list[int]:
    """For each place of the moved images, the one where all images and channels have these values in the plain."""
    before, after = (
        [column.numpy().tobytes() for column in i.images.flatten(2).permute(2, 0, 1)] for i in (plain, moved)
    )
    assert len(set(before)) == len(before)
    return [before.index(column) for column in after]


def test_one_permutation_moves_the_pixels_of_all_images(small_data):
    plain = tensors.load(small_data, 1)[:2]
    first, again, other = (tensors.load(changed(small_data, permutation_seed=s), 1)[:2] for s in (0, 0, 1))
    order = moves(plain[0], first[0])
    assert sorted(order) == list(range(64)) != order
    assert order == moves(plain[1], first[1]) == moves(plain[0], again[0]) != moves(plain[0], other[0])
    assert order[:8] == [20, 8, 30, 34, 32, 24, 9, 46]
    assert moves(*(tensors.load(changed(small_data, permutation_seed=p), 2)[0] for p in (None, 0))) == order
    assert torch.equal(first[0].labels, plain[0].labels)


def test_images_are_scaled_normalised_and_in_the_order_of_the_data_set(small_data):
    train, test, whole = tensors.load(changed(small_data, per_class=None), 0)
    pixels = np.asarray(whole.train_images)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (small_data.mean, small_data.std))
    expected = (pixels.transpose(0, 3, 1, 2) / 255 - mean) / std
    assert train.images.dtype == torch.float32
    assert np.abs(train.images.numpy() - expected).max() < 1e-5
    assert train.labels.tolist() == whole.train_labels.tolist()
    assert (len(train), len(test), train.classes, test.classes) == (len(pixels), 30, 3, 3)


def test_images_stay_between_zero_and_one_without_mean_and_std(small_data):
    train, _, _ = tensors.load(changed(small_data, mean=None, std=None), 0)
    assert 0 <= train.images.min() < 0.2
    assert 0.8 < train.images.max() <= 1


@pytest.mark.parametrize("field", ["mean", "std"])
def test_a_mean_for_another_number_of_channels_is_one_clear_error(small_data, field):
    with pytest.raises(datasets.DataError, match=rf"{field}: \[0\.5\]: the images have 3 channels"):
        tensors.load(changed(small_data, **{field: (0.5,)}), 0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_batch_is_what_plain_indexing_gives_in_the_format_of_the_whole(random_images, memory_format):
    whole = random_images(40, (3, 6, 8)).to(torch.device("cpu"), memory_format)
    index = torch.tensor([5, 0, 39, 5, 17])
    images, labels = whole.batch(index)
    assert torch.equal(images, whole.images[index])
    assert torch.equal(labels, whole.labels[index])
    assert images.is_contiguous(memory_format=memory_format)


def test_a_batch_of_a_loaded_data_set_is_what_plain_indexing_gives(small_data):
    train = tensors.load(small_data, 0)[0]  # straight from pixels in (H, W, C)
    index = torch.tensor([3, 59, 0])
    assert torch.equal(train.batch(index)[0], train.images[index])


def test_a_batch_is_a_copy(random_images):
    whole = random_images()
    before = whole.images.clone()
    whole.batch(torch.arange(4))[0].zero_()
    assert torch.equal(whole.images, before)


def test_moving_changes_the_layout_and_no_value(random_images):
    whole = random_images()
    moved = whole.to(torch.device("cpu"), torch.channels_last)
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(moved.images, whole.images)
    assert (len(moved), moved.classes) == (len(whole), whole.classes) == (40, 3)


def test_one_channel_keeps_its_values_in_batches():
    whole = Images(torch.arange(32.0).view(8, 1, 2, 2), torch.arange(8), 8)
    last = whole.to(torch.device("cpu"), torch.channels_last)
    assert last.batch(torch.tensor([7, 1]))[0].flatten().tolist() == [28, 29, 30, 31, 4, 5, 6, 7]


def test_test_images_can_be_normalised_otherwise_and_be_those_that_were_learnt(small_data):
    train, test, _ = tensors.load(small_data, 0)
    other = changed(small_data, test_mean=(0.1, 0.2, 0.3), test_std=(1.0, 2.0, 4.0))
    _, wrong, _ = tensors.load(other, 0)
    pixels = test.images * torch.tensor(small_data.std)[:, None, None] + torch.tensor(small_data.mean)[:, None, None]
    expected = (pixels - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    torch.testing.assert_close(wrong.images, expected)
    _, seen, _ = tensors.load(changed(small_data, test_from="seen"), 0)
    assert torch.equal(seen.images, train.images) and torch.equal(seen.labels, train.labels)
