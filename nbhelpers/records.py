"""Records: what a run leaves. One JSON file per run, named by its key; the truth about what is done."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from nbhelpers.errors import RunError
from nbhelpers.run import VERSION, key_of

if TYPE_CHECKING:  # what only reads records of a set, such as `nbhelpers list`, does without it
    import numpy as np


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one; leave an equal file alone."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def dump(value: dict[str, Any]) -> str:
    """JSON with one line for each top-level entry: readable, and small."""
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def pack(correct: np.ndarray) -> str:
    """One bit per image as base64."""
    import numpy as np

    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpack(packed: str, count: int) -> np.ndarray:
    """The 0/1 array (count,) uint8 that `pack` was given."""
    import numpy as np

    return np.unpackbits(np.frombuffer(base64.b64decode(packed), dtype=np.uint8), count=count)


def read_plan(folder: Path) -> list[dict[str, Any]]:
    """The planned runs (key, seed, labels, predicted_seconds) of the set in `folder`; empty without a sound plan."""
    return read(Path(folder) / "plan.json").get("runs", [])


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


NUMBERS = json.JSONEncoder(sort_keys=True)


def digest(found: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the numbers of the records (not over times and hosts), 16 hex digits."""
    return _hash([record[name] for name in ("key", "status", "final", "correct")] for record in found)


def courses(found: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the epochs and probes of the records, 16 hex digits: what `digest` leaves out, to be quick."""

    def epochs(record: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in record["history"]]

    return _hash([record["key"], epochs(record), record["probes"]] for record in found)


def _hash(values: Iterable[Any]) -> str:
    lines = sorted(map(NUMBERS.encode, values))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def origins(found: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over where the records were made, of which images, and when, 16 hex digits."""
    return _hash([record["key"], record["provenance"]] for record in found)


def stale(summary: Mapping[str, Any], found: str) -> str:
    """Why a ``summary.json`` is not about the records that are there, as a short phrase; empty where it is.

    found: the digest of these records.
    """
    if summary and summary.get("version") != VERSION:
        return f"made with version {summary.get('version')} of the recipe, now {VERSION}"
    if summary and summary.get("records") != found:
        return "made from other records than those that are there"
    return ""


PARTS = {"key", "version", "status", "run", "final", "history", "probes", "correct", "provenance"}


class Store:
    """The records of one set of one study: ``FOLDER/runs/KEY.json``, written by one driver process."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        return self.folder / "runs" / f"{key}.json"

    def load(self, key: str) -> dict[str, Any] | None:
        """The record of `key`; None where there is none, or only a damaged one (which counts as missing)."""
        try:
            with open(f"{self.folder}/runs/{key}.json", "rb") as file:  # of thousands: without a Path for each
                record = json.loads(file.read())
            own_key = key_of(record["run"], record["version"])
            sound = record.keys() >= PARTS and record["key"] == key == own_key and record["version"] == VERSION
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            return None
        return record if sound else None

    def load_all(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Key -> record, of those that have a sound one."""
        collecting = gc.isenabled()
        gc.disable()  # it would go through all that is there again and again, of which nothing can be freed
        try:
            return {key: record for key in keys if (record := self.load(key))}
        finally:
            if collecting:
                gc.enable()

    def save(self, record: dict[str, Any]) -> None:
        """Write a finished run's record; an OSError (full disk, no permission) leaves no partial file."""
        write(self.path(record["key"]), dump(record))

    def tidy(self) -> None:
        """Remove the half files that a writer left when it was killed. Only for who holds the lock."""
        for left in (self.folder / "runs").glob(".*.json.*"):
            left.unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether there is any record."""
        return next((self.folder / "runs").glob("*.json"), None) is not None

    def lock(self) -> FileLock:
        """Held while runs are added, so that two executions of one set do not do the same work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock, and say so where another execution has to be waited for."""
        lock = self.lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print("another execution of this set is at work: waiting until it ends", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def check_place(self) -> None:
        """Raise RunError where the folder was moved or removed while its lock is held."""
        if not (self.folder / ".lock").exists():
            raise RunError(f"{self.folder}: was moved or removed meanwhile; the runs that are recorded went with it")
