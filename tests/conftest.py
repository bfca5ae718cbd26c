"""One thread, data in a folder of its own, and small specs that several test files share."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from nbhelpers import perform
from nbhelpers.models import MLP
from nbhelpers.models.initialise import build
from nbhelpers.run import Data, Recipe, Run
from nbhelpers.tensors import Images
from nbhelpers.train import evaluate, layout


@pytest.fixture(scope="session", autouse=True)
def _one_thread_and_own_data(tmp_path_factory):
    """Bits depend on the number of threads; and no test writes into the user's cache."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBHELPERS_DATA", str(tmp_path_factory.mktemp("data")))
        yield


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")  # the marker says that a test is of code for a GPU, which many lack


@pytest.fixture(scope="session")
def small_data():
    """20 training and 10 test images of each of 3 classes, 8x8 pixels."""
    normal = {"mean": (0.5, 0.45, 0.4), "std": (0.2, 0.25, 0.3)}
    return Data(name="shapes", classes=3, size=8, per_class=20, test_per_class=10, **normal)


@pytest.fixture(scope="session")
def make_run(small_data):
    """``make_run(epochs=5, seed=1)``: a run of milliseconds; the names are fields of Run or of its Recipe."""

    def make(**changes) -> Run:
        recipe = {"lr": 0.05, "momentum": 0.9, "epochs": 2, "batch_size": 16}
        recipe |= {name: changes.pop(name) for name in list(changes) if name in Recipe.model_fields}
        run = {"data": small_data, "model": MLP(hidden=(6,)), "recipe": Recipe(**recipe), "seed": 0}
        return Run(**run | changes)

    return make


@pytest.fixture(scope="session")
def random_images():
    """``random_images(n, shape, classes)``: pixels from a normal distribution, labels in turn."""

    def make(n: int = 40, shape: tuple[int, int, int] = (3, 8, 8), classes: int = 3) -> Images:
        pixels = torch.randn((n, *shape), generator=torch.Generator().manual_seed(n))
        return Images(pixels, torch.arange(n) % classes, classes)

    return make


@pytest.fixture(scope="session")
def metrics():
    """``metrics(record)``: what two records of one run have in common, bit for bit."""

    def of(record: dict) -> dict:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in record["history"]]
        return {name: record[name] for name in ("key", "status", "run", "final", "correct", "probes")} | {
            "history": history
        }

    return of


@pytest.fixture(scope="session")
def reloaded():
    """``reloaded(run, folder)``: the test of a net built anew, with the weights of `run` that are kept in `folder`."""

    def test(run, folder):
        train, images, _ = perform.load(run)
        net = build(run.model, tuple(train.images.shape[1:]), train.classes, run.seed + 1)
        net.load_state_dict(load_file(folder / f"{run.key}.safetensors"))
        net.to(memory_format=layout(net))
        return evaluate(net, images.to(torch.device("cpu"), layout(net)), run.recipe.test_batch_size)

    return test


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of this machine, driven by Playwright.

    Not for the whole session: while it runs, so does an event loop, in which no test could begin another.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, see requirements.txt")
    if not (path := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")):
        pytest.skip("needs Chromium")  # a browser is no Python package: not every machine has one
    with sync_api.sync_playwright() as started:
        # No sandbox: it cannot be had as root, and only pages that were made here are opened.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
