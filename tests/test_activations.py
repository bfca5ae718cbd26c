"""Every activation is its formula, its derivative is the formula's, and what is learnable learns."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nbhelpers.errors import InputError
from nbhelpers.models import ConvNet, activations, layers
from nbhelpers.models.initialise import build
from nbhelpers.zoo import ZOO

POINTS = [-12.0, -9.9, -4.0, -1.3, -0.5, -0.01, 0.01, 0.5, 1.7, 4.0, 30.0]
TOP, BOTTOM = activations.PAU.TOP, activations.PAU.BOTTOM


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def normal(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def soft(x):
    return math.log1p(math.exp(x))


def polynomial(coefficients, x, first=0):
    return sum(c * x ** (first + i) for i, c in enumerate(coefficients))


def derivative(coefficients, x, first=0):
    return sum(c * (first + i) * x ** (first + i - 1) for i, c in enumerate(coefficients) if first + i)


def pau(x):
    return polynomial(TOP, x) / (1 + abs(polynomial(BOTTOM, x, 1)))


def pau_slope(x):
    top, inner = polynomial(TOP, x), polynomial(BOTTOM, x, 1)
    bottom, sign = 1 + abs(inner), math.copysign(1, inner)
    return (derivative(TOP, x) * bottom - top * sign * derivative(BOTTOM, x, 1)) / bottom**2


def srs(x):
    return x / (x / 5 + math.exp(-x / 3))


def srs_slope(x):
    e = math.exp(-x / 3)
    return e * (1 + x / 3) / (x / 5 + e) ** 2


def pdelu(x):
    return x if x > 0 else max(0.0, 1 + x / 10) ** 10 - 1


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
FORMULAS = {  # title: value, derivative
    "Sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "Tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "Elliott": (lambda x: 0.5 * x / (1 + abs(x)) + 0.5, lambda x: 0.5 / (1 + abs(x)) ** 2),
    "ReLU": (lambda x: max(0.0, x), lambda x: float(x > 0)),
    "LReLU": (lambda x: x if x > 0 else 0.01 * x, lambda x: 1 if x > 0 else 0.01),
    "PReLU": (lambda x: x if x > 0 else 0.25 * x, lambda x: 1 if x > 0 else 0.25),
    "ELU": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1 if x > 0 else math.exp(x)),
    "SELU": (lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x)),
             lambda x: SCALE * (1 if x > 0 else ALPHA * math.exp(x))),
    "GELU": (lambda x: x * normal(x), lambda x: normal(x) + x * density(x)),
    "CELU": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1 if x > 0 else math.exp(x)),
    "Softplus": (soft, sigmoid),
    "Swish": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "LiSHT": (lambda x: x * math.tanh(x), lambda x: math.tanh(x) + x / math.cosh(x) ** 2),
    "SRS": (srs, srs_slope),
    "Mish": (lambda x: x * math.tanh(soft(x)),
             lambda x: math.tanh(soft(x)) + x * sigmoid(x) / math.cosh(soft(x)) ** 2),
    "PAU": (pau, pau_slope),
    "PDELU": (pdelu, lambda x: 1.0 if x > 0 else max(0.0, 1 + x / 10) ** 9),
    "SReLU": (lambda x: x if x > 0 else float(np.float32(0.2)) * x, lambda x: 1 if x > 0 else float(np.float32(0.2))),
}  # fmt: skip


def module(title, **arguments) -> nn.Module:
    """The activation in double precision."""
    return layers.activation({"name": ZOO[title].name} | arguments, inplace=False).double()


def exact(made: nn.Module) -> nn.Module:
    """PAU with the coefficients as they are written, not as their float32 neighbours."""
    if isinstance(made, activations.PAU):
        made.top.data, made.bottom.data = (torch.tensor(c, dtype=torch.float64) for c in (TOP, BOTTOM))
    return made


def test_the_zoo_is_the_18_of_the_survey_and_srelu():
    assert len(ZOO) == 19 and set(ZOO) - set(FORMULAS) == {"ABReLU"} and not set(FORMULAS) - set(ZOO)
    assert {one.name for one in ZOO.values()} <= set(layers.ACTIVATIONS)


@pytest.mark.parametrize("title", FORMULAS)
def test_value_and_derivative_are_those_of_the_formula_in_double_precision(title):
    value, slope = FORMULAS[title]
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    y = exact(module(title))(x)
    y.sum().backward()
    assert y.tolist() == pytest.approx([value(p) for p in POINTS], rel=1e-12, abs=1e-12)
    assert x.grad.tolist() == pytest.approx([slope(p) for p in POINTS], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("title", ZOO)
def test_the_gradients_of_input_and_learnable_numbers_are_those_of_finite_differences(title):
    made = module(title)
    x = torch.tensor([[-2.3, -0.7, 0.4], [1.9, 0.8, -0.2]], dtype=torch.float64, requires_grad=True)
    names = list(dict(made.named_parameters()))

    def run(x, *numbers):
        return torch.func.functional_call(made, dict(zip(names, numbers, strict=True)), (x,))

    numbers = [p.detach().clone().requires_grad_() for p in made.parameters()]
    assert torch.autograd.gradcheck(run, (x, *numbers))


def test_abrelu_takes_the_mean_of_each_image_alone():
    x = torch.randn(3, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = module("ABReLU")(x)
    for image, found in zip(x, y, strict=True):
        mean = sum(image.flatten().tolist()) / 40
        assert found.flatten().tolist() == pytest.approx([max(0.0, v - mean) for v in image.flatten().tolist()])
    assert torch.equal(module("ABReLU")(x[:1]), y[:1])


def test_arguments_are_initial_values():
    x = torch.tensor([-20.0, -2.0, 3.0], dtype=torch.float64)
    assert module("Swish", beta=2)(x).tolist() == pytest.approx([v * sigmoid(2 * v) for v in x.tolist()], rel=1e-6)
    assert module("PDELU", alpha=2, t=0.5)(x).tolist() == pytest.approx([-2.0, -2.0, 3.0])
    made = module("SReLU", t_left=-1, a_left=0.5, t_right=2, a_right=3)
    assert made(x).tolist() == pytest.approx([-10.5, -1.5, 5.0])
    assert made(torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)).tolist() == pytest.approx([-1.0, 0.5, 2.0])
    assert module("SRS", alpha=-5, beta=-3)(x).tolist() == pytest.approx(module("SRS")(x).tolist())
    assert "beta=2" in repr(module("Swish", beta=2))


def test_pau_starts_near_the_leaky_relu_that_its_paper_fits():
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)
    with torch.no_grad():
        assert (module("PAU")(x) - nn.functional.leaky_relu(x, 0.01)).abs().max() < 0.07


def test_pdelu_tends_to_elu():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    with torch.no_grad():
        assert (module("PDELU", t=0.9999)(x) - nn.functional.elu(x)).abs().max() < 1e-3


def test_pdelu_needs_t_below_1():
    with pytest.raises(InputError, match=r"^activation pdelu: t: 1: must be below 1$"):
        module("PDELU", t=1)


@pytest.mark.parametrize("title", ZOO)
def test_far_away_nothing_overflows_in_single_precision(title):
    x = torch.tensor([[-500.0, -90.0, 0.0, 90.0, 500.0]], requires_grad=True)
    y = layers.activation(ZOO[title].name, inplace=False)(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()


LEARNABLE = {"PReLU": 1, "Swish": 1, "SRS": 2, "PAU": 10, "PDELU": 1, "SReLU": 4}


@pytest.mark.parametrize("title", ZOO)
def test_learnable_numbers_start_where_they_are_built_and_are_not_drawn_anew(title):
    net = build(ConvNet(channels=[4, 4], activation=ZOO[title].name), (3, 8, 8), 3, seed=5)
    fresh = dict(module(title).float().named_parameters())
    assert sum(p.numel() for p in fresh.values()) == LEARNABLE.get(title, 0)
    for block in (net.block1, net.block2):
        found = dict(block.activation.named_parameters())
        assert found.keys() == fresh.keys() and all(torch.equal(found[name], fresh[name]) for name in fresh)


@pytest.mark.parametrize("title", LEARNABLE)
def test_all_learnable_numbers_learn(title):
    net = build(ConvNet(channels=[6, 6], activation=ZOO[title].name), (3, 8, 8), 3, seed=1)
    x = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(32) % 3
    numbers = {n: p for n, p in net.named_parameters() if ".activation." in n}
    start = {name: p.detach().clone() for name, p in numbers.items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        if step == 0:
            assert all(any(p.grad.abs().sum() > 0 for n, p in numbers.items() if block in n) for block in ("1.", "2."))
        optimizer.step()
    assert len(numbers) == 2 * len(dict(module(title).named_parameters()))
    assert all((p.detach() != start[name]).all() for name, p in numbers.items())


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(InputError) as caught:
        ConvNet(channels=[4], activation="zzz")
    assert all(name in str(caught.value) for name in layers.ACTIVATIONS)
