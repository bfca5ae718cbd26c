"""A sweep does what is missing, gives the same numbers anywhere, and outlives the accidents of its runs."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import psutil
import pytest
import torch

from nbhelpers import progress
from nbhelpers.errors import RunError
from nbhelpers.models import MLP, Custom
from nbhelpers.records import Store
from nbhelpers.sweep import Failure, default_workers, execute, missing
from nbhelpers.workers import LOST_TWICE

posix = pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
NETS = '''
"""Nets with accidents; the file `attempts` gets a byte each time one is built."""

import os
import signal
import time

from torch import nn


class TwoWords(Exception):  # cannot be unpickled: __init__ needs more than pickle passes
    def __init__(self, first, second):
        super().__init__(first + second)


def fail(kind, text):
    raise {"two": lambda: TwoWords(text, ""), "exit": lambda: SystemExit(text)}.get(kind, lambda: TimeoutError(text))()


def net(shape, classes, attempts, deaths=0, naps=0, interrupts=0, error="", kind=""):
    with open(attempts, "ab") as file:
        file.write(b".")
    number = os.path.getsize(attempts)
    if number <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if number <= interrupts:
        os.kill(os.getpid(), signal.SIGINT)
    if number <= naps:
        time.sleep(300)
    if kind:
        fail(kind, error)
    if error:
        raise RuntimeError(error)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
'''
DRIVER = """
import json
import os
import signal
import sys
import time

from nbhelpers.records import Store
from nbhelpers.run import Run
from nbhelpers.sweep import execute

gate = os.environ.get("GATE")  # a worker, which imports this file first, waits for that file
while __name__ != "__main__" and gate and not os.path.exists(gate):
    time.sleep(0.05)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runs = [Run(**fields) for fields in json.loads(sys.argv[2])]
    for _ in execute(runs, Store(sys.argv[1]), workers=2, device="cpu"):
        pass
"""


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    """A folder from which this process and its workers can import."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "nets_with_accidents.py").write_text(NETS)
    (folder / "driver_of_two_workers.py").write_text(DRIVER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        yield folder


@pytest.fixture(scope="module")
def accident(module_folder, make_run):
    """``accident("name", deaths=1)``: a run whose net has accidents when it is built."""

    def make(name: str, seed: int = 0, **kwargs):
        attempts = module_folder / f"{name}.attempts"
        model = Custom(target="nets_with_accidents:net", kwargs={"attempts": str(attempts), **kwargs})
        return make_run(model=model, seed=seed)

    return make


def attempts(run) -> int:
    path = run.model.kwargs["attempts"]
    return os.path.getsize(path) if os.path.exists(path) else 0


def here(runs, store, **options):
    """Execute in this process; key -> outcome."""
    return {run.key: outcome for run, outcome in execute(runs, store, workers=1, device="cpu", **options)}


def content(store: Store) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.path("x").parent.glob("*")}


@pytest.fixture(scope="module")
def grid(make_run):
    """Two arms with two seeds."""
    probes = ["gradient_norms@1", "activation_slopes@1"]
    arms = [MLP(hidden=(6,), activation=activation) for activation in ("relu", "sigmoid")]
    return [make_run(model=arm, seed=seed, probes=probes) for arm in arms for seed in (0, 1)]


def test_an_outcome_is_the_record_that_was_written(tmp_path, grid):
    store = Store(tmp_path)
    outcomes = here(grid, store)
    assert set(outcomes) == {run.key for run in grid}
    assert all(store.load(key) == outcome for key, outcome in outcomes.items())


def test_a_record_is_on_disk_when_its_run_is_yielded(tmp_path, grid):
    store = Store(tmp_path)
    for run, _ in execute(grid, store, workers=1, device="cpu"):
        assert store.load(run.key) is not None


def test_the_same_runs_again_give_the_same_numbers(tmp_path, grid, metrics):
    first, second = (here(grid, Store(tmp_path / name)) for name in "ab")
    assert {key: metrics(record) for key, record in first.items()} == {
        key: metrics(record) for key, record in second.items()
    }
    assert len({record["final"]["train_loss"] for record in first.values()}) == 4


def test_recorded_runs_are_not_repeated(tmp_path, grid):
    store = Store(tmp_path)
    here(grid, store)
    before = content(store)
    assert here(grid, store) == {}
    assert content(store) == before


def test_adding_an_arm_or_a_seed_changes_no_earlier_record(tmp_path, grid, make_run):
    store = Store(tmp_path)
    here(grid[:1], store)
    before = content(store)
    added = [make_run(model=MLP(hidden=(7,))), *grid]
    assert set(here(added, store)) == {run.key for run in added} - {grid[0].key}
    assert before.items() <= content(store).items()


def test_a_run_gives_the_same_numbers_alone_and_among_others(tmp_path, grid, metrics):
    among = here(grid, Store(tmp_path / "among"))
    alone = here(grid[2:3], Store(tmp_path / "alone"))
    assert metrics(alone[grid[2].key]) == metrics(among[grid[2].key])


def test_fresh_does_everything_again(tmp_path, grid):
    store = Store(tmp_path)
    here(grid, store)
    assert set(here(grid, store, fresh="all")) == {run.key for run in grid}


def test_runs_that_lack_a_probe_are_done_again_where_that_is_asked(tmp_path, grid, metrics):
    store = Store(tmp_path)
    before = here(grid, store)
    wanted = [grid[0].model_copy(update={"probes": ("dead_units_by_epoch@1",)}), *grid[1:]]
    assert here(wanted, store) == {}
    after = here(wanted, store, fresh="probes")
    assert set(after) == {grid[0].key} and "dead_units_by_epoch@1" in store.load(grid[0].key)["probes"]
    assert metrics(after[grid[0].key]) | {"probes": 0} == metrics(before[grid[0].key]) | {"probes": 0}
    assert here(wanted, store, fresh="probes") == {}


@pytest.mark.parametrize("damage", [b"", b"\xff\x00garbage", b'{"key": "half'])
def test_a_garbled_record_is_redone(tmp_path, grid, metrics, damage):
    store, run = Store(tmp_path), grid[0]
    before = here(grid[:2], store)
    store.path(run.key).write_bytes(damage)
    assert list(here(grid[:2], store)) == [run.key]
    assert metrics(store.load(run.key)) == metrics(before[run.key])


def test_runs_are_carried_out_seed_by_seed(tmp_path, grid):
    assert [run.seed for run in grid] == [0, 1, 0, 1]
    assert list(here(grid, Store(tmp_path))) == [grid[0].key, grid[2].key, grid[1].key, grid[3].key]


def test_one_run_under_two_labels_is_carried_out_once(tmp_path, make_run):
    twice = [make_run(labels={"arm": arm}) for arm in ("a", "b")]
    assert missing(twice, Store(tmp_path)) == [twice[1]]
    assert len(here(twice, Store(tmp_path))) == 1


def test_a_failing_run_is_a_failure_and_the_others_finish(tmp_path, accident, grid):
    store, bad = Store(tmp_path), accident("fails_here", error="no net\ntoday")
    outcomes = here([bad, *grid], store)
    assert outcomes.pop(bad.key) == Failure(bad, "RuntimeError: no net today")
    assert all(outcome["status"] == "done" for outcome in outcomes.values())
    assert len(outcomes) == 4
    assert store.load(bad.key) is None


def test_a_failed_run_is_tried_again_by_the_next_execution(tmp_path, accident):
    store, bad = Store(tmp_path), accident("fails_twice", error="no")
    for expected in (1, 2):
        assert isinstance(here([bad], store)[bad.key], Failure)
        assert attempts(bad) == expected


def test_a_precision_that_is_not_there_is_a_failure_in_one_line(tmp_path, make_run):
    run = make_run(precision="fp16")
    reason = here([run], Store(tmp_path))[run.key].reason
    assert reason == "precision: 'fp16': a CPU has fp32 and bf16; fp16 needs a GPU"


def test_a_full_disk_ends_the_sweep_and_keeps_what_is_written(tmp_path, grid, monkeypatch):
    store, replace, written = Store(tmp_path), os.replace, []

    def full_after_two(old, new):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(new)
        replace(old, new)

    monkeypatch.setattr(os, "replace", full_after_two)
    with pytest.raises(OSError, match="No space left"):
        here(grid, store)
    assert len(content(store)) == 2
    assert len(missing(grid, store)) == 2


def test_a_folder_that_is_moved_ends_the_sweep_and_nothing_is_written_where_it_was(tmp_path, grid):
    store = Store(tmp_path / "set")
    with pytest.raises(RunError, match="was moved or removed meanwhile"):
        for number, _ in enumerate(execute(grid, store, workers=1, device="cpu")):
            if number == 1:
                store.folder.rename(tmp_path / "moved")
    assert not store.folder.exists()
    moved = Store(tmp_path / "moved")
    assert len(missing(grid, moved)) == 2
    assert len(here(grid, moved)) == 2


def test_a_damaged_record_is_named_when_it_is_done_again(tmp_path, grid, capsys):
    store, options = Store(tmp_path), {"device": "cpu", "workers": 1, "fresh": "", "save": lambda: None}
    progress.carry_out(grid, store, **options)
    assert "damaged" not in capsys.readouterr().out
    store.path(grid[0].key).write_text("{")
    progress.carry_out(grid, store, **options)
    assert f"damaged, or of another version, and done again: {grid[0].key}.json\n" in capsys.readouterr().out


def test_a_log_has_a_line_for_each_run_and_a_person_sees_one_bar(tmp_path, grid, capsys, monkeypatch):
    options = {"device": "cpu", "workers": 1, "fresh": "", "save": lambda: None}
    progress.carry_out(grid, Store(tmp_path / "log"), **options)
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in lines] == [f"[{i}/{len(grid)}]" for i in range(1, len(grid) + 1)]
    monkeypatch.setattr(progress, "_watched", lambda: True)
    progress.carry_out(grid, Store(tmp_path / "seen"), **options)
    _, bar = capsys.readouterr().out.split("\n")  # no line ends after that of the cost
    states = bar.split("\r")[1:]
    assert [state.split()[1] for state in states] == [f"{i}/{len(grid)}" for i in range(len(grid) + 1)]
    assert all(len(state.split()[0]) == progress.BAR for state in states)
    assert sorted(map(len, states)) == list(map(len, states))  # none leaves an end of the one before
    assert states[0].startswith("░" * progress.BAR) and states[-1].startswith("█" * progress.BAR)


@pytest.mark.parametrize("asks", [True, False])
def test_a_front_end_that_can_be_asked_is_one_with_a_person(monkeypatch, asks):
    kernel = types.SimpleNamespace(_allow_stdin=asks)
    shell = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=kernel))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert progress._watched() is asks
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not progress._watched()


def test_the_number_of_threads_is_restored_also_when_a_sweep_is_left_early(tmp_path, grid):
    torch.set_num_threads(2)
    try:
        outcomes = execute(grid, Store(tmp_path), workers=1, device="cpu")
        assert next(outcomes)[1]["provenance"]["threads"] == 1
        outcomes.close()
        assert torch.get_num_threads() == 2
        with Store(tmp_path).lock().acquire(timeout=0.1):
            pass
    finally:
        torch.set_num_threads(1)


def test_a_second_execution_waits_and_then_finds_the_records_of_the_first(tmp_path, grid):
    done, store, outcomes = Store(tmp_path / "done"), Store(tmp_path / "set"), []
    here(grid, done)
    with store.lock():
        second = threading.Thread(target=lambda: outcomes.append(here(grid, store)))
        second.start()
        time.sleep(0.3)
        for run in grid:
            store.save(done.load(run.key))
    second.join(30)
    assert outcomes == [{}]


def test_nothing_to_do_starts_no_worker(tmp_path, grid):
    store = Store(tmp_path)
    here(grid, store)
    assert list(execute(grid, store, workers=2, device="cpu", limit=60)) == []
    assert list(execute([], store, workers=0, device="cpu")) == []


def test_a_worker_for_each_core_but_one_on_a_gpu(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert default_workers("cpu") == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_workers("auto") == 1


def kept(store: Store) -> dict[str, bytes]:
    """Run key -> the bytes of its weights."""
    return {path.stem: path.read_bytes() for path in (store.folder / "weights").glob("*.safetensors")}


def test_weights_are_kept_on_request_and_give_the_recorded_accuracies(tmp_path, grid, reloaded):
    store = Store(tmp_path)
    outcomes = here(grid, store, weights=True)
    assert set(kept(store)) == {run.key for run in grid} and len(set(kept(store).values())) == 4
    for run in grid:
        found = reloaded(run, tmp_path / "weights")
        assert (found.accuracy, found.loss) == tuple(
            outcomes[run.key]["final"][f"test_{n}"] for n in ("accuracy", "loss")
        )


def test_without_the_request_no_weights_are_kept(tmp_path, grid):
    here(grid, Store(tmp_path))
    assert not (tmp_path / "weights").exists()


def test_recorded_runs_are_not_repeated_for_their_weights(tmp_path, grid):
    store = Store(tmp_path)
    here(grid[:1], store)
    before = content(store)
    assert set(here(grid, store, weights=True)) == set(kept(store)) == {run.key for run in grid[1:]}
    assert before.items() <= content(store).items()
    assert set(here(grid, store, weights=True, fresh="all")) == set(kept(store)) == {run.key for run in grid}


def test_a_failed_run_leaves_no_weights(tmp_path, accident):
    store, bad = Store(tmp_path), accident("fails_without_weights", error="no")
    assert isinstance(here([bad], store, weights=True)[bad.key], Failure)
    assert kept(store) == {}


@pytest.mark.slow
def test_two_workers_keep_the_weights_that_this_process_keeps(tmp_path, grid, reloaded):
    ours, theirs = Store(tmp_path / "here"), Store(tmp_path / "workers")
    here(grid, ours, weights=True)
    outcomes = list(execute(grid, theirs, workers=2, device="cpu", weights=True))
    assert kept(theirs) == kept(ours) and len(kept(theirs)) == len(outcomes) == 4
    for run, record in outcomes:
        assert reloaded(run, theirs.folder / "weights").accuracy == record["final"]["test_accuracy"]


@pytest.fixture(scope="module")
def pooled(tmp_path_factory, accident, grid):
    """One execution by two workers, with accidents: the runs by name, and (store, key -> outcome)."""
    store = Store(tmp_path_factory.mktemp("pooled"))
    runs = {f"grid {i}": run for i, run in enumerate(grid)}
    runs["fails"] = accident("fails", error="no net today")
    runs["dies once"] = accident("dies_once", deaths=1)
    runs["dies twice"] = accident("dies_twice", deaths=2)
    runs["gets Ctrl-C"] = accident("gets_ctrl_c", interrupts=9)
    order = ["fails", "dies twice", "dies once", "gets Ctrl-C", *(f"grid {i}" for i in range(4))]
    outcomes = execute([runs[name] for name in order], store, workers=2, device="cpu")
    return runs, store, {run.key: outcome for run, outcome in outcomes}


@posix
@pytest.mark.slow
def test_two_workers_give_the_numbers_of_this_process(tmp_path, pooled, grid, metrics):
    _, store, outcomes = pooled
    expected = here(grid, Store(tmp_path))
    for run in grid:
        assert metrics(outcomes[run.key]) == metrics(expected[run.key])
        assert store.load(run.key) == outcomes[run.key]
        assert outcomes[run.key]["provenance"]["threads"] == 1


@posix
@pytest.mark.slow
def test_a_failing_run_in_a_worker_is_a_failure(pooled):
    runs, store, outcomes = pooled
    assert outcomes[runs["fails"].key] == Failure(runs["fails"], "RuntimeError: no net today")
    assert store.load(runs["fails"].key) is None


@posix
@pytest.mark.slow
def test_a_run_whose_worker_is_killed_is_tried_once_more(tmp_path, pooled, metrics):
    runs, _, outcomes = pooled
    run = runs["dies once"]
    assert attempts(run) == 2
    assert outcomes[run.key]["status"] == "done"
    assert metrics(outcomes[run.key]) == metrics(here([run], Store(tmp_path))[run.key])


@posix
@pytest.mark.slow
def test_a_run_that_kills_its_worker_twice_is_a_failure(pooled):
    runs, store, outcomes = pooled
    assert attempts(runs["dies twice"]) == 2
    assert outcomes[runs["dies twice"].key] == Failure(runs["dies twice"], LOST_TWICE)
    assert store.load(runs["dies twice"].key) is None


@posix
@pytest.mark.slow
def test_a_worker_leaves_ctrl_c_to_its_driver(pooled):
    runs, _, outcomes = pooled
    assert attempts(runs["gets Ctrl-C"]) == 1
    assert outcomes[runs["gets Ctrl-C"].key]["status"] == "done"


@posix
@pytest.mark.slow
def test_every_run_has_one_outcome_whatever_happened_to_the_others(pooled):
    runs, _, outcomes = pooled
    assert set(outcomes) == {run.key for run in runs.values()}


@posix
@pytest.mark.slow
def test_a_run_over_the_limit_is_a_failure_and_the_next_one_finishes(tmp_path, accident, make_run):
    slow, quick = accident("naps", naps=9), make_run(seed=1)
    finished = execute([slow, quick], Store(tmp_path), workers=1, device="cpu", limit=5)
    outcomes = {run.key: outcome for run, outcome in finished}
    assert outcomes[slow.key] == Failure(slow, "took longer than the limit of 5 seconds")
    assert outcomes[quick.key]["status"] == "done"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_no_kind_of_error_of_a_run_stops_the_others(tmp_path, accident, grid, workers):
    bad = [accident(f"{kind}_{workers}", error="no net", kind=kind) for kind in ("exit", "timeout", "two")]
    finished = execute([*bad, *grid], Store(tmp_path), workers=workers, device="cpu")
    outcomes = {run.key: outcome for run, outcome in finished}
    assert ["no net" in outcomes[run.key].reason for run in bad] == [True] * 3
    assert [outcomes[run.key]["status"] for run in grid] == ["done"] * 4


def wait_for(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def drive(module_folder):
    """``drive(runs, store)`` starts a driver process with two workers, in a process group of its own."""
    started = []

    def start(runs, store: Store, gate: str = "") -> subprocess.Popen:
        fields = json.dumps([run.model_dump(mode="json") for run in runs])
        command = [sys.executable, str(module_folder / "driver_of_two_workers.py"), str(store.folder), fields]
        options = {"env": os.environ | {"GATE": gate}, "start_new_session": True, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for driver in started:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(30)


@posix
@pytest.mark.slow
def test_workers_end_when_their_driver_is_killed(tmp_path, drive, accident):
    store, naps = Store(tmp_path), [accident(f"orphan_{i}", naps=9) for i in range(2)]
    driver = drive(naps, store)
    assert wait_for(lambda: all(attempts(run) for run in naps))
    workers = psutil.Process(driver.pid).children(recursive=True)
    assert len(workers) >= 2
    driver.kill()
    assert wait_for(lambda: all(map(gone, workers)), 20)
    with store.lock().acquire(timeout=5):
        pass


@posix
@pytest.mark.slow
def test_workers_end_when_their_driver_is_killed_while_they_start(tmp_path, drive, accident):
    naps, gate = [accident(f"early_orphan_{i}", naps=9) for i in range(2)], tmp_path / "gate"
    driver = psutil.Process(drive(naps, Store(tmp_path / "set"), str(gate)).pid)
    assert wait_for(lambda: len(driver.children()) >= 3)  # two workers and multiprocessing's tracker
    time.sleep(1)  # the runs are handed out meanwhile
    workers = driver.children()
    driver.kill()
    gate.touch()
    try:
        wait_for(lambda: all(map(gone, workers)) or any(map(attempts, naps)))
        assert wait_for(lambda: all(map(gone, workers)), 5)
    finally:
        for worker in workers:
            if not gone(worker):
                worker.kill()


@posix
@pytest.mark.slow
def test_an_interrupted_sweep_leaves_no_process_and_is_completed_without_repeating_a_run(
    tmp_path, drive, accident, grid, metrics
):
    store, nap = Store(tmp_path / "interrupted"), accident("interrupted", naps=1, seed=2)
    driver = drive([*grid, nap], store)
    assert wait_for(lambda: attempts(nap) and not missing(grid, store))
    workers = psutil.Process(driver.pid).children(recursive=True)
    os.killpg(driver.pid, signal.SIGINT)  # what Ctrl-C sends: to the driver and to its workers
    assert driver.wait(30) != 0
    assert wait_for(lambda: all(map(gone, workers)), 20)
    assert missing([*grid, nap], store) == [nap]

    before = content(store)
    assert list(here([*grid, nap], store)) == [nap.key]
    assert before.items() <= content(store).items()
    uninterrupted = here([*grid, nap], Store(tmp_path / "uninterrupted"))
    for run in (*grid, nap):
        assert metrics(store.load(run.key)) == metrics(uninterrupted[run.key])


def test_what_a_killed_writer_left_is_removed_and_records_are_not(make_run, tmp_path):
    store, run = Store(tmp_path), make_run()
    list(execute([run], store, workers=1, device="cpu"))
    left = tmp_path / "runs" / f".{run.key}.json.a1b2c3"
    left.write_text('{"key"')
    assert list(execute([run], store, workers=1, device="cpu")) == []
    assert not left.exists() and store.load(run.key)
