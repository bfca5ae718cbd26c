"""A new study is whole: it runs as it is, and what the README says to change makes another one of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nbhelpers import cli, new, parameters, places
from nbhelpers.errors import InputError

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the notebooks and parameter sets of this one, which is the working folder."""
    for name in ("notebooks", "params"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_study_has_a_notebook_and_its_sets_and_nothing_of_the_template(project):
    made = new.create("Dropout_Rates")
    assert [str(path.relative_to(project)) for path in made] == [
        "notebooks/Dropout_Rates.ipynb",
        "params/Dropout_Rates/demo.yaml",
        "params/Dropout_Rates/full.yaml",
    ]
    assert all(new.TEMPLATE not in path.read_text(encoding="utf-8") for path in made)
    assert "Dropout_Rates" in parameters.studies() and parameters.sets("Dropout_Rates") == ["demo", "full"]
    assert json.loads(made[0].read_text(encoding="utf-8"))["cells"][4]["source"] == [
        'study = nb.Study("Dropout_Rates", globals())'
    ]


def test_the_template_is_no_study():
    assert new.TEMPLATE not in parameters.studies()


@pytest.mark.parametrize("name", ["", "1x", "_x", "a b", "a/b", "../x", "a.b", "a~b", "ä"])
def test_what_is_no_name_is_refused(project, name):
    with pytest.raises(InputError, match="must be letters, digits and _"):
        new.create(name)


@pytest.mark.parametrize("name", ["Sigmoid_vs_ReLU", "sigmoid_vs_relu"])
def test_a_study_that_is_there_is_not_overwritten(project, name):
    before = (project / "notebooks" / "Sigmoid_vs_ReLU.ipynb").read_bytes()
    with pytest.raises(InputError, match=f"{name}: there is a study Sigmoid_vs_ReLU already"):
        new.create(name)
    assert (project / "notebooks" / "Sigmoid_vs_ReLU.ipynb").read_bytes() == before


def test_the_command_names_what_it_made_or_says_why_not(project, capsys):
    assert cli.main(["new", "Mine"]) == 0
    assert "notebooks/Mine.ipynb" in capsys.readouterr().out.replace(os.sep, "/")
    assert cli.main(["new", "Mine"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nbhelpers: Mine: there is a study Mine already\n")


def test_without_a_project_the_working_folder_becomes_one(tmp_path, monkeypatch):
    package, home = tmp_path / "site-packages" / "nbhelpers", tmp_path / "home"
    home.mkdir()
    for name in ("notebooks", "params"):
        shutil.copytree(CHECKOUT / name, package / name)
    monkeypatch.setattr(places, "PACKAGE", package)
    monkeypatch.chdir(home)
    places._root.cache_clear()  # as a new process would
    new.create("First")
    places._root.cache_clear()
    new.create("Second")
    assert places.root() == home and parameters.studies() == ["First", "Second"]
    places._root.cache_clear()


def replacements() -> list[tuple[str, str, str]]:
    """File, text and other text of each row of the README's table."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = text.split("## A study of your own")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (?:`?([^|`]*)`? )?\| `([^`]+)` \| `([^`]+)` \|$", section, re.MULTILINE)
    files, named = [], ""
    for file, old, other in rows:
        named = file.strip() or named
        files.append((named, old, other))
    return files


@pytest.fixture
def dropout(project):
    """The project with the study of dropout rates, made as the README says."""
    notebook, *sets = new.create("Dropout_Rates")
    files = {path.name: path for path in sets} | {"the notebook": notebook}
    rows = replacements()
    assert {file for file, *_ in rows} == files.keys() and len(rows) == 9
    for file, old, other in rows:
        text = files[file].read_text(encoding="utf-8")
        old, other = (json.dumps(t)[1:-1] if file == "the notebook" else t for t in (old, other))
        assert text.count(old) == 1, old
        files[file].write_text(text.replace(old, other), encoding="utf-8")
    return project


def test_what_the_readme_changes_is_a_study_with_sound_sets(dropout):
    for name in parameters.sets("Dropout_Rates"):
        values = parameters.load("Dropout_Rates", name)
        assert parameters.which("Dropout_Rates", values) == (name, name) and values["rates"][0] == 0
    assert "widths" not in yaml.safe_load((dropout / "params" / "Dropout_Rates" / "full.yaml").read_text())


@pytest.mark.slow_all
def test_from_nothing_to_a_verdict_in_the_report(dropout):
    """The commands of the README, in their order."""
    (dropout / "tests").mkdir()
    for name in ("conftest.py", "test_notebooks.py"):
        shutil.copy(CHECKOUT / "tests" / name, dropout / "tests")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NBHELPERS_")}
    for words in (
        ["nbhelpers", "run", "Dropout_Rates"],
        ["nbhelpers", "report"],
        ["pytest", "-q", "tests/test_notebooks.py", "-k", "Dropout_Rates"],
    ):
        done = subprocess.run([sys.executable, "-m", *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    page = (dropout / "results" / "index.html").read_text(encoding="utf-8")
    shown = page.split('id="Dropout_Rates-demo"')[1].split("</details>")[0]
    assert "Does dropout before the last layer help on few images?" in page
    assert re.search(r'Dropout of 0.5 beats none.*?class="badge (holds|fails|undecided)"', shown, re.DOTALL)
