"""Somebody's own net: any importable function that returns a module."""

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nbhelpers.errors import InputError
from nbhelpers.spec import Spec


class Custom(Spec):
    """The net that ``target(shape=..., classes=..., **kwargs)`` returns; target is "package.module:function".

    The source of the target's module is part of the run's key: edited code is a new run.
    """

    kind: Literal["custom"] = "custom"
    target: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _without_source(cls, values: Any) -> Any:
        """A record holds the source's hash, which is not given but found."""
        return {k: v for k, v in values.items() if k != "source"} if isinstance(values, Mapping) else values

    def canonical(self) -> dict[str, Any]:
        return super().canonical() | {"source": self.source()}

    def source(self) -> str:
        """SHA-256 of the target module's source file, 16 hex digits. InputError where there is none."""
        module = self.target.split(":")[0]
        try:
            return hashlib.sha256(Path(importlib.util.find_spec(module).origin).read_bytes()).hexdigest()[:16]
        except (ImportError, AttributeError, TypeError, ValueError, OSError):
            raise InputError(f"target: {self.target!r}: there is no module {module!r} with a source file") from None

    def build(self, shape: tuple[int, int, int], classes: int):
        """The module that the target makes for images of `shape` (channels, height, width)."""
        module, function = self.target.split(":")
        found = getattr(importlib.import_module(module), function, None)
        if found is None:
            raise InputError(f"target: {self.target!r}: {module} has no {function!r}")
        return found(shape=shape, classes=classes, **self.kwargs)
