"""One run from its spec to its record."""

import json
import time

import pytest
import torch
from safetensors.torch import load_file

import nbhelpers
from nbhelpers import perform as performing
from nbhelpers import probes, records, tensors, train
from nbhelpers.device import DeviceError
from nbhelpers.errors import InputError
from nbhelpers.launch import attempt
from nbhelpers.models import MLP, ConvNet
from nbhelpers.models.initialise import build
from nbhelpers.perform import finite, perform
from nbhelpers.run import VERSION, Data

PROBES = ("gradient_norms@1", "activation_slopes@1", "recalibrated_batchnorm@2", "gradient_norms_by_epoch@1")
CONVNET = ConvNet(channels=[4, 6], pool=(1,))


def strict_json(record: dict) -> str:
    return json.dumps(record, allow_nan=False)  # raises where the text would hold NaN or Infinity


def test_a_record_says_what_ran_and_what_came_out(make_run):
    run = make_run(model=CONVNET, labels={"blocks": 2})
    record = perform(run, "cpu", threads=1)
    assert (record["key"], record["version"], record["status"]) == (run.key, VERSION, "done")
    assert record["run"] == run.canonical()
    assert "labels" not in strict_json(record)
    final = record["final"]
    assert {name: final[name] for name in ("parameters", "epochs", "train_images", "test_images", "classes")} == {
        "parameters": 4 * 27 + 4 + 8 + 6 * 36 + 6 + 12 + 21,
        "epochs": 2,
        "train_images": 60,
        "test_images": 30,
        "classes": 3,
    }
    assert final["train_loss"] == record["history"][-1]["train_loss"]
    assert final["train_accuracy"] == record["history"][-1]["train_accuracy"]
    assert [row["epoch"] for row in record["history"]] == [1, 2]


def test_the_final_numbers_are_those_of_the_loop_and_its_evaluation(make_run, small_data):
    run = make_run(model=CONVNET, seed=2, epochs=3)
    record = perform(run, "cpu", threads=1)
    images, test, _ = tensors.load(small_data, 2)
    net = build(CONVNET, (3, 8, 8), 3, seed=2)
    history = train.fit(net, images, recipe=run.recipe, seed=2)
    result = train.evaluate(net, test.to(torch.device("cpu"), torch.channels_last))
    assert [row["train_loss"] for row in record["history"]] == [row["train_loss"] for row in history]
    assert record["final"]["test_loss"] == result.loss
    assert record["final"]["test_accuracy"] == result.accuracy
    assert records.unpack(record["correct"], 30).tolist() == result.correct.tolist()
    assert 100 * result.correct.sum() / 30 == pytest.approx(result.accuracy)


def test_provenance_says_where_and_with_what(make_run, small_data):
    provenance = perform(make_run(), "cpu", threads=1)["provenance"]
    assert provenance["device"] == "cpu"
    assert provenance["threads"] == 1
    assert provenance["fingerprint"] == tensors.load(small_data, 0)[2].fingerprint
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["versions"]["nbhelpers"] == nbhelpers.__version__
    assert provenance["finished"].endswith("+00:00")


def test_a_record_does_not_depend_on_what_ran_before(make_run, metrics):
    first, other = make_run(model=CONVNET), make_run(model=MLP(hidden=(5,)), seed=3)
    alone = perform(first, "cpu", threads=1)
    torch.manual_seed(99)
    perform(other, "cpu", threads=1)
    assert metrics(perform(first, "cpu", threads=1)) == metrics(alone)


def test_a_record_does_not_depend_on_a_net_that_begins_with_its_activation(make_run, metrics):
    run = make_run(model=MLP(hidden=()))
    performing._load.cache_clear()
    alone = perform(run, "cpu", threads=1)
    try:
        perform(make_run(model=ConvNet(channels=[4], order="activation-conv-norm")), "cpu", threads=1)
        assert metrics(perform(run, "cpu", threads=1)) == metrics(alone)
    finally:
        performing._load.cache_clear()


def test_probes_change_no_result(make_run, metrics):
    every = tuple(name for name in probes.registry._PROBES if name != "equal_gain@2")  # that one is of MLPs
    plain = metrics(perform(make_run(model=CONVNET), "cpu", threads=1))
    probed = metrics(perform(make_run(model=CONVNET, probes=every), "cpu", threads=1))
    assert set(probed.pop("probes")) == set(every)
    assert plain.pop("probes") == {}
    assert probed == plain


def test_probes_are_recorded_for_the_moments_they_measure(make_run):
    record = perform(make_run(model=CONVNET, probes=PROBES), "cpu", threads=1)
    moments = {name: list(measured) for name, measured in record["probes"].items()}
    assert moments == {
        "gradient_norms@1": ["initial", "final"],
        "activation_slopes@1": ["initial", "final"],
        "recalibrated_batchnorm@2": ["final"],
        "gradient_norms_by_epoch@1": ["initial", "epoch"],
    }
    norms = record["probes"]["gradient_norms@1"]
    assert set(norms["initial"]) == {"block1.conv", "block2.conv", "linear"}
    assert norms["initial"] != norms["final"]


def test_an_epoch_of_a_probe_is_what_a_run_of_that_many_epochs_ends_with(make_run):
    names = ("gradient_norms@1", "gradient_norms_by_epoch@1", "dead_units_by_epoch@1")
    whole = perform(make_run(model=CONVNET, epochs=3, probes=names), "cpu", threads=1)["probes"]
    first = perform(make_run(model=CONVNET, epochs=3, stop_after=1, probes=names), "cpu", threads=1)["probes"]
    norms = whole["gradient_norms_by_epoch@1"]
    assert len(norms["epoch"]) == len(whole["dead_units_by_epoch@1"]["epoch"]) == 3
    assert norms["initial"] == whole["gradient_norms@1"]["initial"]
    assert norms["epoch"][:1] == first["gradient_norms_by_epoch@1"]["epoch"] == [first["gradient_norms@1"]["final"]]
    assert norms["epoch"][2] == whole["gradient_norms@1"]["final"] != norms["epoch"][1]


def test_an_unknown_probe_is_one_clear_error(make_run):
    with pytest.raises(ValueError, match=r"probes: 'gradients': known are activation_slopes@1"):
        perform(make_run(probes=["gradients"]), "cpu", threads=1)


def test_divergence_is_a_result_and_its_record_is_valid_json(make_run):
    record = perform(make_run(model=CONVNET, lr=1e30, epochs=4, probes=PROBES), "cpu", threads=1)
    assert record["status"] == "diverged"
    assert record["final"]["epochs"] == len(record["history"]) < 4
    assert record["final"]["train_loss"] in ("nan", "inf")
    assert len(record["probes"]["gradient_norms_by_epoch@1"]["epoch"]) == len(record["history"])
    assert record == json.loads(strict_json(record))


def test_finite_spells_what_json_lacks():
    values = {"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": "nan", "e": 3, "f": None}
    assert finite(values) == {"a": [1.5, "nan"], "b": {"c": "-inf"}, "d": "nan", "e": 3, "f": None}


def test_evaluating_every_epoch_ends_in_the_final_numbers(make_run):
    record = perform(make_run(model=CONVNET, evaluate="epoch", epochs=3), "cpu", threads=1)
    assert [row["test_loss"] for row in record["history"]][-1] == record["final"]["test_loss"]
    assert [row["test_accuracy"] for row in record["history"]][-1] == record["final"]["test_accuracy"]
    assert len({row["test_loss"] for row in record["history"]}) == 3


def test_stopping_early_is_recorded_as_the_epochs_that_ran(make_run, metrics):
    stopped = metrics(perform(make_run(epochs=4, stop_after=2, schedule="cosine"), "cpu", threads=1))
    whole = metrics(perform(make_run(epochs=4, schedule="cosine"), "cpu", threads=1))
    assert stopped["history"] == whole["history"][:2]
    assert stopped["final"]["epochs"] == 2
    assert stopped["status"] == "done"


def test_each_epoch_is_reported(make_run):
    seen = []
    record = perform(make_run(), "cpu", threads=1, on_epoch=lambda row: seen.append(row["epoch"]))
    assert seen == [row["epoch"] for row in record["history"]]


def test_runs_of_an_arm_share_their_images_in_memory_where_they_may(make_run, small_data):
    everything = type(small_data)(**dict(small_data) | {"per_class": None})
    first, second = (performing.load(make_run(data=everything, seed=seed))[0] for seed in (0, 1))
    assert first is second
    own, other = (performing.load(make_run(seed=seed))[0] for seed in (0, 1))
    assert not torch.equal(own.images, other.images)
    validated = type(small_data)(**dict(everything) | {"test_from": "train"})
    own, other = (performing.load(make_run(data=validated, seed=seed))[1] for seed in (0, 1))
    assert not torch.equal(own.images, other.images)


def test_bf16_runs_on_a_cpu(make_run):
    record = perform(make_run(model=CONVNET, precision="bf16"), "cpu", threads=1)
    exact = perform(make_run(model=CONVNET), "cpu", threads=1)
    assert record["status"] == "done"
    assert record["final"]["train_loss"] != exact["final"]["train_loss"]
    assert record["final"]["train_loss"] == pytest.approx(exact["final"]["train_loss"], rel=0.05)


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_a_precision_that_a_cpu_lacks_is_one_clear_error(make_run, precision):
    with pytest.raises(DeviceError, match=f"precision: '{precision}'"):
        perform(make_run(precision=precision), "cpu", threads=1)


def test_a_gpu_that_is_not_there_is_one_clear_error(make_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device: 'cuda': "):
        perform(make_run(), "cuda", threads=1)


@pytest.mark.parametrize(
    "model, message",
    [
        (ConvNet(channels=[6], norm="group"), "groups: 32: does not divide the 6 channels"),
        (ConvNet(channels=[4] * 4, pool=(1, 2, 3, 4)), "nothing is left of 8x8 pixels"),
    ],
)
def test_a_net_that_does_not_fit_the_images_is_one_clear_error(make_run, model, message):
    with pytest.raises(ValueError, match=message):
        perform(make_run(model=model), "cpu", threads=1)


def test_a_last_batch_of_one_value_per_channel_is_one_clear_error(make_run, small_data):
    seven_images_per_class = type(small_data)(**dict(small_data) | {"per_class": 7})
    model = ConvNet(channels=[4] * 4, pool=(1, 2, 3))
    with pytest.raises(ValueError, match="batch_size"):
        perform(make_run(data=seven_images_per_class, model=model, batch_size=4), "cpu", threads=1)


def test_more_images_than_there_are_is_one_clear_error(make_run, small_data):
    data = type(small_data)(**dict(small_data) | {"per_class": 10**6})
    with pytest.raises(ValueError, match=r"per_class: 1000000: class 0 of the train split has only \d+ images"):
        perform(make_run(data=data), "cpu", threads=1)


def test_there_is_no_commit_without_git(monkeypatch):
    import subprocess

    def refuse(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert performing.commit.__wrapped__() == ""


# --------------------------------------------------------------------- weights

GROUPED = ConvNet(channels=[4, 6], norm={"name": "group", "groups": 2}, activation="sigmoid")


@pytest.mark.parametrize("model", [CONVNET, GROUPED, MLP(hidden=(6,))], ids=["batch norm", "group norm", "mlp"])
def test_kept_weights_in_a_net_built_anew_give_the_recorded_accuracy(tmp_path, make_run, reloaded, model):
    run = make_run(model=model, seed=1, epochs=3, probes=PROBES if model is CONVNET else ())
    record = perform(run, "cpu", threads=1, weights=tmp_path / "weights")
    found = reloaded(run, tmp_path / "weights")
    assert (found.accuracy, found.loss) == (record["final"]["test_accuracy"], record["final"]["test_loss"])
    assert found.correct.tolist() == records.unpack(record["correct"], 30).tolist()
    untrained = build(model, (3, 8, 8), 3, seed=run.seed)
    assert train.evaluate(untrained, performing.load(run)[1]).loss != pytest.approx(found.loss, rel=1e-3)


def test_all_parameters_and_statistics_are_kept_and_nothing_else(tmp_path, make_run):
    run = make_run(model=CONVNET)
    perform(run, "cpu", threads=1, weights=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.key}.safetensors"]
    kept, net = load_file(tmp_path / f"{run.key}.safetensors"), build(CONVNET, (3, 8, 8), 3, seed=0)
    assert {name: tuple(value.shape) for name, value in kept.items()} == {
        name: tuple(value.shape) for name, value in net.state_dict().items()
    }
    assert kept["block1.norm.num_batches_tracked"].item() == 2 * 4


def test_keeping_weights_changes_no_result_and_the_same_run_keeps_the_same_bytes(tmp_path, make_run, metrics):
    run = make_run(model=CONVNET)
    plain = metrics(perform(run, "cpu", threads=1))
    folders = [tmp_path / name for name in "ab"]
    assert [metrics(perform(run, "cpu", threads=1, weights=folder)) for folder in folders] == [plain] * 2
    first, second = ((folder / f"{run.key}.safetensors").read_bytes() for folder in folders)
    assert first == second


def test_the_weights_of_a_run_that_diverged_are_kept_too(tmp_path, make_run):
    run = make_run(lr=1e30, epochs=4)
    assert perform(run, "cpu", threads=1, weights=tmp_path)["status"] == "diverged"
    assert not all(value.isfinite().all() for value in load_file(tmp_path / f"{run.key}.safetensors").values())


def test_weights_that_cannot_be_written_are_a_failure_in_one_line(tmp_path, make_run):
    (tmp_path / "weights").write_text("a file")
    reason = attempt(make_run(), "cpu", weights=tmp_path / "weights")
    assert reason.startswith("FileExistsError: ") and "\n" not in reason


@pytest.mark.gpu
def test_weights_from_a_gpu_give_the_recorded_accuracy_on_a_cpu(tmp_path, make_run, reloaded):
    run = make_run(model=CONVNET)
    record = perform(run, "cuda", threads=1, weights=tmp_path)
    assert reloaded(run, tmp_path).loss == pytest.approx(record["final"]["test_loss"], rel=1e-4)


@pytest.mark.gpu
def test_a_gpu_comes_close_to_the_cpu_in_fp32(make_run):
    cpu, gpu = (perform(make_run(model=CONVNET, probes=PROBES), device, threads=1) for device in ("cpu", "cuda"))
    assert gpu["provenance"]["device"] == "cuda"
    assert gpu["key"] == cpu["key"]
    for name in ("train_loss", "test_loss"):
        assert gpu["final"][name] == pytest.approx(cpu["final"][name], rel=1e-3)
    initial = [record["probes"]["gradient_norms@1"]["initial"] for record in (cpu, gpu)]
    assert initial[1] == pytest.approx(initial[0], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_a_gpu_has_every_precision(make_run, precision):
    exact, rounded = (perform(make_run(model=CONVNET, precision=p), "cuda", threads=1) for p in ("fp32", precision))
    assert rounded["status"] == "done"
    assert rounded["final"]["train_loss"] == pytest.approx(exact["final"]["train_loss"], rel=0.2)


def test_an_attempt_that_fails_gives_one_line(make_run, monkeypatch):
    def fail(error: BaseException):
        def perform(*_, **__):
            raise error

        monkeypatch.setattr("nbhelpers.perform.perform", perform)
        return attempt(make_run(), "cpu")

    assert fail(InputError("lr: -1:\n must be above 0")) == "lr: -1: must be above 0"
    assert fail(KeyError("x")) == "KeyError: 'x'"
    assert fail(SystemExit(3)) == "SystemExit: 3"


def test_a_long_run_that_was_stopped_goes_on_and_leaves_the_same_record(make_run, metrics, monkeypatch, tmp_path):
    names = ("gradient_norms@1", "gradient_norms_by_epoch@1")
    run = make_run(model=CONVNET, epochs=3, momentum=0.9, probes=names)
    whole = perform(run, "cpu", threads=1)
    monkeypatch.setattr(performing, "PAUSE", 0)
    monkeypatch.setattr(performing, "user_cache", lambda: tmp_path)

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(run, "cpu", threads=1, on_epoch=stop)
    assert [path.stem for path in (tmp_path / "checkpoints").iterdir()] == [run.key]
    epochs = []
    record = perform(run, "cpu", threads=1, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [2, 3] and metrics(record) == metrics(whole)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_short_run_keeps_no_checkpoint(make_run, monkeypatch):
    monkeypatch.setattr(performing.Checkpoint, "save", None)
    assert perform(make_run(), "cpu", threads=1)["status"] == "done"


def test_the_best_epoch_is_chosen_on_validation_images_and_its_weights_are_tested(
    make_run, small_data, tmp_path, reloaded
):
    data = Data(**dict(small_data) | {"validation_per_class": 10})
    recipe = {"data": data, "epochs": 12, "lr": 0.5, "evaluate": "epoch"}  # a rate at which accuracy jumps about
    for seed in range(20):  # which seeds have their best epoch before the last one differs between processors
        run = make_run(**recipe, keep="best", seed=seed)
        record = perform(run, "cpu", threads=1, weights=tmp_path)
        accuracies = [row["validation_accuracy"] for row in record["history"]]
        best, final = accuracies.index(max(accuracies)), record["final"]
        if best + 1 < len(accuracies):
            break
    assert best + 1 < len(accuracies)  # or this says nothing
    assert (final["kept_epoch"], final["validation_accuracy"]) == (best + 1, max(accuracies))
    assert final["test_accuracy"] == record["history"][best]["test_accuracy"]
    assert final["validation_images"] == 30 and final["epochs"] == 12
    assert reloaded(run, tmp_path).accuracy == final["test_accuracy"]
    last = perform(make_run(**recipe, seed=run.seed), "cpu", threads=1)
    assert [row["train_loss"] for row in last["history"]] == [row["train_loss"] for row in record["history"]]
    assert last["final"]["test_accuracy"] == last["history"][-1]["test_accuracy"]
    assert last["final"]["kept_epoch"] == 12


def test_a_clock_that_is_set_back_makes_no_time_negative(make_run, monkeypatch):
    clock, right = iter(range(10**9, 0, -1000)), time.time
    monkeypatch.setattr(time, "time", lambda: next(clock, right()))
    made = perform(make_run(), "cpu", threads=1)["provenance"]
    assert 0 <= made["wall_seconds"] < 1000 and made["seconds"] >= 0
