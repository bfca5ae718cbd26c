"""The training loop: what every study runs, and what `nb.fit` runs in a cell."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import augment
from nbhelpers import device as devices
from nbhelpers.checkpoints import Best, Checkpoint, Progress, random_state, set_random_state
from nbhelpers.distillation import Teacher
from nbhelpers.distributed import World
from nbhelpers.errors import InputError
from nbhelpers.mixing import Mixer
from nbhelpers.run import Recipe
from nbhelpers.steps import gradient, make_optimizer, moved_uphill
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
    on_step: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    validation: Images | None = None,
    best: Best | None = None,
    teacher: Teacher | None = None,
    compiled: str = "no",
    world: World | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train `model` in place; return a row per epoch: train_loss (mean cross-entropy in nats),
    train_accuracy (per cent, counted while training), lr, seconds (CPU time; wall time on a GPU), test_loss and
    test_accuracy where the recipe evaluates every epoch, validation_loss and validation_accuracy where there are
    `validation` images, on which `best` chooses its epoch.

    `settings` are the fields of a Recipe, for use without one: ``fit(net, train, epochs=3, lr=0.1,
    batch_size=64)``. Training stops after an epoch whose loss is not finite. The batches of an epoch depend on
    `seed` and the epoch alone. With a `checkpoint` whose file is there, training goes on from it, and on a CPU ends
    with the same bits as if it had never stopped. compiled: how torch prepares the net (`device.COMPILED`). world: the
    processes among which every batch is split. Raises InputError for a field, device or precision that is not allowed,
    and for a checkpoint of another training.
    """
    if recipe and settings:
        raise InputError(f"{', '.join(settings)}: give a recipe or its fields, not both")
    recipe = recipe or Recipe(**settings)
    device = devices.choose(device) if isinstance(device, str) else device
    devices.check_precision(recipe.precision, device)
    memory_format = layout(model)
    model.to(device, memory_format=memory_format)
    train = train.to(device, memory_format)
    test, validation = (part.to(device, memory_format) if part is not None else None for part in (test, validation))
    optimizer = make_optimizer(model, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    progress = checkpoint.restore(model, optimizer, scaler) if checkpoint else Progress()
    if best and progress.best:
        best.epoch, best.accuracy, best.weights = progress.best.epoch, progress.best.accuracy, progress.best.weights
    progress.best = best
    history = progress.history
    if world:
        world.draw_whole_masks(model)
    forward = devices.compiled(model, compiled, device)
    options = {"teacher": teacher, "on_step": on_step, "forward": forward}
    if world:
        world.check(image_order(len(train), recipe, seed, 0).size, recipe.batch_size)
        options |= {"forward": world.parallel(forward, device), "world": world}
    within = None if world else checkpoint  # sums of an epoch are spread over the processes
    for epoch in range(progress.epoch, min(recipe.epochs, recipe.stop_after or recipe.epochs)):
        started = clock(device)
        lr = recipe.learning_rate(epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss, accuracy = train_epoch(model, train, optimizer, scaler, recipe, seed, epoch, progress, within, **options)
        row = {"epoch": epoch + 1, "train_loss": loss, "train_accuracy": accuracy, "lr": lr}
        row["seconds"] = round(clock(device) - started, 3)
        if test is not None and recipe.evaluate == "epoch":
            result = evaluate(model, test, recipe.test_batch_size)
            row |= {"test_loss": result.loss, "test_accuracy": result.accuracy}
        if validation is not None:
            result = evaluate(model, validation, recipe.test_batch_size)
            row |= {"validation_loss": result.loss, "validation_accuracy": result.accuracy}
            if best:
                best.see(model, epoch + 1, result.accuracy)
        history.append(row)
        if on_epoch:
            on_epoch(row)
        progress = Progress(epoch + 1, history=history, best=best)
        if checkpoint and checkpoint.due() and not (world and world.rank):
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
    *,
    forward: nn.Module | None = None,
    teacher: Teacher | None = None,
    world: World | None = None,
    on_step: Callable[[int], None] | None = None,
) -> tuple[float, float]:
    """One pass over the training images; mean loss and accuracy in per cent, both counted on the way.

    `progress` says where in the epoch to go on, from a `checkpoint` that is written now and then. forward: the model
    as it is called, where it is compiled or data parallel. on_step is told how many images each step took.
    """
    called = model if forward is None else forward
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
        if train.images.is_contiguous():  # an augmented batch may have its channels last: see `layout`
            x = x.contiguous()
        x, target = mixer.batch(x, y) if mixer else (x, y)
        share = world.weight(len(y)) if world else 1.0
        x, target = world.part(x, target) if world else (x, target)
        logits, loss = gradient(called, x, target, optimizer, scaler, recipe, teacher, share)
        if recipe.sam:
            with moved_uphill(model, recipe.sam):
                gradient(called, x, target, optimizer, scaler, recipe, teacher, share)
        scaler.step(optimizer)
        scaler.update()
        # Summed where they are: reading a number back would make a GPU wait at every step.
        loss_sum += loss * len(y)
        hits += target.hits(logits) if mixer else (logits.argmax(1) == target).sum()
        step = start // size + 1
        if checkpoint and start + size < n and checkpoint.due(step):
            random = random_state(device, mixer and mixer.draws)
            here = Progress(epoch, step, loss_sum.item(), hits.item(), progress.history, random, progress.best)
            checkpoint.save(model, optimizer, scaler, here)
        if on_step:
            on_step(len(y))
    if world:
        world.sum(loss_sum, hits)
        loss_sum /= world.size
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


def layout(model: nn.Module) -> torch.memory_format:
    """Channels last where the model has 2-d convolutions (up to 1.45 times as fast), else contiguous.

    Contiguous too where a 1x1 convolution with a stride has fewer than 8 input channels: with channels last, oneDNN's
    kernel for processors that have AVX2 and no AVX-512 gets its weight gradient wrong and writes beyond its memory
    (torch 2.14.1).
    """
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    narrow = any(c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 8 for c in convolutions)
    return torch.channels_last if convolutions and not narrow else torch.contiguous_format


def clock(device: torch.device) -> float:
    """Seconds for measuring a run: CPU time of the process, or wall time of a GPU once it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
