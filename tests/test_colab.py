"""A notebook alone in an empty folder, as on Colab: it fetches the package, adds what is missing, and runs."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nbhelpers

pytestmark = pytest.mark.slow_all
CHECKOUT = Path(__file__).resolve().parent.parent
STUDY = "Sigmoid_vs_ReLU"
THERE = ["torch", "torchvision", "numpy", "matplotlib", "ipykernel", "nbconvert", "pip", "setuptools"]
PATIENCE = 900


def with_what_they_need(names: list[str]) -> list[metadata.Distribution]:
    """The installed packages of these names, and all that they need."""
    found, seen, todo = {}, set(), [Requirement(name) for name in names]
    while todo:
        need = todo.pop()
        if (what := (canonicalize_name(need.name), frozenset(need.extras))) in seen:
            continue
        seen.add(what)
        try:
            found[what[0]] = distribution = metadata.distribution(need.name)
        except metadata.PackageNotFoundError:
            continue
        for other in map(Requirement, distribution.requires or ()):
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *need.extras)):
                todo.append(other)
    return list(found.values())


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with torch, numpy, matplotlib and Jupyter: links to those of this one."""
    home = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    for distribution in with_what_they_need(THERE):
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists() and (source := Path(distribution.locate_file(top))).exists():
                os.symlink(source, site / top)
    shutil.copytree(Path(sys.prefix) / "share" / "jupyter" / "nbconvert", home / "share" / "jupyter" / "nbconvert")
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A repository with the files of this checkout, with the tag of this version."""
    if not shutil.which("git") or not (CHECKOUT / ".git").exists():
        pytest.skip("needs git and a clone")  # what Colab installs is a tag of the repository
    folder = tmp_path_factory.mktemp("clone")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(folder)]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if not name.startswith("results/") and (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it is"], ["tag", f"v{nbhelpers.__version__}"]):
        subprocess.run([*git, *words], check=True)
    return folder


def test_a_notebook_alone_runs_and_torch_is_as_it_was(python, clone, tmp_path):
    index = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", "Pebble"]
    if subprocess.run(index, capture_output=True, timeout=PATIENCE).returncode:
        pytest.skip("needs a package index, for what Colab does not have")  # a machine may be offline
    shutil.copy(CHECKOUT / "notebooks" / f"{STUDY}.ipynb", tmp_path)
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    there = {path.name: os.readlink(path) for path in site.iterdir() if path.is_symlink()}
    assert not list(site.glob("nbhelpers*")) and not (site / "pandas").exists() and "torch" in there
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NBHELPERS_", "PYTHON"))}
    environment = kept | {
        "PATH": f"{python.parent}{os.pathsep}{kept['PATH']}",
        "VIRTUAL_ENV": str(python.parent.parent),
        "JUPYTER_PATH": "",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{nbhelpers.REPOSITORY}",
    }
    words = [str(python), "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "out", f"{STUDY}.ipynb"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert {name: os.readlink(site / name) for name in there} == there
    assert (tmp_path / "results" / STUDY / "demo" / "summary.json").exists()
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["id"] == "bootstrap")
    said = "".join("".join(out["text"]) for out in first["outputs"] if out["output_type"] == "stream")
    [added] = [line for line in said.splitlines() if line.startswith("installing ")]
    assert "pandas" in added and not {"torch", "numpy", "matplotlib"} & set(added.replace(",", "").split())
    summary = json.loads((tmp_path / "results" / STUDY / "demo" / "summary.json").read_text(encoding="utf-8"))
    assert summary["runs"]["recorded"] == summary["runs"]["planned"] and len(summary["verdicts"]) > 0
