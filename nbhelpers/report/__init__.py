"""The report: all results as one page for a browser, and the committed ones as a page for the repository.

``index.html`` holds its figures itself and links to the executed notebooks, a page each. ``README.md`` is made from
the committed sets alone. Both are made from files; nothing is trained, downloaded or asked of the network.
"""

from __future__ import annotations

from pathlib import Path

from nbhelpers import light, places, records
from nbhelpers.report.studies import VERDICTS, Results, Study, gather

MARKS = {"holds": "✓", "fails": "✗", "undecided": "?", "interim": "…"}
SETS = (  # for who sees their names for the first time
    "The sets: *ran* is what the original notebook ran, *described* what its description says, *cpu* the claims on "
    "real images at a scale that a CPU affords, *full* our best design, for a GPU, *demo* a small demonstration on "
    "embedded images."
)
SHOWN = 6  # claims of a study in the overview


def build(results: str = "") -> Path:
    """Write ``index.html``, the pages of the notebooks and ``README.md`` to the results folder; return the first."""
    with light.without(light.IRI):
        from nbhelpers.report import pages

    folder = places.results(results)
    template = _environment().get_template("notebook.html.j2")
    found = gather(folder)
    for study in found:
        for one in study.results:
            if one.notebook:
                made = template.render(study=study, one=one, body=pages.body(one.notebook))
                records.write(one.notebook.with_suffix(".html"), made)
    index = folder / "index.html"
    records.write(index, _environment().get_template("index.html.j2").render(studies=found))
    records.write(folder / "README.md", readme(folder))
    return index


def readme(folder: Path) -> str:
    """``README.md`` of the results folder: the committed sets, with links to their figures and notebooks."""
    return _environment().get_template("README.md.j2").render(studies=gather(folder, committed_only=True))


def sections(folder: Path) -> str:
    """The README's section on each study: what its notebook says, and the verdicts of the committed sets."""
    return _environment().get_template("sections.md.j2").render(studies=gather(folder, committed_only=True))


def overview(folder: Path) -> str:
    """The README's table of the studies: the question of each, and which of its claims hold in the committed sets."""
    return _environment().get_template("overview.md.j2").render(studies=gather(folder, committed_only=True))


def credits() -> str:
    """The README's table of who published what the studies repeat."""
    from nbhelpers import published

    made = {study: published.origin(study) for study in published.SERIES}
    return _environment().get_template("credits.md.j2").render(origins=made, places_of=published.places_of)


def _environment():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from nbhelpers import told
    from nbhelpers.report import pages

    made = Environment(
        loader=PackageLoader("nbhelpers.report"),
        undefined=StrictUndefined,
        autoescape=lambda name: name.endswith((".html.j2", "html")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"inline": pages.inline, "markdown": pages.markdown, "cell": _cell, "embedded": pages.embedded}
    made.filters |= {"count": told.count}
    made.globals |= {"MARKS": MARKS, "SETS": SETS, "SHOWN": SHOWN, "VERDICTS": VERDICTS}
    made.globals |= {"code_colours": pages.code_colours}
    return made


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;")


__all__ = ["MARKS", "VERDICTS", "Results", "Study", "build", "credits", "gather", "overview", "readme", "sections"]
