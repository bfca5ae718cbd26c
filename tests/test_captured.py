"""Training steps as CUDA graphs: the same numbers as without."""

import pytest
import torch

from nbhelpers import captured
from nbhelpers.models import MLP, ConvNet, ResNet
from nbhelpers.models.initialise import build
from nbhelpers.run import Recipe
from nbhelpers.steps import make_optimizer, set_learning_rate
from nbhelpers.train import fit

SHAPE = (3, 8, 8)
RESNET = ResNet(stem=8, widths=(8, 16), blocks=(1, 1), dropout=0.5)
GROUPED = ConvNet(channels=[8, 8], pool=(1,), head="flatten", norm={"name": "group", "groups": 4})
SGD = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "cosine"}


def trained(spec, images, test, compiled, **changes):
    """History and weights after 3 epochs of 6 steps, of which the last has fewer images."""
    net = build(spec, SHAPE, 3, 0)
    recipe = Recipe(**{"epochs": 3, "batch_size": 16, **SGD, **changes})
    rows = fit(net, images, test, recipe, device="cuda", compiled=compiled)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows], net.state_dict()


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nesterov": True, "label_smoothing": 0.1},
        {"optimizer": "adam", "lr": 1e-3, "momentum": 0.0},
        {"precision": "bf16"},
        {"sam": 0.05},
        {"mixing": "mixup"},
    ],
    ids=["sgd", "nesterov", "adam", "bf16", "SAM", "mixup"],
)
@pytest.mark.parametrize("spec", [RESNET, GROUPED, MLP(hidden=(6,))], ids=["resnet", "groupnorm", "mlp"])
def test_recorded_steps_give_the_numbers_of_plain_ones(random_images, spec, changes):
    images, test = random_images(90, SHAPE), random_images(20, SHAPE)
    (rows, weights), (again, others) = (trained(spec, images, test, how, **changes) for how in ("no", "cuda-graphs"))
    assert rows[0]["train_loss"] != rows[2]["train_loss"]
    for row, other in zip(rows, again, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-4)
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_of_a_recorded_step_only_the_last_batch_of_an_epoch_is_taken_as_it_is(random_images, monkeypatch):
    taken, plain = [], captured.Step.__call__
    monkeypatch.setattr(captured.Step, "__call__", lambda step, x, y: [taken.append(len(x)), plain(step, x, y)])
    trained(RESNET, random_images(90, SHAPE), None, "cuda-graphs")
    # two at first, one that is recorded, and of each epoch the last
    assert taken == [16, 16, 16, 10, 10, 10]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_learning_rate_in_memory_moves_the_weights_as_a_number_does(optimizer):
    nets = [build(MLP(hidden=(6,)), SHAPE, 3, 0) for _ in range(2)]
    recipe = Recipe(optimizer=optimizer, lr=0.1, epochs=1, batch_size=4, momentum=0.9 if optimizer == "sgd" else 0.0)
    steppers = [make_optimizer(net, recipe, captured=kept) for net, kept in zip(nets, (False, True), strict=True)]
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    for lr in (0.1, 0.03):
        for net, stepper in zip(nets, steppers, strict=True):
            set_learning_rate(stepper, lr)
            stepper.zero_grad()
            net(x).square().sum().backward()
            stepper.step()
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(other, one)
