"""Nets as lists of layers: what the words mean, and what is refused."""

import pytest
import torch
from torch import nn

from nbhelpers.errors import InputError
from nbhelpers.models import Stack
from nbhelpers.models.initialise import build
from nbhelpers.models.modules import Positions
from nbhelpers.models.stack import Layer, parse, shapes

DIGITS = [
    "conv 3x3 32",
    "conv 3x3 64",
    "pool 2",
    "conv 3x3 128",
    "conv 3x3 256",
    "pool 2",
    "flatten",
    "linear 50",
    "output",
]


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("conv 3x3 32", Layer("conv", 3, 1, 32)),
        ("conv 7x7/2 8", Layer("conv", 7, 2, 8)),
        ("pool 2", Layer("pool", 2, 2)),
        ("pool 3/2", Layer("pool", 3, 2)),
        ("pad 1", Layer("pad", 1)),
        ("linear 50", Layer("linear", width=50)),
        ("output", Layer("output")),
        ("positions waves", Layer("positions waves")),
    ],
)
def test_a_layer_is_what_its_text_says(text, layer):
    assert parse(text) == layer


@pytest.mark.parametrize(
    "text", ["conv 3x5 4", "conv 3 4", "pool", "pool 2x3", "dense 4", "conv 0x0 3", "linear 0", ""]
)
def test_other_texts_are_one_clear_line(text):
    with pytest.raises(InputError) as caught:
        Stack(layers=[text])
    assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


def test_the_published_net_has_its_shapes_and_parameters():
    net = Stack(layers=DIGITS).build((1, 28, 28), 10)
    assert sum(p.numel() for p in net.parameters()) == 593200
    assert shapes(DIGITS, (1, 28, 28), 10)[:6] == [
        *[(32, 26, 26), (64, 24, 24), (64, 12, 12), (128, 10, 10), (256, 8, 8), (256, 4, 4)]
    ]
    assert sum(p.numel() for p in Stack(layers=DIGITS, bias=False).build((1, 28, 28), 10).parameters()) == 592660


def test_activations_follow_all_weights_but_the_last_and_come_after_a_pooling():
    net = Stack(layers=DIGITS, activation="tanh", norm="batch").build((1, 28, 28), 10)
    names = [name for name, _ in net.named_children()]
    expected = "conv1 norm1 activation1 conv2 norm2 pool1 activation2 conv3 norm3 activation3 conv4 norm4 pool2 "
    assert names == (expected + "activation4 flatten1 linear1 activation5 output").split()
    assert sum(isinstance(layer, nn.Tanh) for layer in net) == 5


@pytest.mark.parametrize(
    "layers", [DIGITS, ["conv 4x4/4 6", "positions waves", "conv 1x1 5", "average", "output", "log-softmax"]]
)
def test_the_built_net_has_the_shapes_of_the_formula(layers):
    net = build(Stack(layers=layers), (3, 28, 28), 4, seed=0)
    assert net(torch.zeros(2, 3, 28, 28)).shape == (2, *shapes(layers, (3, 28, 28), 4)[-1])


def test_a_net_without_what_it_needs_is_refused():
    with pytest.raises(InputError, match=r"^layers: 'conv 5x5 2', number 2: nothing is left of 4x4 pixels$"):
        Stack(layers=["pool 2", "conv 5x5 2", "flatten", "output"]).check((1, 8, 8), 2)
    with pytest.raises(
        InputError, match=r"^layers: 'output', number 2: receives maps; flatten or average goes between$"
    ):
        Stack(layers=["conv 3x3 2", "output"]).check((1, 8, 8), 2)
    with pytest.raises(InputError, match=r"^groups: 32: does not divide"):
        Stack(layers=["conv 3x3 6", "average", "output"], norm="group").check((1, 8, 8), 2)


def test_positions_add_the_place_and_nothing_else():
    x = torch.randn(2, 4, 3, 5)
    added = Positions("counted")(x) - x
    torch.testing.assert_close(added[0, 0], torch.arange(1.0, 16).view(3, 5), atol=1e-5, rtol=0)
    waves = Positions("waves")(torch.zeros(1, 4, 1, 3, dtype=torch.float64))[0, :, 0]
    number = torch.arange(1.0, 4, dtype=torch.float64)
    expected = torch.stack([number.sin(), number.cos(), (number / 100).sin(), (number / 100).cos()])
    torch.testing.assert_close(waves, expected)
