"""Probes measure what they say, and leave the run as it was."""

import copy
import math

import pytest
import torch
from scipy.stats import skew
from torch import nn
from torch.nn import functional as F

from nbhelpers import probes
from nbhelpers.models import MLP, ConvNet, ResNet
from nbhelpers.models.initialise import build
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate

SHAPE = (3, 8, 8)
RECIPE = Recipe(lr=0.1, epochs=1, batch_size=16)
SCALED = MLP(hidden=(4,), activation={"name": "relu", "slope": 2})
ALL = tuple(probes.registry._PROBES)
OF_ALL_NETS = tuple(name for name in ALL if name != "equal_gain@2")


@pytest.fixture
def net():
    return build(ConvNet(channels=[4, 6], activation="sigmoid", pool=(1,)), SHAPE, 3, seed=1)


def convnet(*channels, **fields):
    return build(ConvNet(channels=channels, **fields), SHAPE, 3, seed=1)


def measure(name, net, train, test, moment="final", recipe=RECIPE):
    return probes.measure((name,), moment, net, train, test, recipe)[name]


@pytest.mark.parametrize("moment", ["initial", "epoch", "final"])
@pytest.mark.parametrize(
    "model, names",
    [
        (ConvNet(channels=[4, 6]), OF_ALL_NETS),
        (ConvNet(channels=[4, 6], order="activation-norm-conv"), OF_ALL_NETS),
        (SCALED, ALL),
    ],
    ids=["conv first", "activation first", "mlp"],
)
def test_probes_leave_weights_statistics_images_and_random_stream_as_they_were(random_images, model, names, moment):
    net, train, test = build(model, SHAPE, 3, seed=1), random_images(40), random_images(30)
    state, mode = copy.deepcopy(net.state_dict()), net.training
    pixels = [part.images.clone() for part in (train, test)]
    torch.manual_seed(3)
    stream = torch.get_rng_state()
    assert probes.measure(names, moment, net, train, test, RECIPE)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert net.training is mode
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())
    assert torch.equal(train.images, pixels[0])
    assert torch.equal(test.images, pixels[1])
    assert torch.equal(torch.get_rng_state(), stream)


def test_not_even_a_probe_that_spoils_its_model_touches_the_run(net, random_images, monkeypatch):
    monkeypatch.setattr(probes.registry, "_PROBES", dict(probes.registry._PROBES))

    @probes.probe("spoil@1", at=("initial",))
    def spoil(model, train, test, recipe):
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return torch.rand(1).item()

    state, stream = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    probes.measure(("spoil@1",), "initial", net, random_images(), random_images(), RECIPE)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


def test_a_probe_runs_only_at_its_moments(random_images):
    net, part = build(SCALED, SHAPE, 3, seed=1), random_images()
    moments = {
        moment: set(probes.measure(ALL, moment, net, part, part, RECIPE)) for moment in ("initial", "epoch", "final")
    }
    both = {"gradient_norms@1", "activation_slopes@1", "input_zeros@1", "input_means@1", "input_skews@1"}
    both |= {"constant_units@1", "first_kernels@1", "class_in_channels@1"}
    experiments = {"activation_time@1", "transfer@1", "fine_detail@1", "background_channel@1"}
    looks = {"favourites@1", "changed_by_a_shift@1", "inference_time@1", "shifted_accuracy@1"}
    by_epoch = {"gradient_norms_by_epoch@1", "dead_units_by_epoch@1"}
    assert moments == {
        "initial": both | by_epoch | {"batch_statistics@1", "sharpness@1", "equal_gain@2"} | experiments,
        "epoch": by_epoch,
        "final": both | {"recalibrated_batchnorm@2", "batch_mode_accuracy@1"} | looks,
    }


def test_an_unknown_probe_is_told():
    with pytest.raises(
        ValueError, match=r"probes: 'gradient_norms': known are activation_slopes@1, activation_time@1, "
    ):
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


def test_gradient_norms_of_a_net_with_dropout_are_the_same_again(random_images):
    train = random_images(40)
    net = build(ResNet(stem=4, widths=(4,), blocks=(1,), dropout=0.5), (3, 8, 8), train.classes, 0)
    first = measure("gradient_norms@1", net, train, train)
    torch.manual_seed(1)
    assert measure("gradient_norms@1", net, train, train) == first


def test_the_gradient_is_that_of_a_net_that_keeps_all_its_activations(random_images, monkeypatch):
    train = random_images(40)
    net = build(ResNet(stem=4, widths=(4, 8), blocks=(1, 1), block="bottleneck"), (3, 8, 8), train.classes, 0)
    found = measure("gradient_norms@1", net, train, train)
    monkeypatch.setattr(probes.gradients, "checkpoint", lambda function, *inputs, use_reentrant: function(*inputs))
    assert measure("gradient_norms@1", net, train, train) == found


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


@pytest.mark.parametrize(("activation", "share"), [("relu", 37.5), ("gelu", 37.5), ("elliott", 37.5), ("abrelu", 25)])
def test_constant_units_are_those_that_say_the_same_about_every_image(random_images, activation, share):
    net, train = (
        build(ConvNet(channels=[8, 4], activation=activation, norm="none"), SHAPE, 3, seed=1),
        random_images(40),
    )
    with torch.no_grad():
        net.block1.conv.bias[:2] = -1e4  # far below, where these are flat
        net.block1.conv.weight[2] = 0  # constant before the activation too, but for the mean that ABReLU takes off
    assert measure("constant_units@1", net, train, train) == {"block1.activation": share, "block2.activation": 0.0}


def test_constant_units_of_rectifiers_are_the_dead_ones(random_images):
    net, train = build(MLP(hidden=(6, 5)), SHAPE, 3, seed=1), random_images(40)
    with torch.no_grad():
        net.linear1.bias[:3] = -1e4
    found = measure("constant_units@1", net, train, train)
    assert found == measure("dead_units_by_epoch@1", net, train, train, "epoch") and found["activation1"] == 50


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


def test_shuffled_batches_hold_every_image_once_and_every_class(random_images):
    part = Images(torch.arange(90.0).view(90, 1, 1, 1), torch.arange(3).repeat_interleave(30), 3)
    torch.manual_seed(3)
    batches, stream = list(probes.shuffled(part, 40)), torch.get_rng_state()
    assert [len(labels) for _, labels in batches] == [40, 40, 10]
    assert all(labels.bincount().min() >= 8 for _, labels in batches[:2])
    images = torch.cat([images for images, _ in batches]).flatten()
    assert images.sort().values.tolist() == list(range(90))
    assert torch.cat([labels for _, labels in batches]).tolist() == (images // 30).tolist()
    torch.manual_seed(4)
    assert torch.equal(torch.cat([images for images, _ in probes.shuffled(part, 40)]).flatten(), images)
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("count, batches", [(40, 2), (13, 1)])
def test_batch_mode_takes_whole_batches_of_test_images_by_their_own_statistics(net, random_images, count, batches):
    test, size = random_images(count), min(count, 16)
    with torch.no_grad():  # as after training: every class is said, and the running statistics lag far behind
        net.linear.bias -= net.train()(test.images).mean(0)
        net.block1.norm.running_mean.fill_(30)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))[: batches * size]
    with torch.no_grad():
        said = torch.cat([copy.deepcopy(net).train()(x).argmax(1) for x in test.images[order].split(size)])
    expected = 100 * (said == test.labels[order]).double().mean().item()
    found = measure("batch_mode_accuracy@1", net, random_images(30), test)
    assert found == {"test_accuracy": pytest.approx(expected)}
    assert set(said.tolist()) == {0, 1, 2} and expected != pytest.approx(evaluate(net, test).accuracy)


def test_batch_mode_is_plain_evaluation_without_batch_norm(random_images):
    net, test = convnet(4, norm={"name": "group", "groups": 2}), random_images(32)
    assert measure("batch_mode_accuracy@1", net, test, test) == {"test_accuracy": evaluate(net, test).accuracy}


def batch_statistics(net, train, batch_size):
    recipe = Recipe(lr=0.1, epochs=1, batch_size=batch_size)
    return measure("batch_statistics@1", net, train, train, "initial", recipe)


@pytest.fixture
def uneven(random_images):
    """400 images of differing brightness and contrast: their means and variances differ, as photographs' do."""
    noise = random_images(400)
    drawn = torch.randn((2, 400, 1, 1, 1), generator=torch.Generator().manual_seed(5))
    return Images(noise.images * (1 + 0.3 * drawn[0]) + drawn[1], noise.labels, 3)


def test_predicted_batch_statistics_are_those_of_independent_images(net, uneven):
    net.train()
    first = net.block1.conv(uneven.images)
    second = net.block2.conv(net.block1.pool(net.block1.activation(net.block1.norm(first))))
    means, variances = [], []
    for z in (first.detach().double(), second.detach().double()):
        mu, variance = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), correction=0)
        means.append(z.mean((2, 3)).std(0) / variance.sqrt())
        variances.append((z - mu).square().mean((2, 3)).std(0) / variance)
    found = batch_statistics(net, uneven, 16)
    assert found["mean, predicted"] == pytest.approx(torch.cat(means).mean().item() / 4, rel=1e-4)
    assert found["variance, predicted"] == pytest.approx(torch.cat(variances).mean().item() / 4, rel=1e-4)


def test_measured_batch_statistics_are_as_predicted_and_fall_with_the_square_root_of_the_batch(net, uneven):
    small, large = (batch_statistics(net, uneven, size) for size in (16, 64))
    for name in ("mean", "variance"):
        predicted = f"{name}, predicted"
        assert small[predicted] == pytest.approx(2 * large[predicted])
        for found in (small, large):  # of 1,000 batches, the sd has an error of 2%
            assert found[name] == pytest.approx(found[predicted], rel=0.1)
    assert all(0.01 < value < 0.5 for value in small.values())


def test_batch_statistics_do_not_depend_on_the_kind_of_norm_and_are_none_without(uneven):
    batch, group = (convnet(4, norm=norm) for norm in ("batch", {"name": "group", "groups": 2}))
    assert batch_statistics(batch, uneven, 16) == batch_statistics(group, uneven, 16)
    assert batch_statistics(convnet(4, norm="none"), uneven, 16) == {}


@pytest.mark.parametrize("order", ["conv-norm-activation", "conv-activation-norm"])
def test_what_convolutions_receive_is_measured_in_training_mode(random_images, order):
    net, train = convnet(4, 6, order=order), random_images(40)
    received = {"block1.conv": train.images, "block2.conv": net.train().block1(train.images).detach()}
    values = {name: x.double().flatten() for name, x in received.items()}
    zeros, means, skews = (measure(f"input_{n}@1", net, train, train) for n in ("zeros", "means", "skews"))
    assert zeros == {name: pytest.approx(100 * (x == 0).double().mean().item()) for name, x in values.items()}
    assert means == {name: pytest.approx((x.mean() / x.std()).item(), rel=1e-4, abs=1e-6) for name, x in values.items()}
    assert skews == {name: pytest.approx(skew(x.numpy()), rel=1e-4) for name, x in values.items()}


@pytest.mark.parametrize(
    "fields, low, high",
    [
        ({}, 40, 60),
        ({"activation": "leaky_relu"}, 0, 0),
        ({"activation": "sigmoid"}, 0, 0),
        ({"order": "conv-activation-norm"}, 0, 0),
    ],
)
def test_half_of_what_a_convolution_receives_is_zero_right_after_a_relu_and_nothing_else(
    random_images, fields, low, high
):
    zeros = measure("input_zeros@1", convnet(4, 6, **fields), random_images(), random_images())
    assert zeros["block1.conv"] == 0
    assert low <= zeros["block2.conv"] <= high


def test_gradient_norms_by_epoch_are_gradient_norms(net, random_images):
    train = random_images(40)
    expected = measure("gradient_norms@1", net, train, train)
    assert measure("gradient_norms_by_epoch@1", net, train, train, "epoch") == expected


@pytest.mark.parametrize("activation", ["relu", {"name": "relu", "slope": 62}])
def test_a_unit_is_dead_that_is_zero_for_every_image(random_images, activation):
    net = build(MLP(hidden=(5, 4), activation=activation, output="softmax"), SHAPE, 3, seed=1)
    net.linear1.bias.data[:2] = -1000
    net.linear2.bias.data[:] = -1000
    found = measure("dead_units_by_epoch@1", net, random_images(), random_images(), "epoch")
    assert found == {"activation1": pytest.approx(40), "activation2": 100}


def test_a_channel_is_alive_where_one_pixel_of_one_image_is_not_zero():
    net, images = convnet(2, norm="none"), torch.zeros(6, *SHAPE)
    images[3, 0, 2, 5] = 1
    nn.init.zeros_(net.block1.conv.weight)
    net.block1.conv.weight.data[:, 0, 1, 1] = 1
    net.block1.conv.bias.data = torch.tensor([-0.5, -1000])
    train = Images(images, torch.arange(6) % 3, 3)
    assert measure("dead_units_by_epoch@1", net, train, train, "epoch") == {"block1.activation": 50}


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "leaky_relu"])
def test_only_rectifiers_have_dead_units(random_images, activation):
    net = build(MLP(hidden=(5,), activation=activation), SHAPE, 3, seed=1)
    assert measure("dead_units_by_epoch@1", net, random_images(), random_images(), "epoch") == {}


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(random_images, activation):
    train = random_images(30, (1, 3, 3))
    net = build(MLP(hidden=(4,), activation=activation), (1, 3, 3), 3, seed=1)
    sizes = [p.numel() for p in net.parameters()]

    def loss(vector):
        parts = zip(net.named_parameters(), vector.split(sizes), strict=True)
        logits = torch.func.functional_call(net, {n: v.view(p.shape) for (n, p), v in parts}, train.images)
        return F.cross_entropy(logits, train.labels)

    hessian = torch.autograd.functional.hessian(loss, nn.utils.parameters_to_vector(net.parameters()).detach())
    largest = torch.linalg.eigvalsh(hessian)[-1].item()
    assert measure("sharpness@1", net, train, train, "initial") == {"sharpness": pytest.approx(largest, rel=0.01)}
