"""Perform one run: load, build, train, evaluate, measure; and return its record."""

import math
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

import nbhelpers
from nbhelpers import allocator, probes, records, tensors
from nbhelpers import device as devices
from nbhelpers import train as training
from nbhelpers.checkpoints import Best, Checkpoint
from nbhelpers.distillation import Teacher
from nbhelpers.distributed import World, synchronised
from nbhelpers.models.initialise import build
from nbhelpers.prepared import user_cache
from nbhelpers.run import VERSION, Data, Run

PAUSE = 300  # seconds between two checkpoints of a run: a shorter run writes none


@lru_cache(maxsize=2)
def _load(data: str, seed: int):
    """By the JSON of the spec: one that has arguments for its augmentation cannot be hashed."""
    return tensors.load(Data.model_validate_json(data), seed)


def load(run: Run):
    """Training images, test images and the data set of `run`, kept for the next runs on the same images."""
    return _load(run.data.model_dump_json(), run.seed if run.data.drawn_by_run else 0)


def perform(
    run: Run,
    device: str = "auto",
    threads: int | None = None,
    on_epoch: Callable[[dict], None] | None = None,
    weights: Path | None = None,
    compiled: str = "no",
    world: World | None = None,
    on_step: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    built: Callable[[torch.nn.Module], None] | None = None,
    trained: Callable[[torch.nn.Module, Best | None], None] | None = None,
    teacher: torch.nn.Module | None = None,
) -> dict[str, Any]:
    """Carry out `run` and return its record, a plain dict.

    `threads` is set for the whole process. weights: a folder in which the trained weights are kept, as KEY.safetensors.
    compiled: see `device.check_compiled`. world: the processes that carry out this run together, each of which calls
    this. on_step, on_epoch: see `train.fit`. checkpoint: where the state of the training is kept meanwhile, and left,
    if not in the user's cache. built: is called with the net before its training. trained: is called with the net as it
    is after the last epoch, and with the best one. teacher: the net of the run's teacher, where that is a file. A
    training loss that is not finite gives the status "diverged"; everything else that goes wrong is raised.
    """
    started, place, code = time.monotonic(), devices.choose(device), commit()
    place = world.place(place) if world else place
    devices.check_precision(run.recipe.precision, place)
    devices.set_arithmetic(run.recipe.precision, threads)
    train, test, whole = load(run)
    taught = taught_by(run, place, threads, teacher) if run.recipe.distillation else None
    shape = tuple(train.images.shape[1:])
    if hasattr(run.model, "check"):
        run.model.check(shape, run.recipe.smallest_batch(len(train)))
    begin = training.clock(place)
    model = build(run.model, shape, train.classes, run.seed).to(place, memory_format=torch.contiguous_format)
    model = synchronised(model, place) if world and world.sync_batchnorm else model
    train, test = (part.to(place, training.layout(model)) for part in (train, test))
    model.to(memory_format=training.layout(model))
    if built:
        built(model)
    measured = {"initial": probes.measure(run.probes, "initial", model, train, test, run.recipe)}
    allocator.give_back()  # of a deep net, some GB more than its training needs

    def after_epoch(row: dict[str, Any]) -> None:
        if on_epoch:
            on_epoch(row)
        row["probes"] = probes.measure(run.probes, "epoch", model, train, test, run.recipe)

    kept = user_cache() / "checkpoints" / f"{run.key}.safetensors"
    about = {"key": run.key, "version": VERSION, "images": whole.fingerprint}
    own = checkpoint is None
    checkpoint = checkpoint or Checkpoint(kept, {}, every=1, pause=PAUSE)
    checkpoint.about = {**checkpoint.about, **about}
    options = {"seed": run.seed, "device": place, "on_epoch": after_epoch, "on_step": on_step, "checkpoint": checkpoint}
    options |= {"teacher": taught, "compiled": compiled, "world": world}
    best = Best() if run.recipe.keep == "best" else None
    validation = tensors.validation(run.data, run.seed)
    history = training.fit(model, train, test, run.recipe, validation=validation, best=best, **options)
    by_epoch = [row.pop("probes") for row in history]
    if trained:
        trained(model, best)
    if best and best.weights:
        model.load_state_dict(best.weights)
    result = training.evaluate(model, test, run.recipe.test_batch_size)
    if weights and not (world and world.rank):
        _keep(model, weights / f"{run.key}.safetensors")
    diverged = not math.isfinite(history[-1]["train_loss"])
    measured["final"] = probes.measure(run.probes, "final", model, train, test, run.recipe)
    if own:
        checkpoint.path.unlink(missing_ok=True)
    each_epoch = {name: [found[name] for found in by_epoch] for name in (by_epoch[0] if by_epoch else ())}
    measured |= {"epoch": each_epoch} if each_epoch else {}
    return {
        "key": run.key,
        "version": VERSION,
        "status": "diverged" if diverged else "done",
        "run": run.canonical(),
        "final": finite(_final(model, history, result, train, test, validation, best)),
        "history": finite(history),
        "probes": finite({name: {m: v[name] for m, v in measured.items() if name in v} for name in run.probes}),
        "correct": records.pack(result.correct),
        "provenance": {
            "fingerprint": whole.fingerprint,
            "device": place.type,
            "hardware": devices.describe(place),
            "threads": torch.get_num_threads(),
            "seconds": round(training.clock(place) - begin, 2),
            "wall_seconds": round(time.monotonic() - started, 2),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": code,
            "versions": versions(),
        }
        | ({"compiled": compiled} if compiled != "no" else {})
        | ({"processes": world.size} if world else {}),
    }


def _final(
    model: torch.nn.Module,
    history: list[dict[str, Any]],
    result: training.Evaluation,
    train: tensors.Images,
    test: tensors.Images,
    validation: tensors.Images | None,
    best: Best | None,
) -> dict[str, Any]:
    """What came out: of the last epoch of training, and of the test of the weights that are kept."""
    final = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": len(history),
        "train_loss": history[-1]["train_loss"],
        "train_accuracy": history[-1]["train_accuracy"],
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "train_images": len(train),
        "test_images": len(test),
        "classes": train.classes,
    }
    if validation is not None:
        chosen = (best.epoch if best else 0) or len(history)
        final |= {"kept_epoch": chosen, "validation_images": len(validation)}
        final |= {name: history[chosen - 1][name] for name in ("validation_loss", "validation_accuracy")}
    return final


def taught_by(
    run: Run, device: torch.device, threads: int | None = None, net: torch.nn.Module | None = None
) -> Teacher:
    """The trained net of the teacher of `run`, or `net`, where its teacher is a file.

    The weights of a teacher that is a run are in the user's cache; it is trained if they are not.
    """
    from safetensors.torch import load_file

    if net is None:
        folder = user_cache() / "teachers"
        path = folder / f"{run.teacher.key}.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{run.teacher.key}.lock"):
            if not path.exists():
                perform(run.teacher, device.type, threads, weights=folder)
        train, _, _ = load(run.teacher)
        net = build(run.teacher.model, tuple(train.images.shape[1:]), train.classes, run.teacher.seed)
        net.load_state_dict(load_file(path))
    net.to(device, memory_format=training.layout(net)).requires_grad_(False)
    return Teacher(net, run.recipe.distillation, run.recipe.temperature)


def _keep(model: torch.nn.Module, path: Path) -> None:
    """Write the weights and buffers of `model`; a crash leaves no partial file."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    records.write(path, save(state))


def finite(value: Any) -> Any:
    """The same with NaN and infinities as text, since JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"nbhelpers": nbhelpers.__version__, "python": platform.python_version()}
    return found | {"torch": torch.__version__, "numpy": np.__version__, "system": platform.system()}


@lru_cache
def commit(*paths: str) -> str:
    """The commit of the checkout that this module lies in, "+" after it if files differ; "" outside of one.

    paths: which files are looked at, from this module's folder on; this package's where none are named.
    """
    import subprocess

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if head and git("status", "--porcelain", "--", *(paths or ["."])) else "")
    except (OSError, subprocess.TimeoutExpired):
        return ""
