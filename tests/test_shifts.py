"""Shifted test images: each kind does what it says, more so with more severity; and the probe undoes nothing."""

import pytest
import torch

from nbhelpers import data as datasets
from nbhelpers import perform, probes, shifts, tensors
from nbhelpers.models import MLP
from nbhelpers.models.initialise import build


@pytest.fixture(scope="module")
def photos():
    images = datasets.load("shapes", classes=4).test_images[::20]
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", shifts.KINDS)
def test_a_shift_moves_the_pixels_further_with_each_severity(photos, kind):
    apart = [(shifts.shifted(photos, kind, s).float() - photos.float()).abs().mean().item() for s in shifts.SEVERITIES]
    assert apart == sorted(apart) and apart[0] > 0.5
    moved = shifts.shifted(photos, kind, 3)
    assert moved.shape == photos.shape and moved.dtype == torch.uint8
    assert torch.equal(moved, shifts.shifted(photos, kind, 3))


def test_brightness_adds_and_contrast_contracts_and_blur_smooths(photos):
    dark = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    assert shifts.shifted(dark, "brightness", 1).unique().tolist() == [round(100 + 0.08 * 255)]
    flat, smooth = (shifts.shifted(photos, kind, 5).float() for kind in ("contrast", "blur"))
    assert flat.std((1, 2, 3)).mean() < 0.5 * photos.float().std((1, 2, 3)).mean()
    assert smooth.diff(dim=2).abs().mean() < 0.8 * photos.float().diff(dim=2).abs().mean()
    noise = shifts.shifted(torch.full((20, 3, 32, 32), 128, dtype=torch.uint8), "noise", 2).float() / 255
    assert noise.std() == pytest.approx(0.06, rel=0.02)


@pytest.mark.parametrize("kind", shifts.KINDS)
def test_grey_images_stay_grey(kind):
    grey = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    assert shifts.shifted(grey, kind, 2).shape == grey.shape


def test_what_there_is_not_is_refused(photos):
    for kind, severity in (("fog", 1), ("blur", 6), ("blur", 0)):
        with pytest.raises(ValueError, match="kinds are brightness, contrast, noise, blur, JPEG, severities 1 to 5"):
            shifts.shifted(photos, kind, severity)


def test_the_probe_without_a_shift_is_the_test_itself_and_shifts_cost(make_run, small_data):
    run = make_run(model=MLP(hidden=(32,)), epochs=12, probes=["shifted_accuracy@1"])
    record = perform.perform(run, "cpu", threads=1)
    found = record["probes"]["shifted_accuracy@1"]["final"]
    assert found["none 0"] == record["final"]["test_accuracy"]
    assert len(found) == 2 + len(shifts.KINDS) * len(shifts.SEVERITIES)
    assert min(found.values()) < found["none 0"]


def test_the_probe_normalises_shifted_images_as_in_training(make_run):
    run = make_run(model=MLP(hidden=(8,)))
    train, test, _ = tensors.load(run.data, 0)
    net, seen = build(run.model, (3, 8, 8), 3, 0), []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    probes.shifts.shifted_accuracy(net, train, test, run.recipe)
    torch.testing.assert_close(seen[0], test.images)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (run.data.mean, run.data.std))
    raw = ((test.images * std + mean) * 255).round().to(torch.uint8)
    moved = shifts.shifted(raw, "brightness", 1)
    torch.testing.assert_close(seen[1], tensors.normalise(moved, run.data.mean, run.data.std))
    torch.testing.assert_close(seen[-1], tensors.normalise(raw, probes.shifts.OTHER_MEAN, probes.shifts.OTHER_STD))
