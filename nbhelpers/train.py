"""The training loop: what every study runs, and what `nb.fit` runs in a cell."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbhelpers import augment
from nbhelpers import device as devices
from nbhelpers.checkpoints import Checkpoint, Progress, random_state, set_random_state
from nbhelpers.errors import InputError
from nbhelpers.mixing import Mixer, Targets
from nbhelpers.run import Recipe
from nbhelpers.streams import seed_of, stream
from nbhelpers.tensors import Images

START = Progress()  # of an epoch


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy in nats, accuracy in per cent, and for each image 1 where it is classified rightly."""

    loss: float
    accuracy: float
    correct: np.ndarray


def fit(
    model: nn.Module,
    train: Images,
    test: Images | None = None,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    checkpoint: Checkpoint | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train `model` in place; return a row per epoch: train_loss (mean cross-entropy in nats),
    train_accuracy (per cent, counted while training), lr, seconds (CPU time; wall time on a GPU), and
    test_loss and test_accuracy where the recipe evaluates every epoch.

    `settings` are the fields of a Recipe, for use without one: ``fit(net, train, epochs=3, lr=0.1,
    batch_size=64)``. Training stops after an epoch whose loss is not finite. The batches of an epoch depend on
    `seed` and the epoch alone. With a `checkpoint` whose file is there, training goes on from it, and on a CPU ends
    with the same bits as if it had never stopped. Raises InputError for a field, device or precision that is not
    allowed, and for a checkpoint of another training.
    """
    if recipe and settings:
        raise InputError(f"{', '.join(settings)}: give a recipe or its fields, not both")
    recipe = recipe or Recipe(**settings)
    device = devices.choose(device) if isinstance(device, str) else device
    devices.check_precision(recipe.precision, device)
    memory_format = layout(model)
    model.to(device, memory_format=memory_format)
    train = train.to(device, memory_format)
    test = test.to(device, memory_format) if test is not None else None
    optimizer = make_optimizer(model, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    progress = checkpoint.restore(model, optimizer, scaler) if checkpoint else Progress()
    history = progress.history
    for epoch in range(progress.epoch, min(recipe.epochs, recipe.stop_after or recipe.epochs)):
        started = clock(device)
        lr = recipe.learning_rate(epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss, accuracy = train_epoch(model, train, optimizer, scaler, recipe, seed, epoch, progress, checkpoint)
        row = {"epoch": epoch + 1, "train_loss": loss, "train_accuracy": accuracy, "lr": lr}
        row["seconds"] = round(clock(device) - started, 3)
        if test is not None and recipe.evaluate == "epoch":
            result = evaluate(model, test, recipe.test_batch_size)
            row |= {"test_loss": result.loss, "test_accuracy": result.accuracy}
        history.append(row)
        if on_epoch:
            on_epoch(row)
        progress = Progress(epoch + 1, history=history)
        if checkpoint and checkpoint.due():
            checkpoint.save(model, optimizer, scaler, progress)
        if not np.isfinite(loss):
            break
    return history


def train_epoch(
    model: nn.Module,
    train: Images,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    recipe: Recipe,
    seed: int,
    epoch: int,
    progress: Progress = START,
    checkpoint: Checkpoint | None = None,
) -> tuple[float, float]:
    """One pass over the training images; mean loss and accuracy in per cent, both counted on the way.

    `progress` says where in the epoch to go on, from a `checkpoint` that is written now and then.
    """
    model.train()
    device, size = train.labels.device, recipe.batch_size
    torch.manual_seed(seed_of(seed, f"dropout/{epoch}"))
    order = torch.from_numpy(image_order(len(train), recipe, seed, epoch)).to(device)
    n, drawn = len(order), None
    if train.augment:
        drawn = augment.Augmenter(train.augment, n, seed, epoch, train.mean, train.std)
    mixer = Mixer(recipe, seed, epoch) if recipe.mixing != "none" else None
    if progress.random:
        set_random_state(progress.random, device, mixer and mixer.draws)
    loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=device)
    hits = torch.tensor(progress.hits, dtype=torch.float64 if mixer else torch.int64, device=device)
    for start in range(progress.step * size, n, size):
        index = order[start : start + size]
        x, y = train.batch(index) if drawn is None else (drawn.batch(train.images, index, start), train.labels[index])
        x, target = mixer.batch(x, y) if mixer else (x, y)
        logits, loss = gradient(model, x, target, optimizer, scaler, recipe)
        if recipe.sam:
            with moved_uphill(model, recipe.sam):
                gradient(model, x, target, optimizer, scaler, recipe)
        scaler.step(optimizer)
        scaler.update()
        # Summed where they are: reading a number back would make a GPU wait at every step.
        loss_sum += loss * len(y)
        hits += target.hits(logits) if mixer else (logits.argmax(1) == y).sum()
        step = start // size + 1
        if checkpoint and start + size < n and checkpoint.due(step):
            random = random_state(device, mixer and mixer.draws)
            here = Progress(epoch, step, loss_sum.item(), hits.item(), progress.history, random)
            checkpoint.save(model, optimizer, scaler, here)
    return loss_sum.item() / n, 100 * hits.item() / n


def image_order(n: int, recipe: Recipe, seed: int, epoch: int) -> np.ndarray:
    """Positions among `n` training images in the order in which an epoch (from 0) takes them.

    A permutation; with `steps_per_epoch`, the next part of an endless row of permutations.
    """

    def one_pass(number: int) -> np.ndarray:
        if recipe.shuffle == "never":
            return np.arange(n)
        return stream(seed, f"order/{number if recipe.shuffle == 'epoch' else 0}").permutation(n)

    if recipe.steps_per_epoch is None:
        return one_pass(epoch)
    count = recipe.steps_per_epoch * recipe.batch_size
    first, end = epoch * count, (epoch + 1) * count
    passes = [one_pass(i) for i in range(first // n, -(-end // n))]
    return np.concatenate(passes)[first % n :][:count]


def gradient(
    model: nn.Module,
    x: Tensor,
    target: Tensor | Targets,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    recipe: Recipe,
) -> tuple[Tensor, Tensor]:
    """Put the gradient of the mean loss of a batch in the model's parameters; logits and loss, without their graph.

    x: (B, C, H, W). target: labels (B,), or the targets of mixed images.
    """
    optimizer.zero_grad(set_to_none=True)
    with autocast(recipe.precision, x.device):
        logits = model(x)
        if isinstance(target, Targets):
            loss = target.loss(logits, recipe.label_smoothing)
        else:
            loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
    scaler.scale(loss).backward()
    return logits.detach(), loss.detach()


@contextmanager
def moved_uphill(model: nn.Module, radius: float) -> Iterator[None]:
    """The weights moved by `radius` along their gradient, and moved back at the end: w + radius * g / |g|.

    The gradient at that point is what sharpness-aware minimisation steps along (SAM, arXiv:2010.01412). The norm is
    over all parameters.
    """
    weights = [p for p in model.parameters() if p.grad is not None]
    kept = [p.detach().clone() for p in weights]
    norm = torch.stack([p.grad.norm() for p in weights]).norm()
    with torch.no_grad():
        torch._foreach_add_(weights, [p.grad * (radius / (norm + 1e-12)) for p in weights])
    yield
    with torch.no_grad():
        torch._foreach_copy_(weights, kept)


@torch.inference_mode()
def evaluate(model: nn.Module, test: Images, batch_size: int = 256) -> Evaluation:
    """Loss and accuracy of `model` in evaluation mode and fp32, on all images of `test` in their order."""
    model.eval()
    losses, correct = [], []
    for x, y in zip(test.images.split(batch_size), test.labels.split(batch_size), strict=True):
        logits = model(x.clone())  # x is a view of the images, and a first layer may work in place
        losses.append(F.cross_entropy(logits, y, reduction="sum").double())
        correct.append(logits.argmax(1) == y)
    hits = torch.cat(correct).cpu().numpy().astype(np.uint8)
    return Evaluation(
        torch.stack(losses).sum().item() / len(test), 100 * int(hits.sum(dtype=np.int64)) / len(test), hits
    )


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters, in torch's fused implementation."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
            fused=True,
        )
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        model.parameters(),
        lr=recipe.lr,
        betas=recipe.betas,
        eps=recipe.eps,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def autocast(precision: str, device: torch.device):
    """Autocast for "bf16" and "fp16"; nothing for the others."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=kind) if kind else nullcontext()


def layout(model: nn.Module) -> torch.memory_format:
    """Channels last where the model has 2-d convolutions (up to 1.45 times as fast), else contiguous."""
    has_convolution = any(isinstance(layer, nn.Conv2d) for layer in model.modules())
    return torch.channels_last if has_convolution else torch.contiguous_format


def clock(device: torch.device) -> float:
    """Seconds for measuring a run: CPU time of the process, or wall time of a GPU once it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
