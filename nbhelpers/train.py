"""The training loop: what every study runs, and what `nb.fit` runs in a cell."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nbhelpers import augment, captured
from nbhelpers import device as devices
from nbhelpers.checkpoints import Best, Checkpoint, Progress, random_state, set_random_state
from nbhelpers.distillation import Teacher
from nbhelpers.distributed import World
from nbhelpers.errors import InputError
from nbhelpers.mixing import Mixer
from nbhelpers.run import Recipe
from nbhelpers.steps import Step, make_optimizer, set_learning_rate
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

    `settings` are the fields of a Recipe, for use without one: ``fit(net, train, epochs=3, lr=0.1, batch_size=64)``.
    Training stops after an epoch whose loss is not finite. The batches of an epoch depend on `seed` and the epoch
    alone. With a `checkpoint` whose file is there, training goes on from it, and on a CPU ends with the same bits as if
    it had never stopped. compiled: how training is made faster, see `device.check_compiled`. world: the processes among
    which every batch is split. Raises InputError for a field, device or precision that is not allowed, for a checkpoint
    of another training, and for CUDA graphs with fp16 or several processes.
    """
    if recipe and settings:
        raise InputError(f"{', '.join(settings)}: give a recipe or its fields, not both")
    recipe = recipe or Recipe(**settings)
    device = devices.choose(device) if isinstance(device, str) else device
    devices.check_precision(recipe.precision, device)
    devices.check_compiled(compiled, device, recipe.precision, world.size if world else 1)
    memory_format = layout(model)
    model.to(device, memory_format=memory_format)
    train = train.to(device, memory_format)
    test, validation = (part.to(device, memory_format) if part is not None else None for part in (test, validation))
    optimizer = make_optimizer(model, recipe, captured=devices.with_graphs(compiled))
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    progress = checkpoint.restore(model, optimizer, scaler) if checkpoint else Progress()
    if best and progress.best:
        best.epoch, best.accuracy, best.weights = progress.best.epoch, progress.best.accuracy, progress.best.weights
    progress.best = best
    history = progress.history
    called = devices.compiled(model, compiled)
    if world:
        world.draw_whole_masks(model)
        world.check(image_order(len(train), recipe, seed, 0).size, recipe.batch_size)
        called = world.parallel(called, device)
    kind = captured.Captured if devices.with_graphs(compiled) else Step
    step = kind(model, optimizer, scaler, recipe, device, called=called, teacher=teacher, world=world)
    within = None if world else checkpoint  # sums of an epoch are spread over the processes
    for epoch in range(progress.epoch, min(recipe.epochs, recipe.stop_after or recipe.epochs)):
        started = clock(device)
        lr = recipe.learning_rate(epoch)
        set_learning_rate(optimizer, lr)
        loss, accuracy = train_epoch(step, train, seed, epoch, progress, within, on_step)
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
    step: Step,
    train: Images,
    seed: int,
    epoch: int,
    progress: Progress = START,
    checkpoint: Checkpoint | None = None,
    on_step: Callable[[int], None] | None = None,
) -> tuple[float, float]:
    """One pass of `step` over the training images; mean loss and accuracy in per cent, both counted on the way.

    `progress` says where in the epoch to go on, from a `checkpoint` that is written now and then. on_step is told how
    many images each step took.
    """
    step.model.train()
    recipe, device, size, world = step.recipe, train.labels.device, step.recipe.batch_size, step.world
    torch.manual_seed(seed_of(seed, f"dropout/{epoch}"))
    order = torch.from_numpy(image_order(len(train), recipe, seed, epoch)).to(device)
    n, drawn = len(order), None
    if train.augment:
        drawn = augment.Augmenter(train.augment, n, seed, epoch, train.mean, train.std, device)
    mixer = Mixer(recipe, seed, epoch) if recipe.mixing != "none" else None
    if progress.random:
        set_random_state(progress.random, device, mixer and mixer.draws)
    step.begin(progress.loss_sum, progress.hits)
    for start in range(progress.step * size, n, size):
        index = order[start : start + size]
        x, y = train.batch(index) if drawn is None else (drawn.batch(train.images, index, start), train.labels[index])
        if train.images.is_contiguous():  # an augmented batch may have its channels last: see `layout`
            x = x.contiguous()
        step(*(mixer.batch(x, y) if mixer else (x, y)))
        done = start // size + 1
        if checkpoint and start + size < n and checkpoint.due(done):
            random = random_state(device, mixer and mixer.draws)
            here = Progress(epoch, done, *step.sums(), progress.history, random, progress.best)
            checkpoint.save(step.model, step.optimizer, step.scaler, here)
        if on_step:
            on_step(len(y))
    if world:
        world.sum(step.loss_sum, step.hits)
    loss_sum, hits = step.sums()
    return loss_sum / (world.size if world else 1) / n, 100 * hits / n


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
