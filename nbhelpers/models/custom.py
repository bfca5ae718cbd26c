"""Somebody's own net: any importable function that returns a module."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from nbhelpers.spec import Spec


class Custom(Spec):
    """The net that ``target(shape=..., classes=..., **kwargs)`` returns; target is "package.module:function".

    The source of the target's module is part of the run's key: edited code is a new run.
    """

    kind: Literal["custom"] = "custom"
    target: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    kwargs: dict[str, Any] = Field(default_factory=dict)

    def canonical(self) -> dict[str, Any]:
        return super().canonical() | {"source": self.source()}

    def source(self) -> str:
        """SHA-256 of the target module's source file, 16 hex digits."""
        module = self.target.split(":")[0]
        found = importlib.util.find_spec(module)
        if found is None or not found.origin:
            raise ValueError(f"target: {self.target!r}: there is no module {module!r}")
        return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()[:16]

    def build(self, shape: tuple[int, int, int], classes: int):
        """The module that the target makes for images of `shape` (channels, height, width)."""
        module, function = self.target.split(":")
        found = getattr(importlib.import_module(module), function, None)
        if found is None:
            raise ValueError(f"target: {self.target!r}: {module} has no {function!r}")
        return found(shape=shape, classes=classes, **self.kwargs)
