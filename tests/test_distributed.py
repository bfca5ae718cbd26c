"""Two processes train as one would with the same whole batch."""

import copy
import json
import os
import subprocess
import sys
import time

import pytest
import torch

from nbhelpers import distributed, launch, sweep
from nbhelpers.device import DeviceError, check_compiled, compiled
from nbhelpers.distributed import World
from nbhelpers.errors import InputError
from nbhelpers.mixing import Targets
from nbhelpers.models import MLP, ConvNet, ResNet
from nbhelpers.perform import perform
from nbhelpers.records import Store

GROUPED = ConvNet(channels=[4, 6], norm={"name": "group", "groups": 2}, pool=(1,))
GROUPED_RESNET = ResNet(stem=4, widths=(4, 6), blocks=(1, 2), norm={"name": "group", "groups": 2})


@pytest.mark.parametrize(("count", "size"), [(64, 2), (7, 2), (10, 4), (8, 8)])
def test_the_parts_of_a_batch_make_it_up_and_their_weights_average_to_1(count, size):
    x, y = torch.arange(count).float()[:, None], torch.arange(count)
    worlds = [World(rank, size) for rank in range(size)]
    parts = [world.part(x, y) for world in worlds]
    assert torch.equal(torch.cat([part for part, _ in parts]), x) and torch.equal(torch.cat([y for _, y in parts]), y)
    means = [part.mean() * world.weight(count) for (part, _), world in zip(parts, worlds, strict=True)]
    assert sum(means) / size == pytest.approx(x.mean())


def test_the_parts_of_mixed_targets_keep_their_weights():
    labels, weights = torch.arange(12).reshape(2, 6), torch.tensor([0.3, 0.7])
    _, part = World(1, 2).part(torch.zeros(6, 1), Targets(labels, weights))
    assert part.labels.tolist() == [[3, 4, 5], [9, 10, 11]] and part.weights is weights


def test_a_batch_smaller_than_the_number_of_processes_is_refused():
    World(0, 4).check(64, 16)
    with pytest.raises(InputError, match="batch_size: 16: of 50 images it leaves a batch of 2, fewer than the 4 proc"):
        World(0, 4).check(50, 16)


def test_sync_batchnorm_on_a_cpu_is_one_line():
    with pytest.raises(InputError, match="sync_batchnorm: torch has it for GPUs only"):
        distributed.synchronised(torch.nn.BatchNorm2d(3), torch.device("cpu"))


@pytest.mark.parametrize("layer", [torch.nn.Dropout(0.5), torch.nn.Dropout2d(0.3), torch.nn.AlphaDropout(0.2)], ids=str)
def test_each_process_takes_its_part_of_the_masks_that_one_would_draw(layer):
    x, parts = torch.rand(7, 3, 2, 2), []
    torch.manual_seed(0)
    whole = [layer(x), layer(x)]
    for rank in range(3):
        world, net = World(rank, 3), torch.nn.Sequential(copy.deepcopy(layer))
        world.draw_whole_masks(net)
        torch.manual_seed(0)
        mine, _ = world.part(x, x)
        parts.append([net(mine), net(mine)])
        assert torch.equal(net.eval()(x), x) and torch.equal(net.eval()(mine), mine)
    for drawn, shared in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(shared), drawn)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        (GROUPED, {"mixing": "ricap"}),
        (GROUPED_RESNET, {}),
        (GROUPED_RESNET.model_copy(update={"norm": "none"}), {"lr": 0.01}),
        pytest.param(GROUPED_RESNET.model_copy(update={"dropout": 0.5}), {}, marks=pytest.mark.slow_all),
        (GROUPED_RESNET.model_copy(update={"dropout": 0.5}), {"sam": 0.05, "steps_per_epoch": 3}),
    ],
    ids=["ricap", "ResNet", "without norms", "dropout", "SAM and dropout"],
)
def test_two_processes_have_the_losses_of_one(make_run, model, recipe):
    """Of nets without BatchNorm, which looks at a batch: here it is normalised by group, or not at all."""
    data = dict(make_run().data) | {"augment": ("crop", "flip"), "per_class": 17}  # 51 images: the last batch is uneven
    run = make_run(model=model, data=data, epochs=3, **recipe)
    one, two = perform(run, "cpu", threads=1), launch.together(run, 2, "cpu")
    for mine, theirs in zip(one["history"], two["history"], strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-5)
        assert theirs["train_accuracy"] == pytest.approx(mine["train_accuracy"])
    assert two["final"]["test_loss"] == pytest.approx(one["final"]["test_loss"], rel=1e-5)
    assert two["provenance"]["processes"] == 2 and "processes" not in one["provenance"]


@pytest.mark.slow
def test_a_sweep_splits_each_run_and_a_failure_is_one_line(make_run, tmp_path):
    good, bad = make_run(model=MLP(hidden=(4,))), make_run(model=MLP(hidden=(4,)), batch_size=59, seed=1)
    outcomes = sweep.execute([good, bad], Store(tmp_path), device="cpu", processes=2)
    (_, record), (_, failure) = outcomes
    assert record["provenance"]["processes"] == 2 and Store(tmp_path).load(good.key)
    assert failure.reason.startswith("processes: 2: ")  # as a RunError says it
    assert failure.reason.endswith("it leaves a batch of 1, fewer than the 2 processes")
    assert "\n" not in failure.reason


@pytest.mark.slow
def test_no_process_outlives_its_driver(make_run, tmp_path):
    """The driver is killed while two processes train together."""
    script = tmp_path / "driver.py"
    script.write_text(
        "import sys\nfrom nbhelpers import launch\nfrom nbhelpers.run import Run\n"
        "if __name__ == '__main__':\n    launch.together(Run(**__import__('json').loads(sys.argv[1])), 2, 'cpu')\n"
    )
    run = make_run(model=MLP(hidden=(4,)), epochs=10**6)
    driver = subprocess.Popen([sys.executable, script, run.model_dump_json()], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(members := children(driver.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    driver.kill()
    driver.wait()
    while any(map(alive, members)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(members) >= 2 and not any(map(alive, members))


def children(pid: int) -> list[int]:
    if not os.path.exists("/proc/self/stat"):
        pytest.skip("finds processes in /proc, which this system does not have")  # Linux has it
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:  # it ended meanwhile
            continue
        found += [int(entry)] if parent == pid else []
    return found


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_how_a_net_may_be_compiled():
    net, cpu = torch.nn.Linear(2, 2), torch.device("cpu")
    assert compiled(net, "no") is net and compiled(net, "cuda-graphs") is net
    check_compiled("default", cpu)
    for how in ("cuda-graphs", "both"):
        check_compiled(how, torch.device("cuda"))
        with pytest.raises(DeviceError, match=f"compiled: '{how}': CUDA graphs need a GPU; use no or default"):
            check_compiled(how, cpu)
    for limits, why in (({"precision": "fp16"}, "fp16"), ({"processes": 4}, "4 processes")):
        check_compiled("default", cpu, **limits)
        with pytest.raises(DeviceError, match=f"compiled: 'both': no CUDA graphs with {why}; use no or default"):
            check_compiled("both", torch.device("cuda"), **limits)
    with pytest.raises(DeviceError, match="compiled: 'yes': must be no, default, cuda-graphs or both"):
        check_compiled("yes", cpu)


def test_a_process_that_has_compiled_many_nets_compiles_the_next_one_too(monkeypatch):
    """Past its limit of versions torch runs a net as it is; a worker carries out many runs."""
    made = []

    def count(graph, inputs):
        made.append(graph)
        return graph.forward

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, **options: compile_(net, backend=count, **options))
    for number in range(1, 13):
        compiled(torch.nn.Linear(2, 2), "default")(torch.ones(number, 2))
        assert len(made) == number


@pytest.mark.slow
@pytest.mark.parametrize("model", [GROUPED, ResNet(stem=4, widths=(4, 6), blocks=(1, 1))])
def test_a_compiled_run_is_recorded_as_such_and_ends_about_the_same(make_run, monkeypatch, model):
    # The graph is captured and differentiated as for a GPU; code for it is not generated, which takes minutes here.
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, **_: compile_(net, backend="aot_eager"))
    run = make_run(model=model)
    plain, record = perform(run, "cpu", threads=1), perform(run, "cpu", threads=1, compiled="default")
    assert record["provenance"]["compiled"] == "default" and record["key"] == plain["key"]
    assert record["final"]["train_loss"] == pytest.approx(plain["final"]["train_loss"], rel=1e-4)
    json.dumps(record)
