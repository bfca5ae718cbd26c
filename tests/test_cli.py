"""On the command line an error is one line: exit code 2 for bad input, 1 for a run that failed."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nbhelpers
from nbhelpers import cli, data, papermill_run, parameters
from nbhelpers.errors import InputError, RunError

STUDY = "Sigmoid_vs_ReLU"
EPOCHS = parameters.load(STUDY, "demo")["epochs"]


@pytest.fixture(autouse=True)
def _own_results_and_signals(monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path / "results"))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def started(monkeypatch):
    """The notebooks that were started, with set, changes and fresh; none is executed."""
    found = []

    def run(study, set_name, changes, *, fresh="", out=None):
        found.append((study, set_name, changes, fresh))
        return Path("results", study, set_name, f"{study}.ipynb").absolute()

    monkeypatch.setattr(papermill_run, "run", run)
    return found


@pytest.fixture
def fails(capsys, started):
    """``fails("run", "X")``: exit code and the one line on stderr of a command that starts nothing."""

    def of(*words: str) -> tuple[int, str]:
        code = cli.main(list(words))
        said = capsys.readouterr()
        assert not started and said.out == ""
        assert said.err.endswith("\n") and said.err.count("\n") == 1
        return code, said.err.rstrip("\n")

    return of


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("epohcs=3", "unknown parameter 'epohcs' of Sigmoid_vs_ReLU: did you mean 'epochs'?"),
        ("epochs=-1", "epochs: -1: must be at least 1"),
        ("epochs=many", "epochs: 'many': must be a whole number"),
        ("epochs=true", f"epochs: True: must not be true or false, but such as {EPOCHS}"),
        (
            "activations=[relu, sgmoid]",
            "activations: ['relu', 'sgmoid']: unknown activation 'sgmoid': did you mean 'sigmoid'?",
        ),
        ("lr=fast", "lr: 'fast': must be a number"),
        ("workers=-2", "workers: -2: must be at least 0"),
        ("epochs", "--param: 'epochs': must be NAME=VALUE"),
        ("=3", "--param: '=3': must be NAME=VALUE"),
        ("blocks=[1", "--param: 'blocks=[1': the value is no YAML"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused(fails, change, line):
    assert fails("run", STUDY, "--param", change) == (2, f"nbhelpers: {line}")


def test_an_empty_value_is_refused(fails):
    assert fails("run", STUDY, "--param", "lr=")[0] == 2


def test_a_set_is_not_given_as_a_parameter(fails):
    assert fails("run", STUDY, "--param", "parameter_set=ran")[0] == 2


def test_an_unknown_data_set_is_refused(fails):
    code, line = fails("run", STUDY, "--param", "dataset=cifar11")
    assert code == 2 and "did you mean 'cifar10'?" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["Sigmoid_vs_Relu"], "Sigmoid_vs_Relu: there is no such notebook: did you mean 'Sigmoid_vs_ReLU'?"),
        ([STUDY, "--set", "rann"], "parameter_set: 'rann': Sigmoid_vs_ReLU has no such set: did you mean 'ran'?"),
        ([STUDY, "--set", "no/such.yaml"], "no/such.yaml: there is no such parameter set"),
        ([STUDY, "--workers", "-1"], "workers: -1: must be at least 0"),
    ],
)
def test_a_notebook_or_set_that_is_not_there_is_refused(fails, words, line):
    assert fails("run", *words) == (2, f"nbhelpers: {line}")


def test_a_set_that_is_a_list_is_refused(fails, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("- epochs: 3\n")
    assert fails("run", STUDY, "--set", str(path)) == (
        2,
        f"nbhelpers: {path}: must be a mapping of names to values, not list",
    )


def test_all_notebooks_are_checked_before_the_first_is_started(fails):
    assert fails("run", STUDY, "No_such_notebook")[0] == 2


def test_a_results_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["run", STUDY, "--results", str(tmp_path / "file" / "x")]) == 2
    said = capsys.readouterr()
    folder = tmp_path / "file" / "x" / STUDY / "demo"
    assert said.out == "" and re.fullmatch(
        rf"nbhelpers: results: {re.escape(str(folder))}: cannot be written \(.+\)\n", said.err
    )


def test_an_unknown_data_set_cannot_be_prepared(fails):
    code, line = fails("data", "cifar11")
    assert code == 2 and line.startswith("nbhelpers: data: 'cifar11' is unknown; did you mean 'cifar10'? known are ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("epochs: -1: must be at least 1"), 2, "nbhelpers: epochs: -1: must be at least 1"),
        (RunError("2 of 4 runs failed"), 1, "nbhelpers: 2 of 4 runs failed"),
        (OSError(28, "No space left on device"), 1, "nbhelpers: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted; what is done is recorded, and the same command goes on from there"),
    ],
    ids=["input", "run", "disk", "interrupt"],
)
def test_the_exit_code_says_what_failed(monkeypatch, capsys, error, code, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(papermill_run, "run", fail)
    assert cli.main(["run", STUDY]) == code
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
def test_a_termination_is_one_line_too(monkeypatch, capsys):
    monkeypatch.setattr(papermill_run, "run", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main(["run", STUDY])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 143
    line = "terminated; what is done is recorded, and the same command goes on from there\n"
    assert capsys.readouterr().err == line


def test_debug_shows_the_traceback(started):
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        cli.main(["--debug", "run", STUDY, "--param", "epohcs=3"])


def test_an_error_of_the_program_itself_is_not_hidden(monkeypatch):
    monkeypatch.setattr(papermill_run, "run", lambda *_, **__: {}["a mistake"])
    with pytest.raises(KeyError):
        cli.main(["run", STUDY])


@pytest.mark.parametrize("words", [[], ["walk"], ["run", "--workers", "two"], ["run", "--bogus"], ["data"]], ids=str)
def test_words_that_are_no_command_show_the_usage(capsys, words):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("usage: nbhelpers")


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"{nbhelpers.__version__}\n"


def test_a_run_starts_the_notebook_with_set_and_changes(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "--set",
        "ran",
        "--param",
        "lr=1e-3",
        "--param",
        "blocks=[1, 4]",
        "--param",
        "norm={name: group, groups: 4}",
    ]
    assert cli.main(["run", STUDY, *words, "--workers", "2", "--results", "here", "--fresh"]) == 0
    changes = {"lr": 0.001, "blocks": [1, 4], "norm": {"name": "group", "groups": 4}}
    assert started == [(STUDY, "ran", changes | {"workers": 2, "results": "here"}, "all")]


def test_recorded_trains_nothing(started):
    assert cli.main(["run", STUDY, "--recorded"]) == 0
    assert started == [(STUDY, "demo", {"train": False}, "")]


def test_with_probes_does_again_what_lacks_a_measurement(started):
    assert cli.main(["run", STUDY, "--with-probes"]) == 0
    assert started == [(STUDY, "demo", {}, "probes")]


def test_without_a_name_all_notebooks_are_run_and_their_files_named(started, capsys):
    assert cli.main(["run"]) == 0
    assert STUDY in [study for study, *_ in started]
    assert f"{STUDY}.ipynb\n" in capsys.readouterr().out.split("Open:\n")[1]


def test_data_are_prepared_by_name(monkeypatch):
    found = []
    monkeypatch.setattr(data, "prepare", found.append)
    assert cli.main(["data", "cifar10", "folder:x"]) == 0
    assert found == ["cifar10", "folder:x"]


def test_the_list_has_every_set(capsys, tmp_path):
    assert cli.main(["list", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^{STUDY} +{name} +never started", said, re.MULTILINE) for name in ("demo", "ran", "full"))


COMMANDS = [
    ["list"],
    ["run", "No_such_notebook"],
    ["run", STUDY, "--set", "rann"],
    ["run", STUDY, "--param", "epohcs=3"],
    ["run", STUDY, "--param", "activations=[sgmoid]"],
    ["data", "cifar11"],
]
WITHOUT_TORCH = f"""
import json, sys
from nbhelpers import cli
codes = [cli.main(words) for words in {COMMANDS!r}]
heavy = sorted({{"torch", "torchvision", "papermill", "pandas", "matplotlib", "nbformat"}} & sys.modules.keys())
print(json.dumps([codes, heavy]))
"""


def test_errors_and_the_list_come_before_torch_is_imported():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[0, 2, 2, 2, 2, 2], []]
    assert len(done.stderr.splitlines()) == 5


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "nbhelpers", "run", "No_such"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nbhelpers: No_such: there is no such notebook") and done.stderr.count("\n") == 1
