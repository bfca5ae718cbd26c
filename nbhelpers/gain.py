"""Gain: an MLP whose rectifiers are max(0, r x) is an MLP with plain ReLU, other weights and other step sizes.

Since r relu(z) = relu(r z) for r > 0, hidden layer k of the scaled net, a_k = r relu(W_k a_(k-1) + b_k), is a plain one
with weights r W_k and biases r b_k; the output layer is the same in both. A gradient step of size lr on W_k is a step
on r W_k whose gradient is 1/r as large and whose length counts r times: r² lr for all hidden layers, lr for the output
layer. No single learning rate is both.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers.models.modules import ScaledReLU
from nbhelpers.tensors import Images


def gain_of(net: nn.Module) -> float:
    """The r of the rectifiers of an MLP; 1 for plain ReLU."""
    return next((layer.slope for layer in net.modules() if isinstance(layer, ScaledReLU)), 1.0)


def plain_twin(net: nn.Module) -> nn.Module:
    """The MLP with plain ReLU that computes what `net`, an MLP with rectifiers max(0, r x), computes."""
    twin, r = copy.deepcopy(net), gain_of(net)
    for name, layer in list(twin.named_children()):
        if name.startswith("activation"):
            setattr(twin, name, nn.ReLU())
        elif name.startswith("linear"):
            with torch.no_grad():
                layer.weight.mul_(r)
                layer.bias.mul_(r)
    return twin


def losses(
    net: nn.Module, hidden_lr: float, output_lr: float, train: Images, steps: int, batch_size: int
) -> torch.Tensor:
    """The loss before each of `steps` plain gradient steps, with one step size for hidden layers and one for the last.

    The batches are those of `shuffled` training images, in turn and from the start again.
    """
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).to(train.labels.device)
    found = torch.zeros(steps, dtype=torch.float64)
    for i in range(steps):
        x, y = train.batch(order[torch.arange(i * batch_size, (i + 1) * batch_size, device=order.device) % len(order)])
        loss = F.cross_entropy(net(x), y)
        found[i] = loss.item()
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter -= (output_lr if name.startswith("output") else hidden_lr) * parameter.grad
    return found


def compare(net: nn.Module, train: Images, lr: float, steps: int = 200, batch_size: int = 64) -> dict[str, float]:
    """How far the losses of plain twins come from those of `net` over `steps` in float64: largest relative difference.

    net: an MLP with rectifiers max(0, r x), trained with learning rate lr. "r² lr, lr": the twin with r² lr for the
    hidden layers and lr for the output layer. "lr" and "r² lr": the twin with that one learning rate for all layers.
    """
    net, r = copy.deepcopy(net).double(), gain_of(net)
    data = Images(train.images.double(), train.labels, train.classes)
    own = losses(copy.deepcopy(net), lr, lr, data, steps, batch_size)
    sizes = {"r² lr, lr": (r * r * lr, lr), "lr": (lr, lr), "r² lr": (r * r * lr, r * r * lr)}
    twins = {name: losses(plain_twin(net), *pair, data, steps, batch_size) for name, pair in sizes.items()}
    finite = own.isfinite()  # beyond that there is nothing to follow
    return {name: _difference(own[finite], twin[finite]) for name, twin in twins.items()}


def followed(net: nn.Module, train: Images, lr: float, steps: int = 200, batch_size: int = 64) -> dict[str, float]:
    """How long the plain twin with a step size for each layer follows `net` in float64, and how well where it can.

    "steps": before how many of the first steps the losses differ by less than 1e-10, relatively. "power of two": the
    largest difference over all steps where r is the nearest power of two, with which every product is exact: what is
    above 0 otherwise grew from rounding.
    """
    net = copy.deepcopy(net).double()
    data = Images(train.images.double(), train.labels, train.classes)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        r = gain_of(net)
        own = losses(copy.deepcopy(net), lr, lr, data, steps, batch_size)
        twin = losses(plain_twin(net), r * r * lr, lr, data, steps, batch_size)
        return own[own.isfinite()], twin[own.isfinite()]

    own, twin = pair()
    apart = torch.where(twin == own, 0.0, ((twin - own) / own).abs()).nan_to_num(torch.inf) >= 1e-10
    until = int(apart.int().argmax()) if apart.any() else len(own)
    for layer in net.modules():
        if isinstance(layer, ScaledReLU):
            layer.slope = 2.0 ** round(math.log2(layer.slope))
    return {"steps": until, "power of two": _difference(*pair())}


def _difference(own: torch.Tensor, twin: torch.Tensor) -> float:
    """The largest relative difference: 0 where both are equal, infinite where only the twin is not finite."""
    relative = torch.where(twin == own, 0.0, ((twin - own) / own).abs())
    return relative.nan_to_num(torch.inf, torch.inf).max().item()
