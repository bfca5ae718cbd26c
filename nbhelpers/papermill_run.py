"""Run a notebook in batch: papermill executes it, and a finished copy replaces the earlier one."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from nbhelpers import light, parameters, places, records
from nbhelpers.errors import InputError, RunError

NOT_STARTED = ("kernel_info", "Kernel didn't respond")  # a kernel that did not come up is tried once more
GO_ON = "the same command goes on from the recorded runs"


def run(study: str, set_name: str, changes: dict[str, Any], *, fresh: str = "", out: Any = None) -> Path:
    """Execute the notebook of `study` with a parameter set and `changes` to it; return the executed copy.

    The copy is ``RESULTS/STUDY/SET/STUDY.ipynb``. While it is made it is ``STUDY.partial.ipynb``; one that failed
    stays as ``STUDY.failed.ipynb``. fresh: which recorded runs are done again (`sweep.Fresh`). out: the stream for the
    lines of the cells.
    Raises InputError for a study, set or parameter that is not allowed, RunError where the notebook failed.
    """
    source = notebook(study)
    # The kernel works in the project's folder, not in the one that the user's paths start from.
    set_name = os.path.abspath(set_name) if set_name.endswith((".yaml", ".yml")) else set_name
    changes = changes | ({"results": os.path.abspath(changes["results"])} if changes.get("results") else {})
    values = parameters.check(study, {**parameters.load(study, set_name), **changes}, parameters.load(study, "demo"))
    folder = parameters.Parameters(study, values, *parameters.which(study, values)).folder.absolute()
    if not values["train"] and not records.Store(folder).any():
        raise RunError(f"{study}: no run of {folder.name} is recorded")  # before anything is written there
    _check_writable(folder)
    target = folder / f"{study}.ipynb"
    partial, failed = (folder / f"{study}.{state}.ipynb" for state in ("partial", "failed"))
    try:
        node = _execute(source, partial, {"parameter_set": set_name, **changes}, fresh, out or sys.stdout)
    except BaseException:
        if partial.exists():
            os.replace(partial, failed)
        raise
    records.write(target, _clean(node))
    partial.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    return target


def notebook(study: str) -> Path:
    """The notebook of `study`. InputError where there is none."""
    found = places.notebooks() / f"{study}.ipynb"
    if not found.exists():
        raise InputError(f"{study}: there is no such notebook{parameters.suggestion(study, parameters.studies())}")
    return found


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"results: {folder}: cannot be written ({error.strerror})") from None


def _execute(source: Path, partial: Path, values: dict[str, Any], fresh: str, out: Any):
    with light.without(light.IRI):
        import papermill
    from papermill.exceptions import PapermillExecutionError

    environment = {"NBHELPERS_FRESH": fresh, "PYTHONUNBUFFERED": "1"}
    if results := os.environ.get("NBHELPERS_RESULTS"):
        environment["NBHELPERS_RESULTS"] = os.path.abspath(results)
    root = places.root()
    # Relative, since papermill writes the paths that it is given into the notebook.
    with _environment(environment), contextlib.chdir(root or Path.cwd()):
        for last in (False, True):
            try:
                return papermill.execute_notebook(
                    os.path.relpath(source),
                    os.path.relpath(partial),
                    parameters=values,
                    kernel_name="python3",
                    progress_bar=False,
                    log_output=False,
                    stdout_file=out,
                    coalesce_streams=True,
                    extra_arguments=["--log-level=CRITICAL"],  # of the kernel: it warns of loopback and of its end
                )
            except PapermillExecutionError as error:
                if error.ename in ("InputError", "ParameterError", "DataError", "DeviceError"):
                    raise InputError(f"{source.stem}: {error.evalue}") from error
                if error.ename == "KeyboardInterrupt":
                    raise RunError(f"{source.stem}: its kernel was interrupted; {GO_ON}") from error
                kind = "" if error.ename == "RunError" else f"{error.ename}: "
                raise RunError(f"{source.stem}: {kind}{error.evalue}") from error
            except RuntimeError as error:  # from jupyter_client and nbclient
                if last or not any(said in str(error) for said in NOT_STARTED):
                    raise RunError(f"{source.stem}: {error}; {GO_ON}") from error


@contextlib.contextmanager
def _environment(values: dict[str, str]):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _clean(node: Any) -> str:
    """The executed notebook without times, machine and how it was executed: from its records it is the same bytes."""
    import nbformat

    node.metadata = {"kernelspec": node.metadata["kernelspec"]}
    for cell in node.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"  # papermill draws one at random
            kept = (line for line in cell["source"].splitlines() if line.split(" = ")[0] not in parameters.EXECUTION)
            cell["source"] = "\n".join(kept)
    return nbformat.writes(node, indent=1).rstrip() + "\n"
