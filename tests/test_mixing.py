"""Mixing batches: what the images and targets become, and the loss on them."""

import pytest
import torch
from torch.nn import functional as F

from nbhelpers.mixing import Mixer, Targets
from nbhelpers.run import Recipe


def mixer(name, seed=1, epoch=0, **values):
    recipe = Recipe(lr=0.1, epochs=1, batch_size=8, mixing={"name": name, **values})
    return Mixer(recipe, seed, epoch)


@pytest.fixture
def batch():
    """Eight images in each of which every value is its own number, from 0 to 7, with the number as label."""
    return torch.arange(8.0)[:, None, None, None].expand(8, 2, 6, 5).clone(), torch.arange(8)


def test_mixup_blends_each_image_with_another_in_the_proportion_of_their_labels(batch):
    x, y = batch
    mixed, targets = mixer("mixup", alpha=1.0).batch(x, y)
    assert targets.weights.sum() == pytest.approx(1) and 0 < targets.weights[0] < 1
    expected = (targets.labels * targets.weights[:, None]).sum(0)
    assert torch.allclose(mixed[:, 0, 0, 0], expected) and torch.equal(targets.labels[0], y)
    assert sorted(targets.labels[1].tolist()) == y.tolist() != targets.labels[1].tolist()


def test_ricap_puts_four_images_together_and_weighs_their_labels_by_area(batch):
    x, y = batch
    for epoch in range(5):
        mixed, targets = mixer("ricap", epoch=epoch, beta=1.0).batch(x, y)
        assert targets.labels.shape == (4, 8) and targets.weights.sum() == pytest.approx(1)
        for i in range(8):
            shares = {n: float((mixed[i, 0] == n).float().mean()) for n in range(8)}
            expected = dict.fromkeys(range(8), 0.0)
            for label, weight in zip(targets.labels[:, i].tolist(), targets.weights.tolist(), strict=True):
                expected[label] += weight
            assert shares == pytest.approx(expected, abs=1e-6)


def test_the_patches_of_ricap_are_windows_of_their_images():
    x = torch.arange(4 * 6 * 6.0).reshape(4, 1, 6, 6)
    mixed, _ = mixer("ricap", seed=3, beta=1.0).batch(x, torch.arange(4))
    down, across = mixed[:, 0, 1:] - mixed[:, 0, :-1], mixed[:, 0, :, 1:] - mixed[:, 0, :, :-1]
    seams = (down != 6).any(2).sum(1), (across != 1).any(1).sum(1)  # of each image: where two patches meet
    assert all((found <= 1).all() for found in seams) and all(found.any() for found in seams)


@pytest.mark.parametrize("name", ["mixup", "ricap"])
def test_the_draws_belong_to_seed_and_epoch(batch, name):
    one, same, other = (mixer(name, epoch=e).batch(*batch)[0] for e in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_the_loss_is_the_weighted_sum_over_the_labels_of_an_image():
    logits, labels = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(16).reshape(2, 8) % 3
    weights = torch.tensor([0.3, 0.7])
    soft = (F.one_hot(labels, 3) * weights[:, None, None]).sum(0)
    assert Targets(labels, weights).loss(logits) == pytest.approx(F.cross_entropy(logits, soft).item(), rel=1e-6)
    smooth = 0.9 * soft + 0.1 / 3
    found = Targets(labels, weights).loss(logits, smoothing=0.1)
    assert found == pytest.approx(F.cross_entropy(logits, smooth).item(), rel=1e-6)


def test_a_mixed_image_counts_by_the_weight_of_the_label_that_is_named():
    labels, weights = torch.tensor([[0, 1], [1, 1]]), torch.tensor([0.25, 0.75])
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0]])  # names 0, then 1
    assert Targets(labels, weights).hits(logits) == pytest.approx(0.25 + 1)
