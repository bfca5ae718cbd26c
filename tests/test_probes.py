"""Probes measure what they say, and leave the run as it was."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import probes
from nbhelpers.models import MLP, ConvNet
from nbhelpers.models.initialise import build
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate

SHAPE = (3, 8, 8)
RECIPE = Recipe(lr=0.1, epochs=1, batch_size=16)
ALL = ("gradient_norms@1", "activation_slopes@1", "recalibrated_batchnorm@2")


@pytest.fixture
def net():
    return build(ConvNet(channels=[4, 6], activation="sigmoid", pool=(1,)), SHAPE, 3, seed=1)


def measure(name, net, train, test, moment="final"):
    return probes.measure((name,), moment, net, train, test, RECIPE)[name]


@pytest.mark.parametrize("moment", ["initial", "final"])
def test_probes_leave_weights_statistics_images_and_random_stream_as_they_were(net, random_images, moment):
    train, test = random_images(40), random_images(30)
    state, mode = copy.deepcopy(net.state_dict()), net.training
    pixels = [part.images.clone() for part in (train, test)]
    torch.manual_seed(3)
    stream = torch.get_rng_state()
    probes.measure(ALL, moment, net, train, test, RECIPE)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert net.training is mode
    assert torch.equal(train.images, pixels[0])
    assert torch.equal(test.images, pixels[1])
    assert torch.equal(torch.get_rng_state(), stream)


def test_not_even_a_probe_that_spoils_its_model_touches_the_run(net, random_images, monkeypatch):
    monkeypatch.setattr(probes, "_PROBES", dict(probes._PROBES))

    @probes.probe("spoil@1", at=("initial",))
    def spoil(model, train, test, recipe):
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return torch.rand(1).item()

    state, stream = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    probes.measure(("spoil@1",), "initial", net, random_images(), random_images(), RECIPE)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


def test_a_probe_runs_only_at_its_moments(net, random_images):
    measured = probes.measure(ALL, "initial", net, random_images(), random_images(), RECIPE)
    assert set(measured) == {"gradient_norms@1", "activation_slopes@1"}


def test_an_unknown_probe_is_told():
    with pytest.raises(ValueError, match=r"probes: 'gradient_norms': known are activation_slopes@1, batch_mode"):
        probes.check(("gradient_norms",))


def test_first_images_are_all_images_of_a_small_set(random_images):
    train = random_images(40)
    assert torch.equal(probes.first_images(train).images, train.images)


def test_first_images_are_500_spread_evenly_over_the_classes():
    train = Images(torch.arange(3000.0).view(-1, 1, 1, 1), torch.arange(10).repeat_interleave(300), 10)
    part = probes.first_images(train)
    assert len(part) == 500
    assert part.labels.bincount().tolist() == pytest.approx([50] * 10, abs=1)
    assert len(part.images.unique()) == 500


def test_gradient_norms_are_those_of_the_training_loss(net, random_images):
    train = random_images(40)
    found = measure("gradient_norms@1", net, train, train)
    net.train()
    loss = F.cross_entropy(net(train.images), train.labels)
    layers = {"block1.conv": net.block1.conv, "block2.conv": net.block2.conv, "linear": net.linear}
    gradients = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
    expected = [math.sqrt((gradient.double() ** 2).sum()) for gradient in gradients]
    assert found == pytest.approx(dict(zip(layers, expected, strict=True)), rel=1e-5)


def test_the_slope_of_a_sigmoid_is_that_of_its_formula_and_at_most_a_quarter(net, random_images):
    train = random_images(40)
    found = measure("activation_slopes@1", net, train, train)
    net.train()
    z = net.block1.norm(net.block1.conv(train.images))
    s = torch.sigmoid(z)
    assert found["block1.activation"] == pytest.approx((s * (1 - s)).mean().item(), rel=1e-5)
    assert set(found) == {"block1.activation", "block2.activation"}
    assert all(0 < slope <= 0.25 for slope in found.values())


@pytest.mark.parametrize(
    "activation, of_positive, of_negative",
    [
        ("relu", 1, 0),
        ({"name": "relu", "slope": 62}, 62, 0),
        ("leaky_relu", 1, 0.01),
    ],
)
def test_the_slope_of_a_kinked_activation_goes_by_the_share_of_positive_inputs(
    random_images, activation, of_positive, of_negative
):
    net, train = build(MLP(hidden=(20,), activation=activation), SHAPE, 3, seed=1), random_images(40)
    share = (net.linear1(train.images.flatten(1)) > 0).float().mean().item()
    assert 0.2 < share < 0.8
    expected = share * of_positive + (1 - share) * of_negative
    assert measure("activation_slopes@1", net, train, train) == {"activation1": pytest.approx(expected, rel=1e-5)}


def test_a_scaled_and_shifted_sigmoid_has_its_scale_in_the_slope(random_images):
    train, slopes = random_images(40), []
    for activation in ("sigmoid", {"name": "sigmoid", "scale": 4, "shift": -2}):
        net = build(MLP(hidden=(20,), activation=activation), SHAPE, 3, seed=1)
        slopes.append(measure("activation_slopes@1", net, train, train)["activation1"])
    assert slopes[1] == pytest.approx(4 * slopes[0], rel=1e-5)


def with_average_statistics(net, images, batch_size):
    """A copy whose BatchNorm layers hold plain averages of the shuffled batches' means and unbiased variances."""
    net, found = copy.deepcopy(net).eval(), {}
    with torch.no_grad():
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        for x in images[order].split(batch_size):
            for name, layer in net.named_modules():
                if isinstance(layer, nn.BatchNorm2d):
                    found.setdefault(name, []).append((x.mean((0, 2, 3)), x.var((0, 2, 3))))
                    x = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
                elif not list(layer.children()):
                    x = layer(x)
        for name, pairs in found.items():
            means, variances = map(torch.stack, zip(*pairs, strict=True))
            net.get_submodule(name).running_mean.copy_(means.mean(0))
            net.get_submodule(name).running_var.copy_(variances.mean(0))
    return net


def test_recalibrated_statistics_are_averages_over_the_training_batches(net, random_images):
    train, test = random_images(600), random_images(30)
    with torch.no_grad():  # as after training: statistics that lag, weights that count
        net.block1.norm.running_mean.fill_(3)
        net.block1.norm.num_batches_tracked.fill_(50)
        net.linear.weight.mul_(20)
    expected = evaluate(with_average_statistics(net, train.images, 300), test)
    found = measure("recalibrated_batchnorm@2", net, train, test)
    assert found["test_loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert found["test_accuracy"] == expected.accuracy
    assert found["test_loss"] != pytest.approx(evaluate(net, test).loss, rel=1e-2)


def test_recalibration_changes_nothing_without_batch_norm(random_images):
    net = build(ConvNet(channels=[4], norm={"name": "group", "groups": 2}), SHAPE, 3, seed=1)
    train, test = random_images(40), random_images(30)
    expected = evaluate(net, test)
    found = measure("recalibrated_batchnorm@2", net, train, test)
    assert found == {"test_accuracy": expected.accuracy, "test_loss": pytest.approx(expected.loss, rel=1e-6)}
