"""A study of one's own, from the template: a notebook and its parameter sets, which run as they are."""

from __future__ import annotations

import re
from pathlib import Path

from nbhelpers import parameters, places
from nbhelpers.errors import InputError

TEMPLATE = "_template"


def create(name: str) -> list[Path]:
    """Write ``notebooks/NAME.ipynb`` and ``params/NAME/``, and return their files, the notebook first.

    They go to the project, or to the working folder where there is none, which is one from then on.
    Raises InputError for a name that is taken, or that is no name of a file and of a study.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise InputError(f"{name!r}: must be letters, digits and _, with a letter first, such as Dropout_Rates")
    notebooks, sets = places.notebooks(), places.params(TEMPLATE)
    if not (notebook := notebooks / f"{TEMPLATE}.ipynb").exists():  # a project of one's own has no template
        notebook = places.PACKAGE / "notebooks" / notebook.name
    home = places.root() or Path.cwd()
    sources = {home / "notebooks" / f"{name}.ipynb": notebook}
    sources |= {home / "params" / name / path.name: path for path in sorted(sets.glob("*.yaml"))}
    known = {study.lower(): study for study in [*parameters.studies(), *(p.name for p in (home / "params").glob("*"))]}
    if taken := known.get(name.lower()):  # on some systems A and a are one file
        raise InputError(f"{name}: there is a study {taken} already")
    for path, source in sources.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.read_text(encoding="utf-8").replace(TEMPLATE, name), encoding="utf-8")
    return list(sources)
