"""Whole executions of a notebook: alone, again, through plain papermill, without training, and cut short."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import psutil
import pytest

import nbhelpers
from nbhelpers import parameters, sweep
from nbhelpers.errors import InputError, RunError

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).resolve().parent.parent
STUDY = "Sigmoid_vs_ReLU"
SMALL = {
    **{"images_per_class": 8, "test_images_per_class": 20, "size": 16, "width": 4, "epochs": 1, "lr": 0.005},
    **{"blocks": [1, 4, 8], "rescaled_blocks": [1, 8], "seeds": 3, "extra_seeds": 3, "device": "cpu", "workers": 1},
}
RUNS = 3 * 3 * 2 + 3 * 2
PATIENCE = 300  # seconds after which a process that does nothing has failed
MAIN = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from nbhelpers import cli"


def start(results: Path, *words: str, **changes) -> subprocess.Popen:
    """``nbhelpers run`` of the small study in a process of its own, started outside of the project."""
    command = [sys.executable, "-c", f"{MAIN}; sys.exit(cli.main())", "run", STUDY, *words]
    for name, value in {**SMALL, **changes}.items():
        command += ["--param", f"{name}={value}"]
    results.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"NBHELPERS_RESULTS": str(results), "NBHELPERS_FRESH": ""}
    return subprocess.Popen(
        command, cwd=results, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(results: Path, *words: str, **changes) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``nbhelpers run``."""
    process = start(results, *words, **changes)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def folder(results: Path) -> Path:
    """The one folder of results."""
    return next((results / STUDY).iterdir())


def written(results: Path) -> dict[str, int]:
    """Record file -> when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in results.glob(f"{STUDY}/*/runs/*.json")}


def state(results: Path) -> dict[str, tuple[int, bytes]]:
    """Each file below `results`: when it was written, and its bytes."""
    files = [path for path in results.rglob("*") if path.is_file()]
    return {str(path.relative_to(results)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def table(results: Path) -> pd.DataFrame:
    """``runs.csv`` without what depends on the machine."""
    return pd.read_csv(folder(results) / "runs.csv").drop(columns="seconds")


def cells_of(study: str) -> list[dict]:
    return json.loads((CHECKOUT / "notebooks" / f"{study}.ipynb").read_text(encoding="utf-8"))["cells"]


def execute_here(until: str = "", study: str = STUDY, **changes) -> dict:
    """Run the cells of a notebook in this process, to the cell `until`; return its globals."""
    namespace = {"nb": nbhelpers}
    for cell in cells_of(study):
        if cell["cell_type"] == "code" and cell["id"] != "bootstrap":
            exec("".join(cell["source"]), namespace)
        if cell["id"] == "parameters":
            namespace.update({**(SMALL if study == STUDY else {}), **changes})
        if cell["id"] == until:
            break
    return namespace


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results of an execution that nothing disturbed, with what it said."""
    results = tmp_path_factory.mktemp("finished")
    code, out, err = run(results)
    assert code == 0, err
    return results, out, err


@pytest.fixture
def here(monkeypatch, tmp_path):
    """This process executes cells, and writes to a folder of its own."""
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path))
    monkeypatch.setenv("NBHELPERS_FRESH", "")
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield tmp_path
    plt.close("all")
    matplotlib.use(before)


# ----------------------------------------------------------------- an execution


def test_an_execution_leaves_notebook_pictures_tables_and_records(finished):
    results, out, err = finished
    names = {path.name for path in folder(results).iterdir()}
    assert names == {
        *["runs", ".lock", "plan.json", "runs.csv", "summary.json", f"{STUDY}.ipynb"],
        *["data.png", "accuracy.png", "learning.png", "slopes.png", "gradients.png", "recalibrated.png", "seeds.png"],
    }
    assert len(written(results)) == len(table(results)) == RUNS
    assert err == ""
    assert f"{RUNS} runs, 0 recorded, about " in out and f"\n{RUNS} runs, {RUNS} recorded\n" in out
    assert out.split("Open:\n")[1].split()[0] == os.path.relpath(folder(results) / f"{STUDY}.ipynb", results)


def test_the_verdicts_in_the_summary_are_those_in_the_notebook(finished):
    results, *_ = finished
    summary = json.loads((folder(results) / "summary.json").read_text(encoding="utf-8"))
    assert summary["runs"] == {"planned": RUNS, "recorded": RUNS}
    assert len(summary["verdicts"]) == 6
    assert all(verdict["verdict"] in ("holds", "fails", "undecided") for verdict in summary["verdicts"])
    shown = (folder(results) / f"{STUDY}.ipynb").read_text(encoding="utf-8")
    for verdict in summary["verdicts"]:
        assert json.dumps(verdict["sentence"], ensure_ascii=False)[1:-1] in shown


def test_nothing_that_is_kept_names_a_place_on_this_machine(finished):
    results, *_ = finished
    for path in folder(results).rglob("*"):
        if path.suffix in (".json", ".csv", ".ipynb"):
            text = path.read_text(encoding="utf-8")
            assert str(CHECKOUT) not in text and str(results) not in text, path.name


def test_executing_again_repeats_no_run_and_changes_no_byte(finished):
    results, *_ = finished
    before = state(results)
    code, out, _ = run(results)
    assert code == 0
    assert "about" not in out and f"{RUNS} runs, {RUNS} recorded" in out
    after = state(results)
    assert [name for name in after if after[name] != before.get(name)] == []
    assert after.keys() == before.keys()


def test_plain_papermill_gives_the_same_numbers(finished, tmp_path):
    changes = json.dumps({name: value for name, value in SMALL.items() if name != "lr"})
    words = ["-f", f"params/{STUDY}/demo.yaml", "-y", changes, "-r", "lr", "5e-3"]  # text, as in YAML 1.1
    subprocess.run(
        [sys.executable, "-m", "papermill", f"notebooks/{STUDY}.ipynb", str(tmp_path / "out.ipynb"), *words],
        cwd=CHECKOUT,
        env=os.environ | {"NBHELPERS_RESULTS": str(tmp_path / "results"), "NBHELPERS_FRESH": ""},
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    results, *_ = finished
    assert folder(tmp_path / "results").name == folder(results).name
    pd.testing.assert_frame_equal(table(tmp_path / "results"), table(results), check_exact=True)


def test_a_mistyped_parameter_of_plain_papermill_is_one_line_in_the_notebook(tmp_path):
    words = [f"notebooks/{STUDY}.ipynb", str(tmp_path / "out.ipynb"), "-p", "epohcs", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", *words],
        cwd=CHECKOUT,
        env=os.environ | {"NBHELPERS_RESULTS": str(tmp_path / "results")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    line = "ParameterError: unknown parameter 'epohcs' of Sigmoid_vs_ReLU: did you mean 'epochs'?"
    assert done.returncode != 0 and line in done.stderr
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    errors = [out for cell in cells for out in cell.get("outputs", []) if out["output_type"] == "error"]
    assert [error["traceback"] for error in errors] == [[line]]
    assert not (tmp_path / "results").exists()


def test_recorded_shows_an_unfinished_set_and_trains_nothing(finished, tmp_path):
    results, *_ = finished
    shutil.copytree(results, tmp_path / "results")
    plan = json.loads((folder(tmp_path / "results") / "plan.json").read_text(encoding="utf-8"))["runs"]
    lost = next(run for run in plan if run["labels"] == {"blocks": 8, "activation": "relu"} and run["seed"] == 2)
    (folder(tmp_path / "results") / "runs" / f"{lost['key']}.json").unlink()
    before = written(tmp_path / "results")
    code, out, _ = run(tmp_path / "results", "--recorded")
    assert code == 0
    assert f"{RUNS} runs, {RUNS - 1} recorded; interim, without 1: blocks 8, activation relu, seed 2" in out
    assert written(tmp_path / "results") == before
    summary = json.loads((folder(tmp_path / "results") / "summary.json").read_text(encoding="utf-8"))
    assert summary["runs"] == {"planned": RUNS, "recorded": RUNS - 1}
    assert {verdict["verdict"] for verdict in summary["verdicts"]} >= {"interim"}
    assert "Interim: 1 planned run not recorded yet." in (folder(tmp_path / "results") / f"{STUDY}.ipynb").read_text(
        encoding="utf-8"
    )


def with_one_seed(results: Path, copy: Path) -> list[dict]:
    """Copy the results with the records of seed 0 alone, and give the planned runs."""
    shutil.copytree(results, copy, dirs_exist_ok=True)
    plan = json.loads((folder(copy) / "plan.json").read_text(encoding="utf-8"))["runs"]
    for later in (run for run in plan if run["seed"] > 0):
        (folder(copy) / "runs" / f"{later['key']}.json").unlink()
    return plan


@pytest.mark.slow_all
def test_what_one_seed_leaves_is_shown(finished, tmp_path):
    with_one_seed(finished[0], tmp_path)
    code, out, _ = run(tmp_path, "--recorded")
    assert code == 0 and f"{RUNS} runs, {RUNS // 3} recorded; interim" in out


def test_less_than_one_seed_is_one_clear_line(finished, here):
    plan = with_one_seed(finished[0], here)
    (folder(here) / "runs" / f"{plan[0]['key']}.json").unlink()
    with pytest.raises(RunError) as caught:
        execute_here(until="sweep", train=False)
    name = folder(here).name
    assert str(caught.value) == (
        f"{RUNS // 3 - 1} of {RUNS} runs of {name} are recorded, too few to show: it takes one seed with all its arms"
    )


COMMITTED = sorted(p.parent for p in (CHECKOUT / "results").glob("*/*/summary.json") if not re.search("demo|~", str(p)))


@pytest.mark.skipif(
    not {f"{package.__name__}=={package.__version__}" for package in (matplotlib, pd)}
    <= {*(CHECKOUT / "requirements.txt").read_text(encoding="utf-8").splitlines()},
    reason="the bytes are the same with the pinned packages only",
)
@pytest.mark.parametrize(
    "committed",
    [*(pytest.param(path, marks=pytest.mark.slow_all) for path in COMMITTED[:-1]), *COMMITTED[-1:]],
    ids=lambda path: f"{path.parent.name} {path.name}",
)
def test_a_committed_set_is_rendered_to_the_bytes_that_are_committed(committed, tmp_path):
    study = committed.parent
    ignore = shutil.ignore_patterns("demo*", "*~*", ".lock", "*.partial.ipynb", "*.failed.ipynb", "weights")
    shutil.copytree(study, tmp_path / study.name, ignore=ignore)
    environment = os.environ | {"NBHELPERS_RESULTS": str(tmp_path), "NBHELPERS_DATA": str(tmp_path / "no data")}
    words = [sys.executable, "-m", "nbhelpers", "run", study.name, "--set", committed.name, "--recorded"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    made = tmp_path / study.name / committed.name
    others = {path.name for path in committed.iterdir()} ^ {path.name for path in made.iterdir()}
    assert others <= {".lock"}
    changed = [path.name for path in made.iterdir() if path.is_file() and path.name != ".lock"
               and path.read_bytes() != (committed / path.name).read_bytes()]  # fmt: skip
    assert changed == []


def test_what_fails_in_the_notebook_is_one_line_and_the_failed_notebook_is_kept(tmp_path):
    code, _, err = run(tmp_path, test_images_per_class=999)
    assert code in (1, 2)
    assert err.startswith("nbhelpers: Sigmoid_vs_ReLU: ") and "999" in err and err.count("\n") == 1
    assert {path.name for path in folder(tmp_path).iterdir()} >= {f"{STUDY}.failed.ipynb"}
    assert not (folder(tmp_path) / f"{STUDY}.ipynb").exists()


# ----------------------------------------------------------- errors between fields

NORMS, ORDERS, SCALED = "BatchNorm_vs_GroupNorm", "Conv_Activation_Norm_Position", "ImageNet_MLP_ScaledReLU"


@pytest.mark.parametrize(
    ("study", "changes", "line"),
    [
        (NORMS, {"groups": 3}, "groups: 3: does not divide the 8 channels of block 1; 1, 2, 4, 8 do"),
        (
            SCALED,
            {"dataset": "cifar100", "r": 95},
            "classes: 105 asked for, but cifar100 has 100; enough have: tiny-imagenet, shapes",
        ),
    ],
    ids=["groups", "classes"],
)
def test_fields_that_do_not_fit_each_other_end_in_one_line_before_anything_is_trained(tmp_path, study, changes, line):
    words = [word for name, value in changes.items() for word in ("--param", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "nbhelpers", "run", study, *words],
        cwd=tmp_path,
        env=os.environ | {"NBHELPERS_RESULTS": str(tmp_path / "results"), "NBHELPERS_FRESH": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (2, f"nbhelpers: {study}: {line}\n")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("study", "changes", "line"),
    [
        (NORMS, {"groups": [2, 4]}, "groups: [2, 4]: one number is needed for each of 3 blocks"),
        (NORMS, {"control_batch_sizes": [2, 4]}, "control_batch_sizes: must be among batch_sizes"),
        (NORMS, {"kernel": 2}, "kernel: 2: must be odd, so that padding keeps the image size"),
        (ORDERS, {"size": 8}, "pool: [2, 4, 6, 8]: nothing is left of 8x8 pixels"),
        (ORDERS, {"pool": [2, 9]}, "pool: [2, 9]: must be rising, from 1 to 8"),
        (SCALED, {"sizes": [2, 16]}, "pool: [1, 2]: nothing is left of 2x2 pixels"),
        (SCALED, {"sizes": [4, 16]}, "shapes: size is 4: expected an integer of at least 8"),
    ],
    ids=["groups", "controls", "kernel", "pixels", "pool", "sizes", "images"],
)
def test_fields_that_do_not_fit_each_other_are_refused_by_the_cells_of_the_notebook(
    here, monkeypatch, study, changes, line
):
    monkeypatch.setattr(sweep, "execute", lambda *_, **__: pytest.fail("something is trained"))
    with pytest.raises(InputError) as caught:
        execute_here(study=study, until="sweep", **{"seeds": 2, "extra_seeds": 2, "device": "cpu"} | changes)
    assert str(caught.value) == line
    assert not list(here.glob("**/runs/*.json"))


def mock_of(study: str) -> dict:
    """The parameters at which nbmake executes a notebook: smoke size."""
    return next(cell["metadata"]["nbmake"]["mock"] for cell in cells_of(study) if cell["id"] == "parameters")


def exercises() -> list:
    """(study, parameter, value) of every exercise; all but the first of one study run in `make test-all` only."""
    found = []
    for study in [*parameters.studies(), "_template"]:
        text = "".join(next(cell["source"] for cell in cells_of(study) if cell["id"] == "exercises"))
        for place, (name, value) in enumerate(re.findall(r"^\d\. `(\w+) = (.+?)`", text, re.MULTILINE)):
            marks = [] if study == STUDY and place == 0 else pytest.mark.slow_all
            found.append(pytest.param(study, name, ast.literal_eval(value), id=f"{study}-{name}", marks=marks))
    return found


@pytest.mark.parametrize(("study", "name", "value"), exercises())
def test_an_exercise_runs_to_its_end(here, study, name, value):
    made = execute_here(study=study, **mock_of(study) | {"seeds": 2, "device": "cpu", name: value})["study"]
    assert made.values[name] == value != parameters.load(study, "demo")[name]
    assert (made.store.folder / "summary.json").exists()


# -------------------------------------------------------------------- accidents


def descendants(process: subprocess.Popen, word: str) -> list[psutil.Process]:
    """The processes below `process` that have `word` in their command."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child for child in below if word in " ".join(child.cmdline())]


def left_behind(results: Path) -> list[psutil.Process]:
    """Processes of an execution that wrote to `results`: all inherit its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("NBHELPERS_RESULTS") == str(results)
            if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
    return found


ACCIDENTS = {
    "interrupt": (1, lambda process: process.send_signal(signal.SIGINT), 130),
    "termination": (1, lambda process: process.terminate(), 143),
    "kill": (2, lambda process: process.kill(), -9),
    "death of the kernel": (1, lambda process: descendants(process, "ipykernel_launcher")[0].kill(), 1),
    "death of a worker": (2, lambda process: descendants(process, "spawn_main")[-1].kill(), 0),
}


@pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
@pytest.mark.parametrize(
    "accident", [name if name == "kill" else pytest.param(name, marks=pytest.mark.slow_all) for name in ACCIDENTS]
)
def test_after_an_accident_no_process_is_left_and_the_next_execution_goes_on(accident, finished, here, metrics):
    workers, happen, expected = ACCIDENTS[accident]
    process = start(here, workers=workers)
    try:
        deadline = time.monotonic() + PATIENCE
        while len(written(here)) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None and 3 <= len(written(here)) < RUNS
        happen(process)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == expected
    deadline = time.monotonic() + 20
    while (left := left_behind(here)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []

    done = written(here)
    if accident == "kill":  # the whole notebook once more; else only as far as the runs go
        assert run(here)[0] == 0
        assert not list(here.rglob("*.partial.ipynb"))
    else:
        execute_here(until="sweep")
    assert not [path for path in folder(here).rglob(".*.json.*")]  # what a kill in the middle of a writing leaves
    reference, *_ = finished
    assert {name: written(here)[name] for name in done} == done
    assert written(here).keys() == written(reference).keys()
    for name in written(reference):
        ours, theirs = (json.loads((folder(r) / "runs" / name).read_text(encoding="utf-8")) for r in (here, reference))
        assert metrics(ours) == metrics(theirs)
    pd.testing.assert_frame_equal(table(here), table(reference), check_exact=True)
