"""The loop is a plain PyTorch loop, bit for bit: `reference` below is that loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import tensors, train
from nbhelpers.models import MLP, ConvNet, summary
from nbhelpers.models.initialise import build
from nbhelpers.run import Recipe
from nbhelpers.steps import autocast
from nbhelpers.streams import stream
from nbhelpers.tensors import Images

SHAPE = (3, 8, 8)
CONVNET = ConvNet(channels=[6, 8], pool=(1,), head="flatten")
SGD = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
ADAMW = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01}


def reference(net, pixels, labels, data, optimizer, lr, epochs, batch_size, seed):
    """Loss and accuracy of each epoch, on uint8 pixels (N, H, W, C), at half a cosine from lr to 0."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(data.mean).view(3, 1, 1)) / torch.tensor(data.std).view(3, 1, 1)
    rows = []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        order, loss_sum, hits = stream(seed, f"order/{epoch}").permutation(len(labels)), 0.0, 0
        for start in range(0, len(labels), batch_size):
            x, y = images[order[start : start + batch_size]], labels[order[start : start + batch_size]]
            logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += float(loss.detach() * len(y))  # the product in float32, the sum in float64
            hits += int((logits.argmax(1) == y).sum())
        rows.append((loss_sum / len(labels), 100 * hits / len(labels)))
    return rows


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def weights(net):
    return [parameter.detach().clone() for parameter in net.state_dict().values()]


def equal(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


@pytest.mark.parametrize("model", [CONVNET, MLP(hidden=(6,)), ConvNet(channels=[6], activation="sigmoid", norm="none")])
@pytest.mark.parametrize("settings", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_training_is_a_plain_loop_bit_for_bit(small_data, model, settings):
    images, _, whole = tensors.load(small_data, 3)
    ours = build(model, SHAPE, 3, seed=3)
    plain = build(model, SHAPE, 3, seed=3).to(memory_format=torch.channels_last).train()
    history = train.fit(ours, images, recipe=Recipe(**settings, schedule="cosine", epochs=4, batch_size=16), seed=3)

    labels = np.asarray(whole.train_labels)
    chosen = sorted(
        int(i) for c in range(3) for i in stream(3, f"subset/train/{c}").permutation(np.flatnonzero(labels == c))[:20]
    )
    pixels, labels = np.asarray(whole.train_images)[chosen], torch.from_numpy(labels[chosen]).long()
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[settings["optimizer"]]
    options = {name: value for name, value in settings.items() if name != "optimizer"}
    optimizer = kind(plain.parameters(), **options, fused=True)
    rows = reference(plain, pixels, labels, small_data, optimizer, settings["lr"], 4, 16, seed=3)

    assert [(row["train_loss"], row["train_accuracy"]) for row in history] == rows
    assert equal(weights(ours), weights(plain))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "lr": 0.1},
        {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"optimizer": "adam", "lr": 0.01, "betas": (0.8, 0.99), "eps": 0.5, "weight_decay": 0.01},
        {"optimizer": "adamw", "lr": 0.01, "betas": (0.8, 0.99), "eps": 0.5, "weight_decay": 0.1},
    ],
    ids=["sgd", "nesterov", "adam", "adamw"],
)
def test_optimizers_follow_their_formulas(settings):
    """Three steps on one number with the gradients 1, -2 and 3, against the update rules written out."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 1.0)
    recipe = Recipe(**settings, epochs=1, batch_size=1)
    optimizer = train.make_optimizer(net, recipe)
    lr, decay, (beta_1, beta_2) = recipe.lr, recipe.weight_decay, recipe.betas
    w, velocity, m, v = 1.0, None, 0.0, 0.0
    for step, gradient in enumerate((1.0, -2.0, 3.0), start=1):
        net.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        g = gradient if recipe.optimizer == "adamw" else gradient + decay * w
        if recipe.optimizer == "sgd":
            velocity = g if velocity is None else recipe.momentum * velocity + g
            w -= lr * (g + recipe.momentum * velocity if recipe.nesterov else velocity)
        else:
            w -= lr * decay * w if recipe.optimizer == "adamw" else 0
            m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
            w -= lr * (m / (1 - beta_1**step)) / (math.sqrt(v / (1 - beta_2**step)) + recipe.eps)
        assert net.weight.item() == pytest.approx(w, rel=1e-5)


def test_a_plain_module_can_be_fitted_with_settings_alone(random_images):
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), random_images()
    before = weights(net)
    history = train.fit(net, images, epochs=3, lr=0.1, batch_size=8)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert list(history[0]) == ["epoch", "train_loss", "train_accuracy", "lr", "seconds"]
    assert not equal(before, weights(net))


def test_a_recipe_and_settings_together_are_an_error(random_images):
    with pytest.raises((TypeError, ValueError)):
        train.fit(MLP(hidden=()).build(SHAPE, 3), random_images(), None, Recipe(lr=1, epochs=1, batch_size=8), epochs=2)


def test_evaluating_every_epoch_changes_no_step_of_the_training(random_images):
    images, test = random_images(), random_images(30)
    histories, final = [], []
    for evaluate in ("end", "epoch"):
        net = build(CONVNET, SHAPE, 3, seed=1)
        recipe = Recipe(**SGD, epochs=3, batch_size=16, evaluate=evaluate)
        histories.append(train.fit(net, images, test, recipe, seed=1))
        final.append(net)
    assert equal(weights(final[0]), weights(final[1]))
    assert all("test_loss" not in row for row in histories[0])
    result = train.evaluate(final[1], test)
    assert histories[1][-1]["test_loss"] == result.loss
    assert histories[1][-1]["test_accuracy"] == result.accuracy
    assert [row["train_loss"] for row in histories[0]] == [row["train_loss"] for row in histories[1]]


def test_stopping_early_gives_the_first_rows_of_the_longer_run(random_images):
    runs = {}
    for stop_after in (2, None):
        net = build(CONVNET, SHAPE, 3, seed=1)
        recipe = Recipe(**SGD, schedule="cosine", epochs=4, stop_after=stop_after, batch_size=16)
        runs[stop_after] = without_seconds(train.fit(net, random_images(), recipe=recipe, seed=1))
    assert len(runs[2]) == 2
    assert len(runs[None]) == 4
    assert runs[2] == runs[None][:2]


def test_an_epoch_takes_the_images_in_the_order_of_one_permutation():
    recipe = Recipe(lr=1, epochs=3, batch_size=4)
    orders = [train.image_order(10, recipe, 7, epoch).tolist() for epoch in range(3)]
    assert orders == [stream(7, f"order/{epoch}").permutation(10).tolist() for epoch in range(3)]


def test_images_can_keep_one_order_or_never_be_shuffled():
    first = stream(7, "order/0").permutation(10).tolist()
    for shuffle, expected in (("once", first), ("never", list(range(10)))):
        recipe = Recipe(lr=1, epochs=3, batch_size=4, shuffle=shuffle)
        assert [train.image_order(10, recipe, 7, epoch).tolist() for epoch in range(3)] == 3 * [expected]
        parts = [train.image_order(10, Recipe(**dict(recipe) | {"steps_per_epoch": 2}), 7, e) for e in range(3)]
        assert np.concatenate(parts).tolist() == (3 * expected)[:24]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])  # of 4 images out of 10: from less than a pass to several
def test_epochs_of_so_many_steps_are_cut_from_one_row_of_permutations(steps):
    recipe = Recipe(lr=1, epochs=6, batch_size=4, steps_per_epoch=steps)
    parts = [train.image_order(10, recipe, 7, epoch) for epoch in range(6)]
    row = np.concatenate([stream(7, f"order/{i}").permutation(10) for i in range(20)])
    assert [len(part) for part in parts] == 6 * [4 * steps]
    assert np.concatenate(parts).tolist() == row[: 24 * steps].tolist()


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_every_step_has_a_whole_batch_and_an_epoch_counts_the_images_that_it_took(steps):
    """A net that always says class 0, at a learning rate that moves nothing, on images that are their numbers."""
    net, batches = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), []
    nn.init.zeros_(net[1].weight)
    net[1].bias.data = torch.tensor([1.0, 0.0])
    net.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].flatten().tolist()))
    images = Images(torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10) % 2, 2)
    recipe = Recipe(lr=1e-30, epochs=4, batch_size=4, steps_per_epoch=steps)
    history = train.fit(net, images, recipe=recipe, seed=7)
    assert [len(batch) for batch in batches] == 4 * steps * [4]
    right, wrong = (math.log(1 + math.exp(-sign)) for sign in (1, -1))
    for epoch, row in enumerate(history):
        taken = train.image_order(10, recipe, 7, epoch)
        assert np.concatenate(batches[epoch * steps : (epoch + 1) * steps]).tolist() == taken.tolist()
        hits = (taken % 2 == 0).mean()
        assert row["train_accuracy"] == pytest.approx(100 * hits)
        assert row["train_loss"] == pytest.approx(hits * right + (1 - hits) * wrong, rel=1e-6)


def test_as_many_steps_as_a_pass_has_are_that_pass_bit_for_bit(random_images):
    histories = []
    for steps in (None, 5):
        net = build(CONVNET, SHAPE, 3, seed=1)
        recipe = Recipe(**SGD, epochs=3, batch_size=8, steps_per_epoch=steps)
        histories.append(without_seconds(train.fit(net, random_images(40), recipe=recipe, seed=1)))
    assert histories[0] == histories[1]


def test_the_seed_decides_the_order_of_the_batches(random_images):
    losses = []
    for seed in (1, 1, 2):
        net = build(MLP(hidden=(6,)), SHAPE, 3, seed=0)
        losses.append(train.fit(net, random_images(), lr=0.1, epochs=1, batch_size=4, seed=seed)[0]["train_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_dropout_follows_the_seed_and_not_the_state_of_torch(random_images):
    losses = []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.Dropout(0.5))
        nn.init.constant_(net[1].weight, 0.01)
        nn.init.zeros_(net[1].bias)
        torch.manual_seed(state)
        losses.append(train.fit(net, random_images(), lr=0.1, epochs=2, batch_size=40, seed=seed)[-1]["train_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_training_stops_after_an_epoch_without_a_finite_loss(random_images):
    history = train.fit(build(MLP(hidden=(6,)), SHAPE, 3, seed=0), random_images(), lr=1e30, epochs=5, batch_size=8)
    assert len(history) == 1
    assert not math.isfinite(history[0]["train_loss"])


def test_every_epoch_is_reported_when_it_is_done(random_images):
    seen = []
    history = train.fit(
        build(MLP(hidden=()), SHAPE, 3, seed=0), random_images(), lr=0.1, epochs=3, batch_size=8, on_epoch=seen.append
    )
    assert seen == history


def test_the_learning_rate_in_use_is_the_one_that_is_recorded():
    """One image, one weight, no momentum: the weight moves by lr times the gradient."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    nn.init.zeros_(net[1].weight)
    image = Images(torch.ones(1, 1, 1, 1), torch.tensor([0]), 2)
    expected, w = [], 0.0
    for lr in (0.5, 0.25):
        expected.append(math.log(1 + math.exp(-2 * w)))
        w += lr / (1 + math.exp(2 * w))
    history = train.fit(net, image, lr=0.5, epochs=2, batch_size=1, schedule="cosine")
    assert [row["lr"] for row in history] == [0.5, pytest.approx(0.25)]
    assert [row["train_loss"] for row in history] == pytest.approx(expected, rel=1e-6)
    assert net[1].weight.tolist() == [[pytest.approx(w)], [pytest.approx(-w)]]


def test_evaluation_is_the_mean_over_all_images_whatever_the_batches(random_images):
    net, test = build(CONVNET, SHAPE, 3, seed=1).train(), random_images(41)
    results = [train.evaluate(net, test, batch_size) for batch_size in (41, 16, 1)]
    logits = net.eval()(test.images)
    losses = F.cross_entropy(logits, test.labels, reduction="none")
    hits = logits.argmax(1) == test.labels
    for result in results:
        assert result.loss == pytest.approx(losses.mean().item(), rel=1e-5)
        assert result.correct.tolist() == hits.int().tolist()
        assert result.accuracy == 100 * hits.sum().item() / 41
    assert 0 < hits.sum() < 41


def test_evaluation_leaves_weights_and_running_statistics_alone(random_images):
    net = build(CONVNET, SHAPE, 3, seed=1).train()
    before = weights(net)
    train.evaluate(net, random_images())
    assert equal(weights(net), before)


def test_evaluation_leaves_the_images_alone_when_the_activation_comes_first(random_images):
    net, test = build(ConvNet(channels=[4], order="activation-conv-norm"), SHAPE, 3, seed=1), random_images()
    before = test.images.clone()
    train.evaluate(net, test)
    assert torch.equal(test.images, before)


@pytest.mark.parametrize("precision, kind", [("fp32", "float32"), ("tf32", "float32"), ("bf16", "bfloat16")])
def test_only_reduced_precisions_are_autocast(precision, kind):
    with autocast(precision, torch.device("cpu")):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == getattr(torch, kind)


def test_bf16_trains_with_weights_in_fp32_and_is_another_arithmetic(random_images):
    nets = [build(CONVNET, SHAPE, 3, seed=1) for _ in range(2)]
    losses = [
        train.fit(net, random_images(), lr=0.05, epochs=2, batch_size=16, precision=precision)[-1]["train_loss"]
        for net, precision in zip(nets, ("fp32", "bf16"), strict=True)
    ]
    assert {parameter.dtype for parameter in nets[1].parameters()} == {torch.float32}
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize(("channels", "stride", "last"), [(4, 2, False), (4, 1, True), (8, 2, True)])
def test_a_narrow_net_with_a_strided_1x1_convolution_is_laid_out_contiguous(channels, stride, last):
    net = nn.Sequential(nn.Conv2d(channels, 6, 1, stride=stride))
    assert train.layout(net) == (torch.channels_last if last else torch.contiguous_format)


@pytest.mark.parametrize(("channels", "width"), [(1, 4), (4, 6), (7, 16), (8, 6), (12, 16)])
def test_the_gradient_of_a_strided_1x1_convolution_is_right_in_its_layout(channels, width):
    net = nn.Conv2d(channels, width, 1, stride=2, bias=False)
    exact = nn.Conv2d(channels, width, 1, stride=2, bias=False).double()
    exact.load_state_dict(net.state_dict())
    images = torch.randn(10, channels, 8, 8)
    net.to(memory_format=train.layout(net))(images.to(memory_format=train.layout(net))).square().sum().backward()
    exact(images.double()).square().sum().backward()
    torch.testing.assert_close(net.weight.grad.double(), exact.weight.grad, rtol=1e-3, atol=1e-3)


def test_only_nets_with_convolutions_are_laid_out_channels_last(random_images):
    assert train.layout(CONVNET.build(SHAPE, 3)) == torch.channels_last
    assert train.layout(MLP(hidden=(4,)).build(SHAPE, 3)) == torch.contiguous_format


def rows_of(model, shape, classes):
    return {row["layer"]: row for row in summary.summarise(model.build(shape, classes), shape)}


def test_a_summary_has_shapes_parameters_and_macs_counted_by_hand():
    spec = ConvNet(channels=[16, 32, 64], pool=(1, 2, 3), head="flatten")
    rows = rows_of(spec, (3, 32, 32), 10)
    assert {name: row["macs"] for name, row in rows.items() if row["macs"]} == {
        "block1.conv": 16 * 3 * 9 * 32 * 32,
        "block2.conv": 32 * 16 * 9 * 16 * 16,
        "block3.conv": 64 * 32 * 9 * 8 * 8,
        "linear": 10 * 1024,
    }
    assert {name: row["parameters"] for name, row in rows.items() if row["parameters"]} == {
        "block1.conv": 448,
        "block1.norm": 32,
        "block2.conv": 4_640,
        "block2.norm": 64,
        "block3.conv": 18_496,
        "block3.norm": 128,
        "linear": 10_250,
    }
    assert sum(row["parameters"] for row in rows.values()) == 34_058
    assert rows["block1.conv"]["output"] == (16, 32, 32)
    assert rows["block3.pool"]["output"] == (64, 4, 4)
    assert rows["linear"]["output"] == (10,)
    assert [row["type"] for row in rows.values()][:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


def test_a_summary_of_study_1_and_of_study_4():
    convnet = rows_of(ConvNet(channels=[32] * 4), (3, 32, 32), 10)
    assert sum(row["macs"] for row in convnet.values()) == (32 * 3 + 3 * 32 * 32) * 9 * 32 * 32 + 320
    mlp = rows_of(MLP(), (3, 64, 64), 72)
    assert [row["macs"] for row in mlp.values() if row["macs"]] == [12_288 * 64, 64 * 128, 128 * 72]
    assert sum(row["parameters"] for row in mlp.values()) == 804_104


def test_a_summary_leaves_the_net_as_it_was():
    net = CONVNET.build(SHAPE, 3).train()
    before = weights(net)
    summary.summarise(net, SHAPE)
    assert net.training
    assert equal(weights(net), before)
    assert not any(layer._forward_hooks for layer in net.modules())


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_losses_of_the_cpu(random_images):
    losses = {}
    for device in ("cpu", "cuda"):
        net = build(CONVNET, SHAPE, 3, seed=1)
        recipe = Recipe(**SGD, epochs=2, batch_size=16)
        losses[device] = [row["train_loss"] for row in train.fit(net, random_images(), recipe=recipe, device=device)]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


def test_a_sam_step_is_a_step_along_the_gradient_at_the_point_uphill(random_images):
    """w' = w - lr * grad L(w + rho * g / |g|), g = grad L(w): equations 2 and 3 of arXiv:2010.01412."""
    data, recipe = random_images(12), Recipe(lr=0.1, epochs=1, batch_size=12, sam=0.5)
    net = build(MLP(hidden=(5,), activation="tanh"), (3, 8, 8), 3, 0).double()
    data = Images(data.images.double(), data.labels, 3)
    start = torch.nn.utils.parameters_to_vector(net.parameters()).detach().clone()

    def gradient(point):
        torch.nn.utils.vector_to_parameters(point, net.parameters())
        loss = F.cross_entropy(net(data.images), data.labels)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])

    g = gradient(start)
    expected = start - 0.1 * gradient(start + 0.5 * g / g.norm())
    torch.nn.utils.vector_to_parameters(start.clone(), net.parameters())
    train.fit(net, data, None, recipe)
    found = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, start - 0.1 * g, rtol=1e-4)


def test_label_smoothing_spreads_a_share_of_the_target_over_all_classes(random_images):
    data = random_images(12)
    net = build(MLP(hidden=(5,)), (3, 8, 8), 3, 0)
    smooth = 0.8 * F.one_hot(data.labels, 3) + 0.2 / 3
    expected = F.cross_entropy(net(data.images), smooth).item()
    history = train.fit(net, data, None, Recipe(lr=0.1, epochs=1, batch_size=12, label_smoothing=0.2))
    assert history[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


def test_the_learning_rate_warms_up_and_the_schedule_takes_the_epochs_that_are_left():
    recipe = Recipe(lr=0.4, epochs=7, warmup=3, batch_size=1, schedule="cosine")
    rates = [recipe.learning_rate(epoch) for epoch in range(7)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    plain = Recipe(lr=0.4, epochs=4, batch_size=1, schedule="cosine")
    assert rates[3:] == [plain.learning_rate(epoch) for epoch in range(4)]
    with pytest.raises(ValueError, match="warmup: 7: must be below the 7 epochs"):
        Recipe(lr=0.4, epochs=7, warmup=7, batch_size=1)


@pytest.mark.parametrize("mixing", ["mixup", "ricap"])
def test_mixed_batches_train_and_count_fractions(random_images, mixing):
    recipe = Recipe(lr=0.1, epochs=2, batch_size=10, mixing=mixing)
    runs = [train.fit(build(MLP(hidden=(5,)), (3, 8, 8), 3, 0), random_images(40), None, recipe) for _ in range(2)]
    losses = [[row["train_loss"] for row in history] for history in runs]
    assert losses[0] == losses[1] and 0 < runs[0][1]["train_accuracy"] < 100
