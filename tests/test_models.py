"""Nets are what the studies describe, and start from the same weights wherever name and shape agree."""

import importlib
import math

import pytest
import torch
from scipy import stats
from torch import nn

from nbhelpers.models import MLP, ConvNet, Custom, layers
from nbhelpers.models.initialise import build, initialise

ORDERS = ["conv-norm-activation", "conv-activation-norm", "norm-activation-conv", "activation-conv-norm"]
STUDY_3 = {"channels": (16, 32, 64, 128, 64, 32, 16, 10), "pool": (2, 4, 6, 8), "head": "flatten"}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def counts(net: nn.Module) -> dict[str, int]:
    return {name: count(layer) for name, layer in net.named_modules() if not list(layer.children()) and count(layer)}


@pytest.mark.parametrize(
    "blocks, expected",
    [(1, 1_290), (2, 10_602), (3, 19_914), (4, 29_226), (5, 38_538), (6, 47_850), (7, 57_162), (8, 66_474)],
)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_study_1_parameters(blocks, expected, activation):
    net = ConvNet(channels=[32] * blocks, activation=activation).build((3, 32, 32), 10)
    assert count(net) == expected
    later = {f"block{i}.{layer}": n for i in range(2, blocks + 1) for layer, n in (("conv", 9_248), ("norm", 64))}
    assert counts(net) == {"block1.conv": 896, "block1.norm": 64, **later, "linear": 330}


@pytest.mark.parametrize("norm", ["batch", {"name": "group", "groups": [4, 8, 8]}])
def test_study_2_parameters(norm):
    net = ConvNet(channels=[16, 32, 64], norm=norm, pool=(1, 2, 3), head="flatten").build((3, 32, 32), 10)
    assert count(net) == 34_058
    assert counts(net) == {
        "block1.conv": 448,
        "block1.norm": 32,
        "block2.conv": 4_640,
        "block2.norm": 64,
        "block3.conv": 18_496,
        "block3.norm": 128,
        "linear": 10_250,
    }


@pytest.mark.parametrize("order", ["conv-norm-activation", "conv-activation-norm"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_study_3_parameters(order, activation):
    net = ConvNet(**STUDY_3, order=order, activation=activation).build((3, 32, 32), 10)
    assert count(net) == 196_904
    assert count(net.linear) == 410
    assert [count(getattr(net, f"block{i}").conv) for i in (1, 4, 8)] == [448, 73_856, 1_450]


@pytest.mark.parametrize("activation", ["relu", {"name": "relu", "slope": 62}])
def test_study_4_parameters(activation):
    net = MLP(hidden=(64, 128), activation=activation).build((3, 64, 64), 72)
    assert count(net) == 804_104
    assert counts(net) == {"linear1": 786_496, "linear2": 8_320, "output": 9_288}


@pytest.mark.parametrize("order", ORDERS)
def test_the_layers_of_a_block_come_in_the_given_order_and_pooling_last(order):
    net = ConvNet(channels=[4, 6], order=order, pool=(2,)).build((3, 8, 8), 5)
    assert [name for name, _ in net.named_children()] == ["block1", "block2", "average", "flatten", "linear"]
    assert [name for name, _ in net.block1.named_children()] == order.split("-")
    assert [name for name, _ in net.block2.named_children()] == [*order.split("-"), "pool"]


@pytest.mark.parametrize("order, widths", [("conv-norm-activation", [4, 6]), ("norm-activation-conv", [3, 4])])
def test_a_norm_has_the_width_of_what_it_sees(order, widths):
    net = ConvNet(channels=[4, 6], order=order).build((3, 8, 8), 5)
    assert [net.block1.norm.num_features, net.block2.norm.num_features] == widths
    assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize(
    "pool, head, features", [((), "average", 6), ((1,), "average", 6), ((), "flatten", 384), ((1, 2), "flatten", 24)]
)
def test_pooling_halves_the_image_and_the_head_fits(pool, head, features):
    net = ConvNet(channels=[4, 6], pool=pool, head=head).build((3, 8, 8), 5)
    assert net.linear.in_features == features
    assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_sides_that_are_not_equal_or_odd_fit_too():
    net = ConvNet(channels=[4, 6], pool=(1, 2), head="flatten").build((1, 9, 14), 5)
    assert net.linear.in_features == 6 * 2 * 3
    assert net(torch.zeros(2, 1, 9, 14)).shape == (2, 5)


def test_a_convolution_keeps_the_image_size_for_every_kernel():
    for kernel in (1, 3, 5):
        net = ConvNet(channels=[4], kernel=kernel, bias=False, norm="none").build((3, 8, 8), 5)
        assert net.block1(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)
        assert counts(net) == {"block1.conv": 4 * 3 * kernel**2, "linear": 25}


def test_group_norm_takes_one_number_or_one_for_each_block():
    one = ConvNet(channels=[4, 8], norm={"name": "group", "groups": 2}).build((3, 8, 8), 5)
    each = ConvNet(channels=[4, 8], norm={"name": "group", "groups": [4, 8], "eps": 1e-3}).build((3, 8, 8), 5)
    assert [one.block1.norm.num_groups, one.block2.norm.num_groups] == [2, 2]
    assert [each.block1.norm.num_groups, each.block2.norm.num_groups] == [4, 8]
    assert each.block1.norm.eps == 1e-3


def test_batch_norm_takes_its_arguments():
    norm = ConvNet(channels=[4], norm={"name": "batch", "momentum": 0.3, "eps": 1e-3}).build((3, 8, 8), 5).block1.norm
    assert (norm.momentum, norm.eps) == (0.3, 1e-3)


@pytest.mark.parametrize(
    "spec, shape, batch_size, message",
    [
        ({"channels": [16, 32], "norm": "group"}, (3, 8, 8), 8, "groups: 32: does not divide the 16 channels"),
        ({"channels": [4, 8], "norm": {"name": "group", "groups": [4]}}, (3, 8, 8), 8, "one number is needed for each"),
        ({"channels": [4, 8], "pool": [1, 2]}, (3, 3, 8), 8, "nothing is left of 3x8 pixels"),
        ({"channels": [4]}, (3, 1, 1), 1, "BatchNorm needs more than one value"),
    ],
)
def test_a_net_that_cannot_work_is_refused_before_it_is_built(spec, shape, batch_size, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(**spec).check(shape, batch_size)


def test_a_net_that_can_work_passes_the_check():
    ConvNet(channels=[16, 32, 64], pool=(1, 2, 3), head="flatten").check((3, 32, 32), 1)
    ConvNet(channels=[16, 32], norm={"name": "group", "groups": 16}).check((3, 8, 8), 1)
    ConvNet(channels=[4], norm="none").check((3, 1, 1), 1)


def test_pooling_down_to_one_pixel_after_the_last_norm_passes_the_check():
    spec = ConvNet(channels=[4, 4, 4], pool=(1, 2, 3))
    assert build(spec, (3, 8, 8), 3, seed=0).train()(torch.zeros(1, 3, 8, 8)).shape == (1, 3)
    spec.check((3, 8, 8), 1)


POINTS = [-2.0, -0.5, 0.0, 0.5, 2.0]


@pytest.mark.parametrize(
    "name, function",
    [
        ("relu", lambda x: max(0.0, x)),
        ({"name": "relu", "slope": 62}, lambda x: max(0.0, 62 * x)),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ({"name": "leaky_relu", "negative_slope": 0.2}, lambda x: x if x > 0 else 0.2 * x),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ({"name": "sigmoid", "scale": 4, "shift": -2}, lambda x: 4 / (1 + math.exp(-x)) - 2),
        ("tanh", math.tanh),
        ("elu", lambda x: x if x > 0 else math.expm1(x)),
        ({"name": "elu", "alpha": 0.5}, lambda x: x if x > 0 else 0.5 * math.expm1(x)),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("identity", lambda x: x),
    ],
)
def test_an_activation_is_its_function(name, function):
    module = layers.activation(name)
    assert module(torch.tensor(POINTS)).tolist() == pytest.approx([function(x) for x in POINTS], rel=1e-5, abs=1e-6)


def test_every_activation_and_norm_can_be_built_by_name():
    for name in layers.ACTIVATIONS:
        net = ConvNet(channels=[32], activation=name).build((3, 4, 4), 2)
        assert net(torch.zeros(2, 3, 4, 4)).shape == (2, 2)
    for name in layers.NORMS:
        net = ConvNet(channels=[32], norm=name).build((3, 4, 4), 2)
        assert net(torch.zeros(2, 3, 4, 4)).shape == (2, 2)


def test_an_activation_shows_its_arguments():
    assert "slope=62" in repr(layers.activation({"name": "relu", "slope": 62}))
    assert "scale=4, shift=-2" in repr(layers.activation({"name": "sigmoid", "scale": 4.0, "shift": -2.0}))


def test_an_mlp_ends_in_logits_or_in_softmax():
    images = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    logits = build(MLP(hidden=(5,)), (1, 3, 3), 4, seed=0)(images)
    softmax = build(MLP(hidden=(5,), output="softmax"), (1, 3, 3), 4, seed=0)(images)
    assert torch.equal(softmax, logits.softmax(1))


def test_an_mlp_without_hidden_layers_is_linear():
    assert counts(MLP(hidden=()).build((1, 3, 3), 4)) == {"output": 40}


def test_initial_weights_are_frozen():
    net = build(ConvNet(channels=[2]), (1, 2, 2), 2, seed=5)
    found = {name: parameter.flatten()[:3].tolist() for name, parameter in net.named_parameters()}
    assert found == {
        "block1.conv.weight": [-0.1269492357969284, -0.2999907433986664, -0.10272962599992752],
        "block1.conv.bias": [-0.006800252012908459, -0.3059317171573639],
        "block1.norm.weight": [1.0, 1.0],
        "block1.norm.bias": [0.0, 0.0],
        "linear.weight": [0.5456265807151794, 0.592583179473877, 0.6294475197792053],
        "linear.bias": [0.45008477568626404, -0.23523035645484924],
    }


def shared(first: nn.Module, second: nn.Module) -> set[str]:
    """The layers that start equal in both, by name."""
    other = dict(second.named_parameters())
    equal = {
        name.rpartition(".")[0]: name in other and torch.equal(parameter, other[name])
        for name, parameter in first.named_parameters()
    }
    return {name for name, same in equal.items() if same}


def test_a_shallow_net_starts_as_the_head_and_first_blocks_of_a_deep_one():
    shallow, deep = (build(ConvNet(channels=[8] * depth), (3, 8, 8), 10, seed=1) for depth in (4, 8))
    blocks = {f"block{i}.{layer}" for i in range(1, 5) for layer in ("conv", "norm")}
    assert shared(shallow, deep) == blocks | {"linear"}


def test_relu_and_sigmoid_nets_start_equal_in_all_layers():
    relu, sigmoid = (build(ConvNet(channels=[8, 8], activation=a), (3, 8, 8), 10, seed=1) for a in ("relu", "sigmoid"))
    assert shared(relu, sigmoid) == {"block1.conv", "block1.norm", "block2.conv", "block2.norm", "linear"}


def test_nets_with_other_norms_share_convolutions_and_head():
    norms = ("batch", {"name": "group", "groups": 4}, "none")
    batch, group, none = (build(ConvNet(channels=[8, 8], norm=norm), (3, 8, 8), 10, seed=1) for norm in norms)
    assert {"block1.conv", "block2.conv", "linear"} <= shared(batch, group)
    assert shared(none, batch) == {"block1.conv", "block2.conv", "linear"}


def test_orders_share_convolutions_and_head():
    first, *others = (build(ConvNet(channels=[8, 8], order=order), (3, 8, 8), 10, seed=1) for order in ORDERS)
    for other in others:
        assert {"block1.conv", "block2.conv", "linear"} <= shared(first, other)


def test_layers_of_one_net_start_different_from_each_other():
    net = build(ConvNet(channels=[8] * 3), (8, 8, 8), 10, seed=1)
    convolutions = [net.block1.conv, net.block2.conv, net.block3.conv]
    assert len({tuple(layer.weight.flatten().tolist()) for layer in convolutions}) == 3


def test_another_seed_gives_other_weights_and_the_same_norms():
    first, second = (build(ConvNet(channels=[8, 8]), (3, 8, 8), 10, seed=seed) for seed in (1, 2))
    assert shared(first, second) == {"block1.norm", "block2.norm"}


@pytest.mark.parametrize("kind, fan_in", [("linear", 256), ("convolution", 144)])
def test_weights_and_biases_are_distributed_as_those_of_torch(kind, fan_in):
    def make() -> nn.Module:
        return nn.Linear(256, 2000) if kind == "linear" else nn.Conv2d(16, 2000, 3)

    torch.manual_seed(0)
    made, ours = make(), initialise(nn.Sequential(make()), seed=0)
    bound = 1 / math.sqrt(fan_in)
    for name in ("weight", "bias"):
        draws, of_torch = getattr(ours[0], name).detach().flatten(), getattr(made, name).detach().flatten()
        assert draws.abs().max() <= bound * (1 + 1e-6)
        assert stats.kstest(draws / bound, stats.uniform(-1, 2).cdf).pvalue > 0.01
        assert stats.ks_2samp(draws, of_torch).pvalue > 0.01


@pytest.mark.parametrize("norm", ["batch", {"name": "group", "groups": 4}])
def test_norms_start_at_one_and_zero(norm):
    made = build(ConvNet(channels=[8], norm=norm), (3, 8, 8), 10, seed=3).block1.norm
    assert torch.equal(made.weight, torch.ones(8))
    assert torch.equal(made.bias, torch.zeros(8))


def test_building_leaves_the_random_stream_of_torch_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    build(ConvNet(channels=[8]), (3, 8, 8), 10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


CUSTOM = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, features, classes, width):
        super().__init__()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(features, width)
        self.out = nn.Parameter(torch.randn(width, classes))

    def forward(self, x):
        return self.linear(self.flatten(x)) @ self.out


def net(shape, classes, width=3):
    return Net(shape[0] * shape[1] * shape[2], classes, width)
"""


@pytest.fixture(scope="module")
def custom_net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("custom")
    (folder / "nets_of_somebody.py").write_text(CUSTOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        yield "nets_of_somebody:net"


def test_a_custom_net_gets_shape_classes_and_its_arguments(custom_net):
    net = build(Custom(target=custom_net, kwargs={"width": 7}), (3, 4, 4), 5, seed=0)
    assert net(torch.zeros(2, 3, 4, 4)).shape == (2, 5)
    assert net.linear.out_features == 7


def test_a_custom_net_starts_from_the_seed_in_every_parameter(custom_net):
    def start(seed: int, state: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(state)
        return build(Custom(target=custom_net), (3, 4, 4), 5, seed=seed).state_dict()

    first, same, other = start(1, state=1), start(1, state=2), start(2, state=1)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_a_function_that_is_not_there_is_one_clear_error(custom_net):
    with pytest.raises(ValueError, match=r"nets_of_somebody has no 'other'"):
        Custom(target="nets_of_somebody:other").build((3, 4, 4), 5)
