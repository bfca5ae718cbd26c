"""What happens around an execution: names while it runs, what is left after it, and which errors are passed on."""

import json
import os
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from nbhelpers import papermill_run
from nbhelpers.errors import InputError, RunError

STUDY = "Sigmoid_vs_ReLU"
CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The folder of the results of the set demo."""
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path))
    monkeypatch.delenv("NBHELPERS_FRESH", raising=False)
    return tmp_path / STUDY / "demo"


class Papermill:
    """Stands for `papermill.execute_notebook`: raises the errors in turn, then gives an executed notebook."""

    def __init__(self):
        self.errors, self.calls = [], []

    def __call__(self, source, target, **options):
        environment = {name: os.environ.get(name) for name in ("NBHELPERS_FRESH",)}
        self.calls.append({"source": source, "target": target, "cwd": Path.cwd(), **environment, **options})
        Path(target).write_text("in the making")
        if self.errors:
            raise self.errors.pop(0)
        node = nbformat.v4.new_notebook()
        node.metadata = {"kernelspec": {"name": "python3"}, "papermill": {"start_time": "now", "input_path": "/here"}}
        timed = {"papermill": {"duration": 1.0}, "execution": {"shell.execute_reply": "now"}, "tags": ["parameters"]}
        injected = nbformat.v4.new_code_cell("# Parameters", metadata={"tags": ["injected-parameters"]})
        node.cells = [nbformat.v4.new_code_cell("epochs = 3", id="first", metadata=timed, execution_count=1), injected]
        return node


@pytest.fixture
def executed(monkeypatch):
    fake = Papermill()
    monkeypatch.setattr(papermill, "execute_notebook", fake)
    return fake


def cell_failed(name: str = "RunError", value: str = "2 of 4 runs failed") -> PapermillExecutionError:
    return PapermillExecutionError(3, 2, "study.sweep(runs)", name, value, ["Traceback ..."])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_execution_leaves_the_notebook_alone(executed, folder):
    assert papermill_run.run(STUDY, "demo", {}) == folder / f"{STUDY}.ipynb"
    assert names(folder) == [f"{STUDY}.ipynb"]


def test_the_notebook_that_is_kept_has_no_times_and_no_paths(executed, folder):
    node = json.loads(papermill_run.run(STUDY, "demo", {}).read_text(encoding="utf-8"))
    assert node["metadata"] == {"kernelspec": {"name": "python3"}}
    assert node["cells"][0]["metadata"] == {"tags": ["parameters"]}
    assert [cell["id"] for cell in node["cells"]] == ["first", "injected-parameters"]


def test_it_is_partial_until_it_is_finished(executed, folder, monkeypatch):
    seen = []
    inner = executed.__call__
    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: (inner(*a, **k), seen.extend(names(folder)))[0])
    papermill_run.run(STUDY, "demo", {})
    assert seen == [f"{STUDY}.partial.ipynb"]


IDS = ["cell", "interrupt", "termination", "disk"]


@pytest.mark.parametrize("error", [cell_failed(), KeyboardInterrupt(), SystemExit(143), OSError(28, "full")], ids=IDS)
def test_an_execution_that_fails_is_kept_as_failed_and_the_earlier_one_stays(executed, folder, error):
    papermill_run.run(STUDY, "demo", {})
    earlier = (folder / f"{STUDY}.ipynb").read_bytes()
    executed.errors = [error]
    with pytest.raises((RunError, KeyboardInterrupt, SystemExit, OSError)):
        papermill_run.run(STUDY, "demo", {})
    assert names(folder) == [f"{STUDY}.failed.ipynb", f"{STUDY}.ipynb"]
    assert (folder / f"{STUDY}.ipynb").read_bytes() == earlier
    papermill_run.run(STUDY, "demo", {})
    assert names(folder) == [f"{STUDY}.ipynb"]


def test_where_nothing_is_recorded_nothing_is_written_and_one_line_says_so(executed, folder):
    with pytest.raises(RunError, match=r"^Sigmoid_vs_ReLU: no run of demo is recorded$"):
        papermill_run.run(STUDY, "demo", {"train": False})
    assert not folder.exists() and not executed.calls


def test_the_error_of_a_cell_is_passed_on_in_one_line(executed):
    executed.errors = [cell_failed()]
    with pytest.raises(RunError) as caught:
        papermill_run.run(STUDY, "demo", {})
    assert str(caught.value) == "Sigmoid_vs_ReLU: 2 of 4 runs failed"
    assert len(executed.calls) == 1


def test_an_interrupted_kernel_is_one_line_that_says_how_to_go_on(executed):
    from papermill.exceptions import PapermillExecutionError

    executed.errors = [PapermillExecutionError(1, 1, "x", "KeyboardInterrupt", "", [])]
    with pytest.raises(RunError) as caught:
        papermill_run.run(STUDY, "demo", {})
    said = "Sigmoid_vs_ReLU: its kernel was interrupted; the same command goes on from the recorded runs"
    assert str(caught.value) == said


def test_a_kernel_that_does_not_start_is_tried_once_more(executed, folder):
    executed.errors = [RuntimeError("Kernel died before replying to kernel_info")]
    assert papermill_run.run(STUDY, "demo", {}) == folder / f"{STUDY}.ipynb"
    assert len(executed.calls) == 2


def test_a_kernel_that_never_starts_is_an_error(executed):
    executed.errors = [RuntimeError("Kernel died before replying to kernel_info") for _ in range(9)]
    with pytest.raises(RunError, match=r"^Sigmoid_vs_ReLU: Kernel died before replying to kernel_info"):
        papermill_run.run(STUDY, "demo", {})
    assert len(executed.calls) <= 2


def test_a_kernel_that_dies_while_it_runs_is_an_error_at_once(executed):
    from nbclient.exceptions import DeadKernelError

    executed.errors = [DeadKernelError("Kernel died")]
    with pytest.raises(
        RunError, match=r"^Sigmoid_vs_ReLU: Kernel died; the same command goes on from the recorded runs$"
    ):
        papermill_run.run(STUDY, "demo", {})
    assert len(executed.calls) == 1


def test_set_and_changes_are_injected_and_nothing_else(executed):
    papermill_run.run(STUDY, "ran", {"epochs": 3})
    call = executed.calls[0]
    assert call["parameters"] == {"parameter_set": "ran", "epochs": 3}
    assert call["kernel_name"] == "python3" and call["coalesce_streams"] is True


def test_changed_values_go_to_a_folder_of_their_own(executed, folder):
    made = papermill_run.run(STUDY, "demo", {"epochs": 3})
    assert made.parent.parent == folder.parent and made.parent.name.startswith("demo~")
    assert papermill_run.run(STUDY, "demo", {"workers": 2}).parent == folder


def test_papermill_gets_relative_paths_wherever_it_is_started(executed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    papermill_run.run(STUDY, "demo", {})
    call = executed.calls[0]
    assert not os.path.isabs(call["source"]) and not os.path.isabs(call["target"])
    assert call["source"] == str(Path("notebooks", f"{STUDY}.ipynb")) and call["cwd"] == CHECKOUT
    assert Path.cwd() == tmp_path


def test_a_relative_results_folder_of_the_environment_is_that_of_the_working_folder(executed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBHELPERS_RESULTS", "here")
    papermill_run.run(STUDY, "demo", {})
    assert (tmp_path / "here" / STUDY / "demo" / f"{STUDY}.ipynb").exists()


def test_an_own_set_is_injected_so_that_the_kernel_finds_it(executed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("epochs: 3\n")
    papermill_run.run(STUDY, "own.yaml", {})
    injected = executed.calls[0]["parameters"]["parameter_set"]
    assert (executed.calls[0]["cwd"] / injected).exists()


@pytest.mark.parametrize(("fresh", "value"), [("all", "all"), ("probes", "probes"), ("", "")])
def test_fresh_is_told_to_the_kernel_alone(executed, fresh, value):
    papermill_run.run(STUDY, "demo", {}, fresh=fresh)
    assert executed.calls[0]["NBHELPERS_FRESH"] == value
    assert "NBHELPERS_FRESH" not in os.environ


def test_the_environment_is_as_before_also_after_an_error(executed, monkeypatch):
    monkeypatch.setenv("NBHELPERS_FRESH", "as it was")
    executed.errors = [cell_failed()]
    with pytest.raises(RunError):
        papermill_run.run(STUDY, "demo", {}, fresh="all")
    assert os.environ["NBHELPERS_FRESH"] == "as it was"


@pytest.mark.parametrize(
    ("study", "name", "changes", "line"),
    [
        ("Sigmoid", "demo", {}, "Sigmoid: there is no such notebook: did you mean 'Sigmoid_vs_ReLU'?"),
        (STUDY, "rann", {}, "parameter_set: 'rann': Sigmoid_vs_ReLU has no such set: did you mean 'ran'?"),
        (STUDY, "demo", {"epochs": 0}, "epochs: 0: must be at least 1"),
    ],
)
def test_what_is_not_allowed_is_refused_before_papermill_is_started(executed, folder, study, name, changes, line):
    with pytest.raises(InputError) as caught:
        papermill_run.run(study, name, changes)
    assert str(caught.value) == line
    assert not executed.calls and not folder.exists()


def test_a_folder_that_cannot_be_written_is_refused_before_papermill_is_started(executed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"^results: .+: cannot be written \(.+\)$"):
        papermill_run.run(STUDY, "demo", {})
    assert not executed.calls
