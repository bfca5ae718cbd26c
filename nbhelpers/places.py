"""Where things are: the project's folders, from whatever folder a notebook or a command is started in."""

import os
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


@cache
def _root(start: Path) -> Path | None:
    candidates = [start, *start.parents, PACKAGE.parent]
    return next((place for place in candidates if (place / "params").is_dir() and (place / "notebooks").is_dir()), None)


def root() -> Path | None:
    """The project: the nearest folder upwards with `params` and `notebooks`, else the checkout of the package.

    None where the package is installed without a checkout and the notebook stands alone.
    """
    return _root(Path.cwd())


def params(study: str) -> Path:
    """The folder of a study's parameter sets: the project's, else those that are installed with the package."""
    here = root()
    return (here if here and (here / "params" / study).is_dir() else PACKAGE) / "params" / study


def notebooks() -> Path:
    """The folder of the notebooks: the project's, else those that are installed with the package."""
    here = root()
    return (here or PACKAGE) / "notebooks"


def benchmarks() -> Path:
    """The folder of the recorded benchmarks: the project's, else that of the installed package or of its checkout."""
    found = [place / "benchmarks" for place in (root(), PACKAGE, PACKAGE.parent) if place]
    return next((folder for folder in found if folder.is_dir()), PACKAGE / "benchmarks")


def results(given: str = "") -> Path:
    """The results folder: as given, else NBHELPERS_RESULTS, else `results` of the project or of the working folder."""
    chosen = given or os.environ.get("NBHELPERS_RESULTS", "")
    return Path(chosen).expanduser() if chosen else (root() or Path.cwd()) / "results"
