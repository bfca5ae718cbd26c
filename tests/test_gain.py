"""An MLP with rectifiers max(0, r x) is one with plain ReLU, other weights and other step sizes."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import gain
from nbhelpers.models import MLP
from nbhelpers.models.initialise import build
from nbhelpers.models.modules import ScaledReLU

SHAPE = (3, 8, 8)
STEPS = ["r² lr, lr", "lr", "r² lr"]


def mlp(r: float, **fields) -> nn.Module:
    """A net with two hidden layers and rectifiers max(0, r x)."""
    return build(MLP(hidden=(8, 6), activation={"name": "relu", "slope": r}, **fields), SHAPE, 3, seed=1)


def compare(net: nn.Module, train, lr: float) -> dict[str, float]:
    return gain.compare(net, train, lr, batch_size=16)


@pytest.mark.parametrize("r", [1.0, 2.0, 3.7, 62.0])
def test_the_gain_is_that_of_the_rectifiers(r):
    assert gain.gain_of(mlp(r)) == r


# ------------------------------------------------------------------------ twin


@pytest.mark.parametrize("output", ["logits", "softmax"])
@pytest.mark.parametrize("r", [2.0, 3.7, 62.0])
def test_the_plain_twin_computes_the_same_function(random_images, r, output):
    net, x = mlp(r, output=output).double(), random_images(40).images.double()
    twin = gain.plain_twin(net)
    assert [type(layer) for name, layer in twin.named_children() if name.startswith("activation")] == [nn.ReLU] * 2
    expected = net(x)
    assert ((twin(x) - expected).abs().max() / expected.abs().max()).item() < 1e-14
    only_the_rectifiers = nn.Sequential(*(nn.ReLU() if isinstance(part, ScaledReLU) else part for part in net))
    assert not torch.allclose(only_the_rectifiers(x), expected, rtol=0.1)


def test_the_twin_has_r_times_the_hidden_weights_and_biases_and_the_output_layer_as_it_is():
    net = mlp(62.0)
    twin = gain.plain_twin(net).state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(twin[name], value if name.startswith("output") else 62 * value), name


def test_the_twin_of_a_plain_net_is_that_net():
    net = mlp(1.0)
    twin = gain.plain_twin(net).state_dict()
    assert all(torch.equal(twin[name], value) for name, value in net.state_dict().items())


# ---------------------------------------------------------------------- losses


def test_losses_are_those_of_plain_gradient_descent_before_each_step(random_images):
    train, net = random_images(40), mlp(3.7)
    found = gain.losses(copy.deepcopy(net), 0.05, 0.05, train, 5, 16)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    sgd, expected = torch.optim.SGD(net.parameters(), lr=0.05), []
    for first in (0, 16, 32, 48, 64):
        at = [order[i % 40] for i in range(first, first + 16)]
        loss = F.cross_entropy(net(train.images[at]), train.labels[at])
        expected.append(loss.item())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert found.dtype == torch.float64 and len(set(expected)) == 5


@pytest.mark.parametrize(("rates", "still"), [((0.0, 0.1), {"linear1", "linear2"}), ((0.1, 0.0), {"output"})])
def test_hidden_layers_and_output_layer_have_their_own_step_size(random_images, rates, still):
    net = mlp(2.0)
    before = copy.deepcopy(net.state_dict())
    gain.losses(net, *rates, random_images(40), 3, 16)
    equal = {name for name, value in net.state_dict().items() if torch.equal(value, before[name])}
    assert equal == {f"{layer}.{kind}" for layer in still for kind in ("weight", "bias")}


# --------------------------------------------------------------------- compare


@pytest.mark.parametrize(("r", "lr"), [(2.0, 0.05), (3.7, 0.05), (62.0, 0.01)])
def test_with_step_sizes_layer_by_layer_the_twin_follows_and_with_one_it_does_not(random_images, r, lr):
    found = compare(mlp(r), random_images(40), lr)
    assert list(found) == STEPS
    assert found["r² lr, lr"] < 1e-10
    assert min(found["lr"], found["r² lr"]) > 0.5


@pytest.mark.parametrize(("r", "lr"), [(3.7, 5.0), (62.0, 0.5)])
def test_the_twin_follows_also_where_the_net_blows_up(random_images, r, lr):
    train = random_images(40)
    course = gain.losses(mlp(r), lr, lr, train, 200, 16)
    assert course.max() > 1000 * course[0] and course.isfinite().all()
    found = compare(mlp(r), train, lr)
    assert found["r² lr, lr"] < 1e-10
    assert min(found["lr"], found["r² lr"]) > 0.5


@pytest.mark.parametrize("lr", [0.05, 5.0])
def test_without_a_gain_all_step_sizes_are_the_same(random_images, lr):
    assert compare(mlp(1.0), random_images(40), lr) == dict.fromkeys(STEPS, 0)


def test_the_difference_is_relative_and_the_largest_of_all_steps(random_images, monkeypatch):
    courses = iter([[2.0, 4.0, 8.0], [2.0, 4.0, 8.0], [2.0, 5.0, 9.0], [1.0, 4.0, 8.0]])
    monkeypatch.setattr(gain, "losses", lambda *_: torch.tensor(next(courses)))
    assert compare(mlp(2.0), random_images(40), 0.1) == {"r² lr, lr": 0, "lr": 0.25, "r² lr": 0.5}


def test_the_twins_take_200_steps_in_double_precision_with_r_squared_times_the_rate(random_images, monkeypatch):
    calls = []

    def note(net, hidden_lr, output_lr, train, steps, batch_size):
        calls.append((gain.gain_of(net), hidden_lr, output_lr, steps, batch_size))
        assert {p.dtype for p in net.parameters()} == {train.images.dtype} == {torch.float64}
        return torch.ones(steps)

    monkeypatch.setattr(gain, "losses", note)
    gain.compare(mlp(3.0), random_images(40), 0.5)
    rates = [(3.0, 0.5, 0.5), (1.0, 4.5, 0.5), (1.0, 0.5, 0.5), (1.0, 4.5, 4.5)]
    assert calls == [(*rate, 200, 64) for rate in rates]


def test_net_images_and_random_stream_are_left_as_they_were(random_images):
    net, train = mlp(62.0), random_images(40)
    weights, pixels = copy.deepcopy(net.state_dict()), train.images.clone()
    torch.manual_seed(3)
    stream = torch.get_rng_state()
    assert math.isfinite(compare(net, train, 0.01)["lr"])
    gain.plain_twin(net)
    assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())
    assert {value.dtype for value in net.state_dict().values()} == {train.images.dtype} == {torch.float32}
    assert torch.equal(train.images, pixels) and torch.equal(stream, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [type(layer) for name, layer in net.named_children() if name.startswith("act")] == [ScaledReLU] * 2


@pytest.mark.parametrize(("r", "until"), [(1.0, 200), (2.0, 200), (64.0, 200)])
def test_where_no_product_is_rounded_the_twin_follows_all_the_way(random_images, r, until):
    found = gain.followed(mlp(r, output="softmax"), random_images(40), 0.1, batch_size=16)
    assert found == {"steps": until, "power of two": 0}


def test_with_rounding_it_follows_for_a_while(random_images, monkeypatch):
    found = gain.followed(mlp(62.0, output="softmax"), random_images(40), 0.1, batch_size=16)
    assert found["power of two"] == 0 and found["steps"] >= 1
    twin = gain.plain_twin
    monkeypatch.setattr(gain, "plain_twin", lambda net: twin(net).apply(_doubled))  # a wrong twin does not follow
    found = gain.followed(mlp(62.0), random_images(40), 0.1, batch_size=16)
    assert found["steps"] == 0 and found["power of two"] > 0.01


def _doubled(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        layer.weight.data *= 2
