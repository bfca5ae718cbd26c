"""A notebook in the real JupyterLab: Run All ends with the verdicts, the stop button leaves kernel and records."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("jupyterlab", reason="needs jupyterlab, see requirements.txt")
pytestmark = pytest.mark.slow_all
CHECKOUT = Path(__file__).resolve().parent.parent
STUDY = "Sigmoid_vs_ReLU"
SMALL = {
    **{"images_per_class": 8, "test_images_per_class": 30, "width": 4, "epochs": 1, "seeds": 3, "extra_seeds": 3},
    **{"workers": 1, "device": "cpu"},
}
PATIENCE = 120  # seconds for what should take a few
CELL = ".jp-Notebook .jp-Cell"
READY = "Python 3 (ipykernel) | Idle"  # in the status bar


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one notebook at smoke size, as a reader would edit its parameters cell; results go below it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(CHECKOUT / "params" / STUDY, folder / "params" / STUDY)
    made = json.loads((CHECKOUT / "notebooks" / f"{STUDY}.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in made["cells"] if cell["id"] == "parameters")
    text = "".join(cell["source"])
    for name, value in SMALL.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
    cell["source"] = text
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / f"{STUDY}.ipynb").write_text(json.dumps(made), encoding="utf-8")
    longer = text.replace("epochs = 1", "epochs = 40").replace("seeds = 3", "seeds = 4")
    cell["source"] = longer
    (folder / "notebooks" / "Longer.ipynb").write_text(json.dumps(made), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """The address of a JupyterLab that serves the project."""
    home = tmp_path_factory.mktemp("jupyter")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NBHELPERS_", "JUPYTER"))}
    folders = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        "--port=0",
        "--IdentityProvider.token=",
    ]
    words += ["--ServerApp.allow_root=True", f"--ServerApp.root_dir={project}", "--LabApp.news_url="]
    words += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    said = home / "said"
    with said.open("w") as out:
        process = subprocess.Popen(words, env=kept | folders, stdout=out, stderr=out, cwd=project)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        yield found[0]
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
def opened(lab, chromium):
    """``opened(name)``: the page of a notebook whose kernel is ready."""
    pages = []

    def of(name: str):
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        pages.append(page)
        page.goto(f"{lab}lab/tree/notebooks/{name}.ipynb?reset")
        page.locator(CELL).first.wait_for()
        page.get_by_text(READY).wait_for()
        return page

    yield of
    for page in pages:
        page.close()


def run_all(page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def wait_for(what, problem: str) -> None:
    """Until `what` is true."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, problem
        time.sleep(0.2)


def outputs(page, path: Path) -> dict[str, list]:
    """The outputs of each code cell, once the kernel is idle, from the notebook as JupyterLab saves it."""
    page.get_by_text(READY).wait_for()
    before = path.stat().st_mtime_ns
    page.locator("[data-command='docmanager:save']").first.click()
    wait_for(lambda: path.stat().st_mtime_ns > before, "the notebook is not saved")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: cell["outputs"] for cell in cells if cell["cell_type"] == "code"}


def text(made: list) -> list[str]:
    """The lines that a cell printed."""
    return "".join("".join(out.get("text", "")) for out in made).splitlines()


def errors(made: dict[str, list]) -> list[tuple[str, str]]:
    """Cell and name of each error."""
    return [(cell, out["ename"]) for cell, found in made.items() for out in found if out["output_type"] == "error"]


def test_run_all_ends_with_the_verdicts_and_a_short_output(opened, project):
    page = opened(STUDY)
    run_all(page)
    wait_for(lambda: list(project.glob(f"results/{STUDY}/*/summary.json")), "no summary is written")
    summary = json.loads(next(project.glob(f"results/{STUDY}/*/summary.json")).read_text(encoding="utf-8"))
    planned = summary["runs"]["planned"]
    assert summary["runs"]["recorded"] == planned > 0 and summary["verdicts"]
    made = outputs(page, project / "notebooks" / f"{STUDY}.ipynb")
    assert errors(made) == []
    assert text(made["sweep"]) == [f"{planned} runs, {planned} recorded"]  # progress is cleared at the end
    assert any("text/html" in out.get("data", {}) for out in made["provenance"])


def test_the_stop_button_leaves_the_kernel_and_the_finished_runs(opened, project):
    page = opened("Longer")
    before = set(project.glob(f"results/{STUDY}/*/runs/*.json"))

    def added() -> set[Path]:
        return set(project.glob(f"results/{STUDY}/*/runs/*.json")) - before

    run_all(page)
    wait_for(lambda: len(added()) >= 2, "no run is recorded")
    page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    made = outputs(page, project / "notebooks" / "Longer.ipynb")
    kept = added()
    planned = json.loads((next(iter(kept)).parent.parent / "plan.json").read_text(encoding="utf-8"))["runs"]
    assert errors(made) == [("sweep", "KeyboardInterrupt")]
    assert 2 <= len(kept) < len(planned)
    [cost, bar] = text(made["sweep"])  # the bar is one line, however many runs are done
    assert cost.startswith(f"{len(planned)} runs, ") and re.match(rf"█*░+ \d+/{len(planned)} blocks ", bar), bar
    assert all(json.loads(path.read_text(encoding="utf-8"))["status"] == "done" for path in kept)
    page.locator(".jp-Notebook").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")  # a new cell
    page.keyboard.press("Enter")
    page.keyboard.type("print(study.name, 'is', 'alive')")
    page.keyboard.press("Shift+Enter")
    page.get_by_text(f"{STUDY} is alive").wait_for()
    assert added() == kept
