"""Runs on Ray clusters of several nodes, each with processes of its own, on this machine."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import nbhelpers
from nbhelpers import cli, cluster, node, parameters, sweep
from nbhelpers import data as datasets
from nbhelpers.errors import InputError
from nbhelpers.models import MLP, Custom
from nbhelpers.parameters import ParameterError
from nbhelpers.records import Store
from nbhelpers.run import Data

HERE = Path(__file__).resolve().parent.parent
STUDY = "Sigmoid_vs_ReLU"
NETS = '''
"""Nets that say where they are built, and have accidents; FILE gets a line (node, process) each time one is built."""

import os
import signal
import time

from torch import nn


def net(shape, classes, file, deaths=0, naps=0, seconds=0.0, error="", gate=""):
    import ray

    node = ray.get_runtime_context().get_node_id()
    with open(file, "a") as out:
        out.write(f"{node} {os.getpid()}\\n")
    with open(file) as found:
        number = len(found.readlines())
    if number <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(300 if number <= naps else seconds)
    end = time.monotonic() + 60
    while gate and not os.path.exists(gate + ".open") and time.monotonic() < end:  # opened by the node that it names
        if os.path.exists(gate) and open(gate).read() == node:
            open(gate + ".open", "w").close()
        time.sleep(0.05)
    if error:
        raise RuntimeError(error)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
'''
DRIVER = """
import json
import sys

from nbhelpers.records import Store
from nbhelpers.run import Run
from nbhelpers.sweep import execute

runs = [Run(**fields) for fields in json.loads(sys.argv[3])]
for _ in execute(runs, Store(sys.argv[1]), device="cpu", ray=sys.argv[2]):
    pass
"""

pytestmark = pytest.mark.slow
installed = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install nbhelpers[ray]")
posix = pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")


# -------------------------------------------------------------------------------------- without a cluster


def test_without_ray_one_line_says_how_to_install_it(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    line = "ray: 'auto': Ray is not installed: pip install nbhelpers[ray]"
    assert cli.main(["run", STUDY, "--ray", "auto"]) == 2
    assert capsys.readouterr().err == f"nbhelpers: {line}\n"
    with pytest.raises(InputError) as caught:
        cluster.Cluster("auto").connect()
    assert str(caught.value) == line


@installed
@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "ray://127.0.0.1:1", "somewhere", "127.0.0.1:²", "a..b:1", "127.0.0.1:99999"],
)
def test_an_address_at_which_there_is_no_cluster_is_one_line(address):
    with pytest.raises(InputError) as caught:
        cluster.Cluster(address).connect()
    assert str(caught.value).startswith(f"ray: {address!r}: ") and "\n" not in str(caught.value)


@installed
@pytest.mark.parametrize("address", ["somewhere", "HOST:PORT", "127.0.0.1:²", "http://here:1", "local:", "auto auto:1"])
def test_a_parameter_that_is_no_address_is_refused_before_anything_starts(address):
    with pytest.raises(ParameterError, match="must be local, auto, HOST:PORT or ray://HOST:PORT"):
        parameters.check_value("ray", address, "")


@installed
@pytest.mark.parametrize("address", ["", "local", "auto", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"])
def test_an_address_is_one(address):
    assert parameters.check_value("ray", address, "") == address


class Nodes:
    """Stands for the module `ray`, with nodes of these resources."""

    def __init__(self, *resources):
        self.resources = resources

    def nodes(self):
        return [{"Alive": True, "Resources": found} for found in self.resources] + [{"Alive": False, "Resources": {}}]


@pytest.mark.parametrize(
    ("resources", "options", "place", "places"),
    [
        ([{"CPU": 4}, {"CPU": 2}], {}, "cpu", 6),
        ([{"CPU": 4}, {"CPU": 3}], {"processes": 2}, "cpu", 3),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 8}], {}, "cuda", 8),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 8}], {"runs_per_gpu": 3}, "cuda", 16),
        ([{"CPU": 4}, {"CPU": 40, "GPU": 8}], {"runs_per_gpu": 3}, "cuda", 24),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 8}], {"processes": 4, "runs_per_gpu": 3}, "cuda", 2),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 8}], {"device": "cpu"}, "cpu", 20),
        ([{"CPU": 4}], {"device": "cuda"}, "cuda", 0),
    ],
)
def test_a_run_takes_its_cpus_and_its_share_of_a_gpu(monkeypatch, resources, options, place, places):
    monkeypatch.setitem(sys.modules, "ray", Nodes(*resources))
    there = cluster.Cluster("auto", **options)
    assert (there.place(), there.places()) == (place, places)


def test_a_machine_that_has_no_place_for_a_run_is_one_line(monkeypatch, make_run):
    monkeypatch.setattr(cluster.Cluster, "connect", lambda self: None)
    monkeypatch.setitem(sys.modules, "ray", Nodes({"CPU": 4}))
    with pytest.raises(InputError) as caught:
        next(cluster.pool([make_run()], None, cluster.Cluster("local", "cuda", runs_per_gpu=2)))
    assert str(caught.value) == (
        "ray: 'local': this machine has no place for a run, which takes num_cpus 1, num_gpus 0.5"
    )


def test_a_limit_is_refused_where_it_could_not_be_kept(make_run):
    with pytest.raises(InputError, match=r"^run_limit: 60: not through Ray's client"):
        next(cluster.pool([make_run()], None, cluster.Cluster("ray://head:10001"), limit=60))


def test_a_node_with_another_version_says_so_and_carries_nothing_out(make_run):
    reason = node.task("0.0.0", pytest.fail, make_run(), [], device="cpu", weights=False)
    assert reason.startswith(f"node {socket.gethostname()} has nbhelpers ") and reason.endswith(", the driver 0.0.0")


def test_a_node_that_has_other_images_or_damaged_ones_asks_for_them(make_run, monkeypatch):
    run, images = make_run(), ("shapes", 8, 3)
    options = {"device": "cpu", "weights": False}

    def answer(fingerprint: str):
        return node.task(nbhelpers.__version__, lambda *_, **__: "done", run, [(images, fingerprint, None)], **options)

    right = datasets.load(*images).fingerprint
    assert answer(right) == "done"
    assert answer("0" * 16) == node.Lacking([images])
    monkeypatch.setattr(datasets, "load", lambda *_, **__: (_ for _ in ()).throw(datasets.DataError("damaged")))
    assert answer(right) == node.Lacking([images])


@installed
def test_a_lost_worker_or_node_gives_no_reason_and_an_error_gives_one_line():
    import ray

    errors = ray.exceptions
    for lost in (errors.WorkerCrashedError(), errors.OutOfMemoryError("more"), errors.NodeDiedError("gone")):
        assert cluster._failed(ray, lost) is None
    assert cluster._failed(ray, errors.RaySystemError("a\n\n  b \n")) == "RaySystemError: b"


# ---------------------------------------------------------------------------------------- on real clusters


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A folder from which this process and all of Ray's can import, and an environment that suits a shared machine."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "nets_of_ray.py").write_text(NETS)
    (folder / "driver_of_ray.py").write_text(DRIVER)
    # Each process of Ray imports jsonschema, and for a format that nothing here has, seconds more (see `light`).
    (folder / "rfc3987_syntax.py").write_text("raise ImportError\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{HERE}", prepend=os.pathsep)
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what else runs on this machine is no reason to kill
        patch.setenv("HOME", str(folder / "user"))
        draw(folder / "user" / "images", seed=0)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def accident(modules, make_run):
    """``accident("name", deaths=1)``: a run whose net has accidents when it is built."""

    def make(name: str, seed: int = 0, **kwargs):
        model = Custom(target="nets_of_ray:net", kwargs={"file": str(modules / f"{name}.{seed}"), **kwargs})
        return make_run(model=model, seed=seed)

    return make


def built(run) -> list[list[str]]:
    """(node, process) of each time that the net of `run` was built."""
    path = Path(run.model.kwargs["file"])
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def gone(process: int | str) -> bool:
    try:
        return psutil.Process(int(process)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def added(made, **options):
    """One more node, with a CPU."""
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    for last in (False, False, True):  # a node that takes over 15 s to start gives up
        try:
            return made.add_node(**small | options)
        except Exception:
            if last:
                raise


@pytest.fixture(scope="module")
def two_nodes(modules):
    """The address of a cluster with two nodes; this process is connected to it meanwhile."""
    ray = pytest.importorskip("ray", reason="needs ray: pip install nbhelpers[ray]")
    from ray.cluster_utils import Cluster

    made = Cluster()
    added(made)
    added(made)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def grid(make_run):
    probes = ["gradient_norms@1", "activation_slopes@1"]
    arms = [MLP(hidden=(6,), activation=activation) for activation in ("relu", "sigmoid")]
    return [make_run(model=arm, seed=seed, probes=probes) for arm in arms for seed in (0, 1)]


@pytest.fixture(scope="module")
def outcomes(two_nodes, tmp_path_factory, accident, grid):
    """One execution with accidents: the runs by name, store, key -> outcome, and how many tasks there were at most."""
    store = Store(tmp_path_factory.mktemp("outcomes"))
    runs = {f"grid {i}": run for i, run in enumerate(grid)}
    runs["fails"] = accident("fails", error="no net today")
    runs["dies once"] = accident("dies_once", deaths=1)
    runs["always dies"] = accident("always_dies", deaths=99)
    runs |= {f"more {i}": accident("more", seed=i) for i in range(12)}
    sizes, ready = [], cluster._ready
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cluster, "_ready", lambda ray, flight, *rest: sizes.append(len(flight)) or ready(ray, flight, *rest)
        )
        found = {run.key: out for run, out in sweep.execute(list(runs.values()), store, ray=two_nodes.address)}
    return runs, store, found, max(sizes)


def test_the_numbers_are_those_of_this_process(tmp_path, outcomes, grid, metrics):
    _, store, found, _ = outcomes
    expected = {run.key: out for run, out in sweep.execute(grid, Store(tmp_path), workers=1, device="cpu")}
    for run in grid:
        assert metrics(found[run.key]) == metrics(expected[run.key])
        assert store.load(run.key) == found[run.key] and found[run.key]["provenance"]["threads"] == 1


def test_a_run_that_failed_is_not_tried_again(outcomes):
    runs, store, found, _ = outcomes
    assert found[runs["fails"].key] == sweep.Failure(runs["fails"], "RuntimeError: no net today")
    assert len(built(runs["fails"])) == 1 and store.load(runs["fails"].key) is None


@posix
def test_a_run_whose_worker_is_killed_is_tried_again_some_times(outcomes):
    runs, _, found, _ = outcomes
    assert found[runs["dies once"].key]["status"] == "done" and len(built(runs["dies once"])) == 2
    assert found[runs["always dies"].key] == sweep.Failure(runs["always dies"], cluster.LOST)
    assert len(built(runs["always dies"])) == cluster.TRIES


def test_every_run_has_one_outcome_and_both_nodes_have_runs(outcomes):
    runs, _, found, _ = outcomes
    assert set(found) == {run.key for run in runs.values()}
    assert (
        len(
            {
                node
                for run in runs.values()
                if "file" in run.canonical()["model"].get("kwargs", {})
                for node, _ in built(run)
            }
        )
        == 2
    )


def test_no_more_tasks_are_in_flight_than_there_will_soon_be_place_for(outcomes):
    runs, _, _, most = outcomes
    assert most == max(cluster.LEAST, cluster.AHEAD * 2) < len(runs)


def test_only_the_run_over_the_limit_is_ended(two_nodes, tmp_path, accident, make_run):
    slow, quick = accident("naps", naps=9), make_run(seed=1)
    done = sweep.execute([slow, quick], Store(tmp_path), device="cpu", ray=two_nodes.address, limit=8)
    found = {run.key: out for run, out in done}
    assert found[slow.key] == sweep.Failure(slow, "took longer than the limit of 8 seconds")
    assert found[quick.key]["status"] == "done"
    assert len(built(slow)) == 1 and wait_for(lambda: gone(built(slow)[0][1]), 20)


def test_weights_are_brought_to_the_driver(two_nodes, tmp_path, grid):
    for place, options in (("here", {"workers": 1}), ("there", {"ray": two_nodes.address})):
        list(sweep.execute(grid[:2], Store(tmp_path / place), device="cpu", weights=True, **options))
    for run in grid[:2]:
        here, there = (tmp_path / place / "weights" / f"{run.key}.safetensors" for place in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()


def test_leaving_early_ends_the_runs_and_leaves_a_connection_of_others(two_nodes, tmp_path, accident):
    import ray

    naps, quick = [accident("left", seed=i, naps=9) for i in (1, 2)], accident("left", seed=0)
    done = sweep.execute([quick, *naps], Store(tmp_path), device="cpu", ray=two_nodes.address)
    assert next(done)[0] == quick
    assert wait_for(lambda: any(map(built, naps)))
    done.close()
    processes = [process for nap in naps for _, process in built(nap)]
    assert wait_for(lambda: all(map(gone, processes)), 20)
    assert ray.is_initialized()


@pytest.fixture
def drive(modules):
    """``drive(runs, store, address)`` starts a driver process, in a process group of its own."""
    drivers = []

    def start(runs, store: Store, address: str) -> subprocess.Popen:
        fields = json.dumps([run.model_dump(mode="json") for run in runs])
        command = [sys.executable, str(modules / "driver_of_ray.py"), str(store.folder), address, fields]
        drivers.append(subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(30)


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow_all)])
def test_no_worker_outlives_its_driver_and_the_next_execution_goes_on(two_nodes, tmp_path, drive, accident, number):
    store, done = Store(tmp_path), accident(number.name, seed=0)
    naps = [accident(number.name, seed=i, naps=1) for i in (1, 2)]
    driver = drive([done, *naps], store, two_nodes.address)
    assert wait_for(lambda: all(map(built, naps)))
    os.killpg(driver.pid, number)
    assert driver.wait(30) != 0
    assert wait_for(lambda: all(gone(built(nap)[0][1]) for nap in naps), 30)
    assert sweep.missing([done, *naps], store) == naps
    if number == signal.SIGKILL:  # its records are the driver's own; the other signal leaves the same
        assert len(list(sweep.execute([done, *naps], store, device="cpu", ray=two_nodes.address))) == 2
        assert len(built(done)) == 1


@posix
@installed
def test_a_ray_that_was_started_for_the_runs_ends_with_its_driver(modules, tmp_path, drive, accident):
    nap = accident("alone", naps=9)
    driver = drive([nap], Store(tmp_path), "local")
    assert wait_for(lambda: built(nap), 90)
    family = psutil.Process(driver.pid).children(recursive=True)
    assert {"raylet", "gcs_server"} <= {process.name() for process in family}
    assert int(built(nap)[0][1]) in {process.pid for process in family}
    # Two helpers of Ray, which compute nothing, look for the head that is gone for about a minute before they end.
    helpers = ("ray::DashboardA", "ray::RuntimeEnvA")
    working = [process.pid for process in family if not gone(process.pid) and not process.name().startswith(helpers)]
    driver.kill()
    assert wait_for(lambda: all(map(gone, working)), 30)


# ------------------------------------------------------------------------- four nodes, and what befalls them


@pytest.fixture(scope="module")
def four_nodes(modules, two_nodes):
    """Two nodes more. The last one belongs to another user, whose folder of the same name has other images."""
    added(two_nodes)
    draw(modules / "other" / "images", seed=1)
    theirs = added(two_nodes, env_vars={"HOME": str(modules / "other")})
    return two_nodes, theirs.node_id


def draw(folder: Path, seed: int) -> None:
    """Class folders of images of noise."""
    pixels = np.random.default_rng(seed)
    for split, count in (("train", 20), ("test", 10)):
        for label in "abc":
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                image.save(folder / split / label / f"{number}.png")


@posix
def test_images_come_through_the_object_store_once_where_a_node_has_others(four_nodes, tmp_path, accident, metrics):
    there, other = four_nodes
    data = Data(name="folder:~/images", per_class=20, test_per_class=10)
    (gate := tmp_path / "gate").write_text(other)  # all but the first wait until one of them is on that node
    made = [accident("images", seed=i, gate=str(gate) if i else "") for i in range(12)]
    runs = [run.model_copy(update={"data": data}) for run in made]
    puts, put = [], cluster._put
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_put", lambda ray, images: puts.append(images) or put(ray, images))
        found = {
            run.key: out for run, out in sweep.execute(runs, Store(tmp_path / "set"), device="cpu", ray=there.address)
        }
    assert puts == [("folder:~/images", None, None)]
    brought = [run for run in runs if built(run)[0][0] == other]
    assert 0 < len(brought) < len(runs)
    prints = {found[run.key]["provenance"]["fingerprint"] for run in runs}
    assert prints == {datasets.load("folder:~/images").fingerprint}
    here = [out for _, out in sweep.execute(brought[:1], Store(tmp_path / "here"), workers=1, device="cpu")]
    assert metrics(found[brought[0].key]) == metrics(here[0])


@posix
def test_a_worker_and_a_node_are_killed_and_one_joins(four_nodes, tmp_path, accident, metrics):
    """Nothing is lost, nothing recorded is repeated, and the node that joined carries out runs."""
    there, _ = four_nodes
    store, gate = Store(tmp_path / "there"), tmp_path / "gate"
    runs = [accident("struck", seed=i, seconds=0.5, gate=str(gate) if i > 14 else "") for i in range(24)]
    recorded_before, joined = [], []

    def working() -> list[str]:
        return [b[-1][1] for one in runs if one.key not in recorded_before and (b := built(one))]

    for count, (run, outcome) in enumerate(sweep.execute(runs, store, device="cpu", ray=there.address), 1):
        assert outcome["status"] == "done" and run.key not in recorded_before
        recorded_before.append(run.key)
        if count == 3:  # while others are under way
            assert wait_for(working)  # those that were handed over ahead begin without the driver
            os.kill(int(working()[-1]), signal.SIGKILL)
        if count == 6:
            there.remove_node(next(iter(there.worker_nodes)), allow_graceful=False)
            joined.append(added(there).node_id)
            gate.write_text(joined[0])  # the last runs wait until one of them is on that node
    again = sum(len(built(run)) - 1 for run in runs)
    assert len(recorded_before) == len(runs) and again <= 4
    assert any(node in joined for run in runs for node, _ in built(run))
    here = [out for _, out in sweep.execute(runs[:1], Store(tmp_path / "here"), workers=1, device="cpu")]
    assert metrics(store.load(runs[0].key)) == metrics(here[0])
