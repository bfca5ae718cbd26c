"""A Ray cluster in place of the local worker processes: one run is one task, and the driver alone writes records.

Ray is an extra (``pip install nbhelpers[ray]``), imported here and nowhere else, where an address is given. A run goes
to a node with its spec alone, some KB; so does its record, back. Images are those of the node where it has the same
ones, by their fingerprint; else they come through Ray's object store, once for each node.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import nbhelpers
from nbhelpers import data as datasets
from nbhelpers import light, node, records
from nbhelpers.errors import NO_RAY, InputError
from nbhelpers.prepared import ARRAYS
from nbhelpers.run import Run
from nbhelpers.workers import Job

TRIES = 3  # times that a run is begun whose worker or node is lost each time
LOST = f"its worker or node was lost {TRIES} times (out of memory, killed, or cut off)"
AHEAD = 2  # tasks handed to Ray for each place where a run can be: the next ones are there when a run ends
LEAST = 4  # tasks handed to Ray though there is no place yet: what an autoscaler sees
PATIENCE = 10  # seconds for an address to answer
GLANCE = 1.0  # seconds between two looks at which nodes there are

_ours: list[str] = []  # the address that `Cluster.connect` connected this process to; a connection of others is left


@dataclass(frozen=True)
class Cluster:
    """Where the runs go, and what each of them takes.

    address: as ``ray.init`` has it: "local" starts Ray on this machine, for as long as the runs take; "auto" finds the
    cluster of this machine, HOST:PORT names one, ray://HOST:PORT is Ray's client. device: "auto" is a GPU where a node
    has one. processes: among how many each run is split. runs_per_gpu: runs that share a GPU.
    """

    address: str
    device: str = "auto"
    processes: int = 1
    runs_per_gpu: int = 1

    def connect(self) -> Any:
        """The module `ray`, connected. Raises InputError without Ray, and where there is no such cluster."""
        if importlib.util.find_spec("ray") is None:
            raise InputError(f"ray: {self.address!r}: {NO_RAY}")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers
        self._answers()
        with light.without(light.IRI):
            import ray

        if not ray.is_initialized():
            main = threading.current_thread() is threading.main_thread()
            before = signal.getsignal(signal.SIGTERM) if main else None
            try:
                self._init(ray)
            finally:
                if main:  # Ray's own would end a kernel with SystemExit, which a kernel survives
                    signal.signal(signal.SIGTERM, before)
            _ours.append(self.address)
        return ray

    def _init(self, ray: Any) -> None:
        """Connect. A node that takes over 15 s to start, on a busy machine, gives up: then once more."""
        local = {"include_dashboard": False} if self.address == "local" else {}
        for last in (not local, True):
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR", **local)
                return
            except Exception as error:  # Ray raises plain ones too
                ray.shutdown()
                if last:
                    text = " ".join(str(error).split())
                    raise InputError(f"ray: {self.address!r}: cannot be reached: {text[:200]}") from None

    def _answers(self) -> None:
        """Raise InputError where nothing listens at the address: Ray itself would try for minutes."""
        if self.address in ("local", "auto"):
            return
        host, colon, port = self.address.removeprefix("ray://").rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()):
            raise InputError(f"ray: {self.address!r}: must be local, auto, HOST:PORT or ray://HOST:PORT")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        except (OSError, OverflowError, UnicodeError) as error:  # the last two: a port or a host that cannot be
            said = getattr(error, "strerror", None) or error
            raise InputError(f"ray: {self.address!r}: cannot be reached: {said}") from None

    def place(self) -> str:
        """ "cuda" or "cpu": where the runs compute, of a connected cluster."""
        import ray

        has_gpu = any(one["Resources"].get("GPU") for one in ray.nodes() if one["Alive"])
        return self.device if self.device != "auto" else "cuda" if has_gpu else "cpu"

    def needs(self) -> dict[str, float]:
        """What a run takes: a CPU for each of its threads, and its share of a GPU."""
        gpus = {"num_gpus": self.processes / (self.runs_per_gpu if self.processes == 1 else 1)}
        return {"num_cpus": self.processes} | (gpus if self.place() == "cuda" else {})

    def places(self) -> int:
        """How many runs the nodes that are there now can carry out at a time."""
        import ray

        needs = {name.removeprefix("num_").upper().removesuffix("S"): amount for name, amount in self.needs().items()}
        nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        return sum(int(min(one.get(name, 0) / amount + 1e-6 for name, amount in needs.items())) for one in nodes)

    def describe(self) -> str:
        """The cluster as a person reads it."""
        import ray

        nodes = sum(one["Alive"] for one in ray.nodes())
        return f"device: {self.place()}, ray: {self.address}, nodes: {nodes}, runs at a time: {self.places()}"


def pool(
    runs: Sequence[Run],
    job: Job,
    cluster: Cluster,
    workers: int = 0,
    limit: float | None = None,
    weights: Path | None = None,
) -> Iterator[tuple[Run, Any]]:
    """Each run with what `job` answers, or with the reason why there is no answer, from the nodes of `cluster`.

    workers: runs at a time; 0 for as many as there is place for, which grows as nodes join. A run whose worker or node
    is lost is tried again, one that failed is not. limit: seconds that one may take from when it begins. weights: the
    folder that the trained weights are brought to.
    """
    if limit and cluster.address.startswith("ray://"):
        raise InputError(
            f"run_limit: {limit:g}: not through Ray's client: {cluster.address!r} must be auto or HOST:PORT"
        )
    ray = cluster.connect()
    if not cluster.places():
        needs = ", ".join(f"{name} {amount:g}" for name, amount in cluster.needs().items())
        if cluster.address == "local":  # where no node will join
            disconnect()
            raise InputError(f"ray: 'local': this machine has no place for a run, which takes {needs}")
        print(f"no node has place for a run yet, which takes {needs}: waiting for one", flush=True)
    how = cluster.needs() | {"max_retries": 0}  # tried again from here, which counts how often
    task = (
        ray.remote(node.announced).options(num_returns="streaming", **how)
        if limit
        else ray.remote(node.task).options(**how)
    )
    options = {"device": cluster.place(), "weights": weights is not None}
    waiting, tried, flight, since = deque(runs), Counter(), {}, {}
    known, sent, room, glanced = {}, {}, 0, -GLANCE
    try:
        while waiting or flight:
            if time.monotonic() - glanced > GLANCE:
                room, glanced = workers or max(LEAST, AHEAD * cluster.places()), time.monotonic()
            while waiting and len(flight) < room:
                run = waiting.popleft()
                for images in _images(run):
                    known[images] = known.get(images) or datasets.load(*images).fingerprint
                # A reference that is an argument by itself would be replaced by what it refers to.
                wanted = [(images, known[images], sent.get(images)) for images in _images(run)]
                flight[task.remote(nbhelpers.__version__, job, run, wanted, **options)] = run
            for ref in _ready(ray, flight, since, limit):
                run = flight[ref]
                try:
                    if limit and ref not in since:
                        ray.get(next(ref))
                        since[ref] = time.monotonic()
                        continue
                    answer = ray.get(next(ref) if limit else ref)
                except ray.exceptions.RayError as error:
                    answer = _failed(ray, error)
                del flight[ref]
                since.pop(ref, None)
                tried[run.key] += answer is None
                if isinstance(answer, node.Lacking):
                    sent |= {images: _put(ray, images) for images in answer.images if images not in sent}
                if isinstance(answer, node.Lacking) or (answer is None and tried[run.key] < TRIES):
                    waiting.appendleft(run)
                    continue
                if isinstance(answer, node.Kept):
                    records.write(weights / f"{run.key}.safetensors", answer.weights)
                    answer = answer.record
                yield run, LOST if answer is None else answer
            for ref in [ref for ref, begun in since.items() if time.monotonic() - begun >= limit]:
                ray.cancel(ref, force=True)
                run = flight.pop(ref)
                del since[ref]
                yield run, f"took longer than the limit of {limit:g} seconds"
    finally:
        for ref in flight:
            ray.cancel(ref, force=True)
        disconnect()


def disconnect() -> None:
    """End the connection that `Cluster.connect` made, and with it a Ray that it started."""
    if _ours:
        import ray

        ray.shutdown()
        _ours.clear()


def _images(run: Run) -> list[node.Images]:
    """What a run reads: its images, and those of its teacher."""
    teacher = _images(run.teacher) if isinstance(run.teacher, Run) else []
    return [(run.data.name, run.data.size, run.data.classes), *teacher]


def _ready(ray: Any, flight: Mapping[Any, Run], since: Mapping[Any, float], limit: float | None) -> list[Any]:
    """The tasks that have something to tell, waited for until the next glance, or until a run is over its limit."""
    left = [begun + limit - time.monotonic() for begun in since.values()] if limit else []
    refs = list(flight)
    if not refs or not ray.wait(refs, num_returns=1, timeout=max(0.0, min(GLANCE, *left, GLANCE)))[0]:
        return []
    return ray.wait(refs, num_returns=len(refs), timeout=0)[0]


def _put(ray: Any, images: node.Images) -> Any:
    """The images in the object store, as plain arrays: what Ray shares between the processes of a node."""
    data = datasets.load(*images)
    return ray.put(replace(data, **{field: np.asarray(getattr(data, field)) for field in ARRAYS}))


def _failed(ray: Any, error: Exception) -> str | None:
    """Why a task has no answer, as one line; None where its worker or node is lost."""
    kinds = ray.exceptions
    lost = (kinds.WorkerCrashedError, kinds.NodeDiedError, kinds.OutOfMemoryError, kinds.ObjectLostError)
    if isinstance(error, (*lost, kinds.LocalRayletDiedError)):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
