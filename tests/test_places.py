"""The project is found from anywhere, and results go where they are told."""

from pathlib import Path

import pytest

from nbhelpers import parameters, places

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_results_folder_given(monkeypatch):
    monkeypatch.delenv("NBHELPERS_RESULTS", raising=False)


@pytest.fixture
def project(tmp_path):
    """A project of somebody's own, with one notebook and its demo set."""
    (tmp_path / "own" / "params" / "Mine").mkdir(parents=True)
    (tmp_path / "own" / "notebooks" / "deep" / "down").mkdir(parents=True)
    (tmp_path / "own" / "params" / "Mine" / "demo.yaml").write_text("epochs: 1\n")
    (tmp_path / "own" / "notebooks" / "Mine.ipynb").write_text("{}")
    return tmp_path / "own"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package without a checkout around it, used in a folder that is no project."""
    package = tmp_path / "site-packages" / "nbhelpers"
    package.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(places, "PACKAGE", package)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return package


@pytest.mark.parametrize("folder", [".", "notebooks", "params/Sigmoid_vs_ReLU", "tests"])
def test_the_project_is_found_from_each_of_its_folders(monkeypatch, folder):
    monkeypatch.chdir(CHECKOUT / folder)
    assert places.root() == CHECKOUT


def test_outside_of_any_project_it_is_the_checkout_of_the_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert places.root() == CHECKOUT
    assert places.notebooks() == CHECKOUT / "notebooks"
    assert places.benchmarks() == CHECKOUT / "benchmarks"
    assert places.params("Sigmoid_vs_ReLU") == CHECKOUT / "params" / "Sigmoid_vs_ReLU"


def test_the_nearest_project_upwards_wins_over_the_checkout(monkeypatch, project):
    monkeypatch.chdir(project / "notebooks" / "deep" / "down")
    assert places.root() == project
    assert places.params("Mine") == project / "params" / "Mine"
    assert places.results() == project / "results"
    assert places.benchmarks() == CHECKOUT / "benchmarks"  # a project of one's own has none
    assert parameters.studies() == ["Mine"]


def test_without_a_project_sets_and_notebooks_are_those_of_the_package(installed):
    assert places.root() is None
    assert places.params("Sigmoid_vs_ReLU") == installed / "params" / "Sigmoid_vs_ReLU"
    assert places.notebooks() == installed / "notebooks"
    assert places.benchmarks() == installed / "benchmarks"
    assert places.results() == Path.cwd() / "results"


def test_a_notebook_without_sets_is_no_study(monkeypatch, project):
    (project / "notebooks" / "_template.ipynb").write_text("{}")
    monkeypatch.chdir(project)
    assert parameters.studies() == ["Mine"]


def test_results_go_to_the_given_folder_then_to_that_of_the_environment_then_to_the_project(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    assert places.results() == CHECKOUT / "results"
    monkeypatch.setenv("NBHELPERS_RESULTS", "/environment")
    assert places.results() == Path("/environment")
    assert places.results("/given") == Path("/given")


def test_a_tilde_is_the_home_folder(monkeypatch):
    assert places.results("~/results") == Path.home() / "results"
    monkeypatch.setenv("NBHELPERS_RESULTS", "~/others")
    assert places.results() == Path.home() / "others"


def test_an_execution_writes_below_the_folder_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path))
    values = parameters.load("Sigmoid_vs_ReLU", "ran")
    found = parameters.Parameters("Sigmoid_vs_ReLU", values, *parameters.which("Sigmoid_vs_ReLU", values))
    assert found.folder == tmp_path / "Sigmoid_vs_ReLU" / "ran"
