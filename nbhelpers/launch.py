"""A run as a sweep has it carried out: in this process, or split over several of this machine."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from nbhelpers import perform, workers
from nbhelpers.errors import InputError, RunError
from nbhelpers.run import Run


def attempt(run: Run, device: str, processes: int = 1, **options: Any) -> dict[str, Any] | str:
    """The record of `run` at one CPU thread, or why there is none, as one line: what a worker sends back.

    processes: among how many the run is split. options: those of `perform.perform`. Errors are caught here since not
    every exception can be sent between processes, nor told from the pool's own.
    """
    try:
        if processes > 1:
            return together(run, processes, device, **options)
        return perform.perform(run, device, threads=1, **options)
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        return text if isinstance(error, (InputError, RunError)) else f"{type(error).__name__}: {text}"


def together(run: Run, processes: int, device: str, **options: Any) -> dict[str, Any]:
    """The record of `run`, carried out by `processes` processes together: one for each GPU, or with a CPU thread each.

    `options` are those of `perform.perform`. Raises RunError with the reason of the first process that failed; the
    others are ended then.
    """
    from torch.multiprocessing.spawn import ProcessException, start_processes

    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "record.json"
        arguments = (run, processes, device, _free_port(), answer, os.getpid(), options)
        try:
            start_processes(_member, arguments, nprocs=processes, start_method="spawn")
        except ProcessException as error:
            last = str(error).strip().splitlines()[-1]  # of the traceback that came with it: kind and reason
            reason = re.sub(r"^nbhelpers[.]errors[.]\w+: ", "", last)
            raise RunError(f"processes: {processes}: {reason}") from None
        return json.loads(answer.read_text(encoding="utf-8"))


def _member(rank: int, run: Run, size: int, device: str, port: int, answer: Path, parent: int, options: dict) -> None:
    """What each process does."""
    from nbhelpers.distributed import joined

    workers.follow_parent(parent)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with joined(device) as world:
        record = perform.perform(run, device, threads=1, world=world, **options)
        if rank == 0:
            answer.write_text(json.dumps(record), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
