"""Imports that cost seconds and serve nothing here are left out."""

import sys
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
