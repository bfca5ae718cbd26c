"""What is written in several files and decided in one: address and version in the notebooks, results in the README.

``python -m nbhelpers.stamp`` (`make stamp`) writes them anew. A test compares.
"""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import nbhelpers
from nbhelpers import places, records

BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
PARTS = ("overview", "studies", "measured", "credits")  # of the README, between a pair of marks each


def marks(part: str) -> tuple[str, str]:
    """The lines of the README between which `part` stands."""
    return f"<!-- {part}: written by make stamp -->", f"<!-- end of {part} -->"


def badge(name: str) -> str:
    """The badge that opens a notebook of this version in Colab."""
    address = f"https://colab.research.google.com/github/{nbhelpers.REPOSITORY}/blob/v{nbhelpers.__version__}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({address}/notebooks/{name}.ipynb)"


def bootstrap() -> str:
    """The first cell of every notebook: on its own, as on Colab, it fetches the package of its version."""
    source = f"git+https://github.com/{nbhelpers.REPOSITORY}@v{nbhelpers.__version__}"
    return f"""\
try:
    import nbhelpers as nb
except ModuleNotFoundError:  # a notebook on its own, as on Colab
    %pip install -q --no-deps "nbhelpers @ {source}"
    import nbhelpers as nb

    nb.complete()  # adds what else is missing; torch, numpy and all that is there stay as they are"""


def notebook(path: Path) -> str:
    """The text of a notebook, with its badge and bootstrap as they should be."""
    made = json.loads(path.read_text(encoding="utf-8"))
    for cell in made["cells"]:
        text = "".join(cell["source"])
        if cell["id"] == "title":
            text = BADGE.sub(badge(path.stem), text)
        elif cell["id"] == "bootstrap":
            text = bootstrap()
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def readme(path: Path, results: Path) -> str:
    """The text of the README, with what stands between its marks made from the committed results and benchmarks."""
    from nbhelpers import report

    text = path.read_text(encoding="utf-8")
    quoted = runpy.run_path(str(results.parent / "benchmarks" / "quoted.py"))  # no part of the package
    made_of = (report.overview(results), report.sections(results), quoted["sentences"](), report.credits())
    for part, made in zip(PARTS, made_of, strict=True):
        begin, end = marks(part)
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{path}: needs the lines {begin} and {end}")
        text = f"{before}{begin}\n\n{made.strip()}\n\n{end}{after}"
    return text


def main() -> None:
    """Write the notebooks, the README and the page of the results anew where they are not as they should be."""
    from nbhelpers import report

    root = places.root() or Path.cwd()
    results = root / "results"  # the committed ones, wherever results go
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        records.write(path, notebook(path))
    records.write(root / "README.md", readme(root / "README.md", results))
    records.write(results / "README.md", report.readme(results))


if __name__ == "__main__":
    main()
