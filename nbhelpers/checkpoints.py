"""Checkpoints: all that a training run needs to go on, in one safetensors file, bit for bit on a CPU.

Weights, the optimizer's state, the gradient scaler, the random streams and the place in the epoch. No pickle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nbhelpers import records
from nbhelpers.errors import InputError


@dataclass
class Best:
    """The weights and buffers of the epoch (from 1) with the highest validation accuracy, in per cent, so far."""

    epoch: int = 0
    accuracy: float = -1.0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def see(self, model: nn.Module, epoch: int, accuracy: float) -> None:
        """Keep the state of `model` if no earlier epoch was as good."""
        if accuracy > self.accuracy:
            state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            self.epoch, self.accuracy, self.weights = epoch, accuracy, state


@dataclass
class Progress:
    """Where a training run is: the next step of an epoch (both from 0), what the epoch has summed up, past epochs.

    random: the states of torch's generators and of the mixer; empty at the start of an epoch, which seeds them.
    best: the best epoch, where one is looked for.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    hits: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    random: dict[str, Tensor] = field(default_factory=dict)
    best: Best | None = None


@dataclass
class Checkpoint:
    """A file that is written after every `every` steps of an epoch and at its end.

    about: what must be the same for a run to go on from it, such as recipe and seed. pause: seconds that lie at least
    between two writings, so that a short run writes none. stop: to write after the next step, whatever `every` says;
    stopped: that was done.
    """

    path: Path
    about: Mapping[str, Any]
    every: int = 200
    pause: float = 0.0
    written: float = field(default_factory=time.monotonic)
    stop: bool = False
    stopped: bool = False

    def due(self, step: int = 0) -> bool:
        """Whether to write after so many steps of an epoch; 0 stands for its end."""
        return self.stop or (step % self.every == 0 and time.monotonic() - self.written >= self.pause)

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any, progress: Progress) -> None:
        """Replace the file by the present state; a crash leaves the one before."""
        from safetensors.torch import save

        tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        numbers: dict[str, Any] = {}
        for i, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                kept = tensors if isinstance(value, Tensor) else numbers
                kept[f"optimizer/{i}/{name}"] = value
        tensors |= {f"random/{name}": tensor for name, tensor in progress.random.items()}
        place = {name: getattr(progress, name) for name in ("epoch", "step", "loss_sum", "hits", "history")}
        head = {"about": dict(self.about), "progress": place, "numbers": numbers, "scaler": scaler.state_dict()}
        if progress.best:
            head["best"] = [progress.best.epoch, progress.best.accuracy]
            tensors |= {f"best/{name}": tensor for name, tensor in progress.best.weights.items()}
        plain = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        records.write(self.path, save(plain, {"nbhelpers": json.dumps(head)}))
        self.written, self.stopped = time.monotonic(), self.stop

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any) -> Progress:
        """Put the state of the file into model, optimizer and scaler; a fresh Progress where there is no file.

        InputError for a file that is damaged, no checkpoint, or of another training.
        """
        if not self.path.exists():
            return Progress()
        tensors, head = read(self.path)
        for name, value in self.about.items():
            if name not in head["about"] or head["about"][name] != json.loads(json.dumps(value)):
                there = head["about"].get(name, "nothing")
                raise InputError(f"{self.path}: is a checkpoint of another training: {name} {there}, here {value}")
        weights = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        try:
            model.load_state_dict(weights)
        except RuntimeError:
            raise InputError(f"{self.path}: is a checkpoint of another model") from None
        state: dict[int, dict[str, Any]] = {}
        for name, value in [*tensors.items(), *head["numbers"].items()]:
            if name.startswith("optimizer/"):
                _, index, entry = name.split("/")
                state.setdefault(int(index), {})[entry] = value
        weights_of = [p for group in optimizer.param_groups for p in group["params"]]
        for index, entries in state.items():  # in the memory layout of the weights: fused optimizers take them in turn
            own = weights_of[index]
            state[index] = {
                entry: torch.empty_like(own).copy_(value)
                if isinstance(value, Tensor) and value.shape == own.shape
                else value
                for entry, value in entries.items()
            }
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        scaler.load_state_dict(head["scaler"])
        random = {name.removeprefix("random/"): t for name, t in tensors.items() if name.startswith("random/")}
        best = {name.removeprefix("best/"): t for name, t in tensors.items() if name.startswith("best/")}
        return Progress(**head["progress"], random=random, best=Best(*head["best"], best) if "best" in head else None)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and head of a checkpoint file. InputError where it is damaged or none of ours."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()  # once: safe_open opens it twice, and a training may replace it in between
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        return tensors, json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["nbhelpers"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is damaged, or no checkpoint of nbhelpers ({reason})") from None


def random_state(device: torch.device, mixer: np.random.RandomState | None) -> dict[str, Tensor]:
    """The states of torch's generators and of the mixer's, as tensors."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if mixer is not None:
        _, keys, position, has_gauss, gauss = mixer.get_state()
        state["mixer keys"] = torch.from_numpy(keys.astype(np.int64))
        state["mixer place"] = torch.tensor([position, has_gauss, gauss], dtype=torch.float64)
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device, mixer: np.random.RandomState | None) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if mixer is not None and "mixer keys" in state:
        position, has_gauss, gauss = state["mixer place"].tolist()
        keys = state["mixer keys"].numpy().astype(np.uint32)
        mixer.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
