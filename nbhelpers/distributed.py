"""Data-parallel training: the processes that share one run, each with its part of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nbhelpers import device as devices
from nbhelpers.errors import InputError
from nbhelpers.mixing import Targets

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass
class World:
    """The process number `rank` of the `size` that train one net together (torch.distributed).

    All of them make the same whole batch and the same dropout masks for it, and each takes its part: then the gradients
    are averaged, so that the loss is that of one process with the whole batch, but for layers that look at a batch, as
    BatchNorm does.
    """

    rank: int
    size: int
    local: int = 0  # the rank on this machine, hence the GPU
    sync_batchnorm: bool = False  # BatchNorm over the batches of all processes
    count: int = field(default=0, init=False)  # images of the whole batch at hand

    def place(self, device: torch.device) -> torch.device:
        """This process's own `device`."""
        return torch.device("cuda", self.local) if device.type == "cuda" else device

    def check(self, images: int, batch_size: int) -> None:
        """Raise InputError where some batch of an epoch over so many images has fewer of them than processes."""
        smallest = min(batch_size, images % batch_size or batch_size)
        if smallest < self.size:
            raise InputError(
                f"batch_size: {batch_size}: of {images} images it leaves a batch of {smallest}, "
                f"fewer than the {self.size} processes"
            )

    def weight(self, count: int) -> float:
        """What the mean loss of this process's part counts in the mean over processes, for a batch of `count`."""
        part = self._slice(count)
        return (part.stop - part.start) * self.size / count

    def part(self, x: Tensor, target: Tensor | Targets) -> tuple[Tensor, Tensor | Targets]:
        """This process's part of a batch of images (B, C, H, W) and what they are to be classified as."""
        self.count, mine = len(x), self._slice(len(x))
        if isinstance(target, Targets):
            return x[mine], Targets(target.labels[:, mine], target.weights)
        return x[mine], target[mine]

    def _slice(self, count: int) -> slice:
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, *values: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        for value in values:
            torch.distributed.all_reduce(value)

    def draw_whole_masks(self, model: nn.Module) -> None:
        """Have each dropout layer of `model` draw its mask for the whole batch, as one process would, in training.

        To be the same masks in all processes, their random numbers must start from one seed.
        """
        for layer in model.modules():
            if isinstance(layer, DROPOUT):
                layer.register_forward_pre_hook(self._spread)
                layer.register_forward_hook(self._taken)

    def _spread(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        (x,), mine = inputs, self._slice(self.count)
        if not layer.training or len(x) != mine.stop - mine.start:
            return None
        whole = x.new_zeros(self.count, *x.shape[1:])
        whole[mine] = x
        return (whole,)

    def _taken(self, layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return output[self._slice(self.count)] if layer.training and len(output) == self.count else None

    def parallel(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model` as it is called in training: its gradients are averaged over the processes."""
        where = [device.index or 0] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=where)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with BatchNorm layers that normalise over the batches of all processes.

    Raises InputError on a CPU: torch has SyncBatchNorm for GPUs only.
    """
    if device.type != "cuda":
        raise InputError("sync_batchnorm: torch has it for GPUs only; leave it out, or use GroupNorm")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def started() -> bool:
    """Whether this process is one of several that torchrun, or `launch`, has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def rank() -> int:
    """This process's number among them; 0 where it is alone."""
    return int(os.environ["RANK"]) if started() else 0


@contextmanager
def joined(device: str, sync_batchnorm: bool = False) -> Iterator[World]:
    """Meet the other processes, by nccl on GPUs and by gloo on CPUs, and part from them at the end.

    Raises InputError where there are more processes on this machine than GPUs.
    """
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    world, place = World(rank, size, local, sync_batchnorm), devices.choose(device)
    if place.type == "cuda":
        if local >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise InputError(f"processes: more on this machine than its GPUs: {count}")
        torch.cuda.set_device(local)
    torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", rank=rank, world_size=size)
    try:
        yield world
    finally:
        torch.distributed.destroy_process_group()
