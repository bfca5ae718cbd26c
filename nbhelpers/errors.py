"""Errors that are shown as one line: in a notebook without a traceback, on the command line without one too."""

NO_RAY = "Ray is not installed: pip install nbhelpers[ray]"


class OneLine(Exception):
    """Its text says all: the field, its value and what is allowed, or what failed and what to do."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows instead of the traceback
        return [f"{type(self).__name__}: {self}"]


class InputError(OneLine, ValueError):
    """Something that the user gave is not allowed."""


class RunError(OneLine, RuntimeError):
    """Runs could not be carried out, or what they need is not there."""
