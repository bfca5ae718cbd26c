"""What a notebook on its own needs besides the package: added where it is missing, never changed where it is there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from nbhelpers import places
from nbhelpers.errors import RunError

COLAB = """\
On Colab: for a GPU choose Runtime, Change runtime type, T4. So that the runs are kept when Colab disconnects, and the
same cells go on from them, run this before the parameters, and again after a reconnect:
    from google.colab import drive
    drive.mount("/content/drive")
    %env NBHELPERS_RESULTS=/content/drive/MyDrive/nbhelpers"""


def complete() -> None:
    """Install what nbhelpers needs and what is not there; leave every installed package as it is.

    Says which packages are not those that the results were made with. Raises RunError where pip cannot do it.
    """
    needed = _needed()
    if missing := [need for need in needed if not _version(need.name)]:
        print(f"installing {', '.join(sorted(need.name for need in missing))}")
        _pip([str(need) for need in missing])
        importlib.invalidate_caches()
    if others := differences(needed):
        print(f"Other versions than the tested ones: {', '.join(others)}. Seeds then agree in distribution only.")
    if "google.colab" in sys.modules:
        print(COLAB)


def differences(needed: list[Requirement]) -> list[str]:
    """Which of the packages are not of the tested version, such as "torch 2.11.0 (tested: 2.14.1)"."""
    tested = _tested()
    found = {need.name: _version(need.name) for need in needed}
    return [
        f"{name} {here} (tested: {tested[name.lower()]})"
        for name, here in found.items()
        if here and name.lower() in tested and here.split("+")[0] != tested[name.lower()]
    ]


def _needed() -> list[Requirement]:
    """What the package declares that it needs, without its extras."""
    found = map(Requirement, metadata.requires("nbhelpers") or ())
    return [need for need in found if need.marker is None or need.marker.evaluate({"extra": ""})]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _tested() -> dict[str, str]:
    """The pinned versions, by name in lower case."""
    files = [folder / "requirements.txt" for folder in (places.PACKAGE, places.PACKAGE.parent)]
    text = next((file.read_text(encoding="utf-8") for file in files if file.exists()), "")
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


def _pip(needs: list[str]) -> None:
    """pip install, with every installed package held at its version."""
    held = {f"{d.name}=={d.version}" for d in metadata.distributions() if d.name and d.name.lower() != "nbhelpers"}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "installed.txt")
        constraints.write_text("\n".join(sorted(held)), encoding="utf-8")
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*words, "-c", str(constraints), *needs], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RunError(f"pip could not install {', '.join(needs)}: {lines[-1] if lines else done.returncode}")
