"""A notebook on its own: what is missing is added, and what is there stays as it is."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from nbhelpers import install
from nbhelpers.errors import RunError


@pytest.fixture
def pip(monkeypatch):
    """The packages that pip was asked for, and the versions that it was held to; nothing is installed."""
    asked = []

    def run(words, **_):
        asked.append((words, Path(words[words.index("-c") + 1]).read_text(encoding="utf-8").splitlines()))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def needs(monkeypatch, *names: str):
    monkeypatch.setattr(install, "_needed", lambda: [Requirement(name) for name in names])


def test_where_nothing_is_missing_nothing_is_installed(monkeypatch, pip):
    needs(monkeypatch, "numpy", "torch>=1")
    install.complete()
    assert pip == []


def test_an_installed_package_is_left_alone_also_where_its_version_is_out_of_range(monkeypatch, pip):
    needs(monkeypatch, "numpy>=99")
    install.complete()
    assert pip == []


def test_only_what_is_missing_is_asked_for_and_all_else_is_held(monkeypatch, pip, capsys):
    needs(monkeypatch, "numpy", "no-such-package>=2,<3")
    install.complete()
    [(words, held)] = pip
    assert words[-1] == "no-such-package<3,>=2" and "numpy" not in words
    assert f"numpy=={install._version('numpy')}" in held and f"torch=={install._version('torch')}" in held
    assert not [line for line in held if line.startswith("nbhelpers")]
    assert "installing no-such-package" in capsys.readouterr().out


def test_what_pip_cannot_install_is_one_line(monkeypatch):
    needs(monkeypatch, "no-such-package")
    failed = subprocess.CompletedProcess([], 1, stderr="a\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RunError, match=r"^pip could not install no-such-package: ERROR: No matching distribution$"):
        install.complete()


def test_other_versions_than_the_tested_ones_are_said(monkeypatch, capsys):
    needs(monkeypatch, "torch", "numpy", "pandas")
    here = {"torch": "2.12.0+cu126", "numpy": "2.4.6", "pandas": "3.1.1"}
    monkeypatch.setattr(install, "_version", here.get)
    monkeypatch.setattr(install, "_tested", lambda: {"torch": "2.14.1", "numpy": "2.4.6", "pandas": "3.1.1"})
    install.complete()
    assert capsys.readouterr().out == (
        "Other versions than the tested ones: torch 2.12.0+cu126 (tested: 2.14.1). "
        "Seeds then agree in distribution only.\n"
    )


def test_a_build_of_the_tested_version_is_the_tested_version(monkeypatch):
    monkeypatch.setattr(install, "_version", lambda name: "2.14.1+cpu")
    monkeypatch.setattr(install, "_tested", lambda: {"torch": "2.14.1"})
    assert install.differences([Requirement("torch")]) == []


def test_the_tested_versions_are_the_pinned_ones():
    tested = install._tested()
    assert {"torch", "numpy", "pyyaml", "pandas"} <= tested.keys()


def test_on_colab_it_says_how_to_get_a_gpu_and_how_to_keep_the_runs(monkeypatch, capsys):
    needs(monkeypatch)
    install.complete()
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    install.complete()
    said = capsys.readouterr().out
    assert "T4" in said and "NBHELPERS_RESULTS=/content/drive/" in said
