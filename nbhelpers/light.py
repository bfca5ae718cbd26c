"""Imports that cost seconds and serve nothing here are left out, and those that bear no interrupt are spared one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

IRI = "rfc3987_syntax"  # jsonschema's, for a format that no notebook's schema has: 1.5 seconds of importing nbformat


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Meanwhile these modules import as if they were not installed; one that is imported already stays."""
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Meanwhile SIGINT and SIGTERM are kept back; they come at its end.

    For the import of pydantic: an exception in the middle of it becomes a panic of its compiled part.
    """
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        yield
        return
    kept: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: kept.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in kept:
            signal.raise_signal(number)
