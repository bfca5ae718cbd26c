"""What a node of a Ray cluster does: one run, on its own images or on those that are sent to it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbhelpers
from nbhelpers import data as datasets
from nbhelpers.run import Run
from nbhelpers.workers import Job

Images = tuple[str, int | None, int | None]  # the arguments of `data.load`


@dataclass(frozen=True)
class Lacking:
    """The answer of a node that has not the images, or has others."""

    images: list[Images]


@dataclass(frozen=True)
class Kept:
    """A record with the trained weights, as the bytes of a file."""

    record: dict[str, Any]
    weights: bytes


def announced(*args: Any, **options: Any) -> Iterator[Any]:
    """`task`, with a sign when it begins: what the limit counts from."""
    yield None
    yield task(*args, **options)


def task(version: str, job: Job, run: Run, images: list, device: str, weights: bool) -> Any:
    """Carry out a run on this node. images: what it reads, each with its fingerprint and where it can be had."""
    if nbhelpers.__version__ != version:
        return f"node {socket.gethostname()} has nbhelpers {nbhelpers.__version__}, the driver {version}"
    if lacking := [one for one, fingerprint, ref in images if not _at_hand(one, fingerprint, ref)]:
        return Lacking(lacking)
    if not weights:
        return job(run, device=device, weights=None)
    with tempfile.TemporaryDirectory() as folder:
        record = job(run, device=device, weights=Path(folder))
        kept = Path(folder) / f"{run.key}.safetensors"
        return Kept(record, kept.read_bytes()) if kept.exists() else record


def _at_hand(images: Images, fingerprint: str, ref: Any) -> bool:
    """Whether `data.load` gives the images with this fingerprint here, taken from the object store where need be."""
    try:
        own = datasets.available(images[0]) and datasets.load(*images, download=False).fingerprint == fingerprint
    except datasets.DataError:  # damaged, or incomplete
        own = False
    if not own and ref is not None:
        import ray

        datasets.BROUGHT[images] = ray.get(ref)
    return own or ref is not None
