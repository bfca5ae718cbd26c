"""What is imported, and what is not: each case is a process of its own, since a module stays imported."""

import json
import signal
import subprocess
import sys

import pytest

from nbhelpers import light

HEAVY = {"torch", "torchvision", "pandas", "scipy", "matplotlib", "papermill", "nbformat", "IPython"}
LOADED = "import json, sys; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))"
STUDY = "BatchNorm_vs_GroupNorm"


def loaded(code: str, names: set[str], cwd=None) -> set[str]:
    """Which of the modules `names` a new process has imported after `code`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{LOADED}", *names], capture_output=True, text=True, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*words: str, code: int) -> str:
    """Source that runs a command and demands its exit code."""
    return f"""
from nbhelpers.cli import main
try:
    code = main({list(words)!r})
except SystemExit as end:
    code = end.code or 0
assert code == {code}, code"""


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list"]])
def test_help_and_list_import_nothing_heavy(words):
    assert not loaded(command(*words, code=0), HEAVY | {"numpy"})


@pytest.mark.parametrize(
    "words",
    [
        ["run", "No_Such_Study"],
        ["run", STUDY, "--set", "rann"],
        ["run", STUDY, "--param", "epohcs=3"],
        ["run", STUDY, "--param", "epochs=many"],
        ["run", STUDY, "--param", "epochs=-1"],
        ["run", STUDY, "--param", "activation=rleu"],
        ["run", STUDY, "--param", "groups=[1, two]"],
        ["run", STUDY, "--param", "dataset=cifar11"],
        ["train", "--model", "resnet51"],
        ["train", "--model", "resnet50", "--param", "epohcs=3"],
        ["train", "--model", "resnet50", "--param", "lr=fast"],
        ["train", "--model", "resnet50", "--epochs", "0"],
        ["data", "cifar11"],
        ["new", "9"],
    ],
)
def test_bad_input_is_refused_before_anything_heavy_is_imported(words):
    assert not loaded(command(*words, code=2), HEAVY)


def test_a_notebook_refuses_a_parameter_before_torch_is_imported():
    code = f"""
import nbhelpers as nb
from nbhelpers import parameters
cell = parameters.load({STUDY!r}, "demo") | {{"epochs": -1}}
try:
    nb.Study({STUDY!r}, cell)
except parameters.ParameterError as error:
    assert str(error) == "epochs: -1: must be at least 1"
else:
    raise AssertionError"""
    assert not loaded(code, {"torch", "torchvision", "matplotlib", "scipy", "nbformat"})


def test_what_trains_and_draws_does_not_import_torchvision():
    code = """
import nbhelpers as nb
from nbhelpers import allocator, launch, perform, probes, progress, stats
small = nb.ResNet(widths=(4, 4), blocks=(1, 1))
nets = [nb.ConvNet(channels=[8, 8]), small, nb.MLP(hidden=(4,)), *(nb.family(name, "relu") for name in nb.KIN)]
for net in nets:
    nb.build(net, (3, 32, 32), 10, seed=0)
nb.Study, nb.plots.curves
stats.interval([1.0, 2.0, 4.0])"""
    names = {"torch", "seaborn", "torchvision", "papermill", "nbformat"}
    assert loaded(code, names) == {"torch", "seaborn"}


def test_papermill_is_imported_without_the_formats_of_jsonschema(tmp_path):
    code = """
from pathlib import Path
from nbhelpers import papermill_run
import builtins
try:
    papermill_run._execute(Path("none.ipynb"), Path("partial.ipynb"), {}, "", None)
except FileNotFoundError:
    pass"""
    assert loaded(code, {"papermill", "jsonschema", light.IRI, "lark"}) == {"papermill", "jsonschema"}


def test_the_report_is_made_without_them_too():
    code = "import tempfile\nfrom nbhelpers import report\nreport.build(tempfile.mkdtemp())"
    assert loaded(code, {"nbconvert", "jsonschema", light.IRI}) == {"nbconvert", "jsonschema"}


def test_a_module_is_missing_only_meanwhile(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with light.without("colorsys", "json"):
        with pytest.raises(ModuleNotFoundError):
            import colorsys
        import json as same

        assert same is json  # it was imported before
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0) and sys.modules["json"] is json


@pytest.fixture
def interruptible():
    """As at a terminal: a shell's background process, and what it starts, ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_comes_after_what_does_not_bear_one(interruptible):
    done = []
    with pytest.raises(KeyboardInterrupt), light.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("whole")
    assert done == ["whole"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_command_that_is_interrupted_while_it_imports_says_so_in_one_line(interruptible):
    code = """
import os, signal, sys
from importlib.abc import MetaPathFinder
from nbhelpers.cli import main

class Ends(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "datetime":  # imported by the compiled part of pydantic
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Ends())
sys.exit(main(["list"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1) and done.stderr.startswith("interrupted; ")
