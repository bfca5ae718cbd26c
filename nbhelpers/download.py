"""Fetch one file of a data set: from mirrors, resumable, checked, and once even if many processes ask.

Only the standard library's urllib is used. A file counts as there when its size and checksum are right,
and only then gets its name; until then it is `NAME.partial`, which the next call resumes. md5 is what the
data sets publish: it guards against broken transfers, not against a forger.
"""

import hashlib
import http.client
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from nbhelpers.errors import InputError

MIRRORS = "NBHELPERS_MIRRORS"  # comma-separated base URLs, tried before the built-in address
TIMEOUT = 30  # seconds without a byte before a server counts as gone
CHUNK = 1 << 18


class DataError(InputError):
    """Data that is missing, damaged or asked for wrongly; the message is one line with the ways out."""


@dataclass(frozen=True)
class File:
    """A published file: its address, size in bytes, and md5 or sha256 (told apart by their length)."""

    url: str
    size: int
    checksum: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def fault(path: Path, file: File) -> str | None:
    """What is wrong with the file at `path`, or None when its size and checksum are those published."""
    if (size := path.stat().st_size) != file.size:
        return f"has {size} bytes instead of {file.size}"
    kind = "md5" if len(file.checksum) == 32 else "sha256"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    return None if found == file.checksum else f"has the wrong {kind} {found}"


def fetch(file: File, folder: Path) -> Path:
    """Download `file` into `folder` unless it is there; returns its path.

    Tries each mirror of NBHELPERS_MIRRORS (BASE/filename), then the file's own address. Raises DataError
    with every address and what went wrong there: an incomplete file is kept as `.partial` and resumed by
    the next call, a complete one with the wrong checksum is removed.
    """
    from filelock import FileLock

    target, partial = folder / file.name, folder / f"{file.name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{file.name}.lock").acquire()
        partial.touch()
    except OSError as error:
        raise DataError(f"{file.name}: cannot write to {folder} ({error}); set NBHELPERS_DATA elsewhere") from None
    with lock:
        if target.exists():  # another process fetched it while this one waited
            partial.unlink()
            return target
        reasons = []
        bases = [base.strip() for base in os.environ.get(MIRRORS, "").split(",") if base.strip()]
        for url in [f"{base.rstrip('/')}/{file.name}" for base in bases] + [file.url]:
            if (reason := _try(url, partial, file)) is None:
                os.replace(partial, target)
                return target
            reasons.append(f"{url} {reason}")
        if not partial.stat().st_size:
            partial.unlink()
    raise DataError(f"{file.name}: download failed: {'; '.join(reasons)}")


def _try(url: str, partial: Path, file: File) -> str | None:
    """Complete `partial` from one address, reconnecting as long as that adds bytes; the reason if it fails."""
    begun, before = partial.stat().st_size, -1
    while before < (size := partial.stat().st_size) < file.size:
        before = size
        try:
            _transfer(url, partial, file)
        except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
            if partial.stat().st_size <= before:
                return f"failed ({error})" if not size else f"failed at byte {size} ({error}); kept {partial}"
    if partial.stat().st_size < file.size:
        return f"ended at byte {partial.stat().st_size} of {file.size} (truncated); kept {partial}"
    if (reason := fault(partial, file)) is None:
        return None
    partial.write_bytes(b"")
    # The bytes resumed from may have been another server's, so this one deserves a fresh start.
    return _try(url, partial, file) if begun else f"{reason}, expected {file.checksum}; removed"


def _transfer(url: str, partial: Path, file: File) -> None:
    """Append one response to `partial`, from where it ends if the server can, else from the start."""
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    start = partial.stat().st_size
    with urlopen(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), timeout=TIMEOUT) as response:
        start = start if getattr(response, "status", None) == 206 else 0
        length = response.headers.get("Content-Length")
        if length is not None and start + int(length) != file.size:
            raise ValueError(f"the server's file has {start + int(length)} bytes instead of {file.size}")
        bar = tqdm(desc=file.name, total=file.size, initial=start, unit="B", unit_scale=True, leave=False,
                   disable=not sys.stderr.isatty())  # fmt: skip
        with bar, partial.open("ab" if start else "wb") as out:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
