"""A training that was stopped anywhere goes on to the same bits."""

import json

import pytest
import torch
from torch import nn

from nbhelpers import checkpoints, steps, train
from nbhelpers.checkpoints import Best, Checkpoint
from nbhelpers.errors import InputError
from nbhelpers.models import MLP, ConvNet, ResNet
from nbhelpers.models.initialise import build
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images

SHAPE = (3, 8, 8)
RESNET = ResNet(stem=4, widths=(4, 6), blocks=(1, 1), dropout=0.3)
KINDS = {
    "sgd": (RESNET, {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}, ("crop", "flip")),
    "adamw": (ConvNet(channels=[4, 6], pool=(1,)), {"optimizer": "adamw"}, ("autoaugment", "erasing")),
    "mixup": (MLP(hidden=(6,)), {"mixing": "mixup", "schedule": "cosine"}, ()),
    "ricap": (RESNET, {"mixing": "ricap", "label_smoothing": 0.1, "warmup": 1}, ("flip",)),
    "sam": (RESNET, {"sam": 0.05, "momentum": 0.9}, ()),
}


class Killed(Exception):
    pass


@pytest.fixture
def job(random_images, tmp_path):
    """``job("sgd")``: a function that trains from scratch or from the checkpoint, and a place to stop it at."""

    def make(kind: str):
        spec, fields, augment = KINDS[kind]
        images = random_images(26, SHAPE, 3)
        data = Images(images.images, images.labels, 3, augment, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        recipe = Recipe(**{"lr": 0.02, "epochs": 3, "batch_size": 4} | fields)

        def run(checkpoint=None):
            net = build(spec, SHAPE, 3, 0)
            history = train.fit(net, data, data, recipe, seed=5, checkpoint=checkpoint)
            return net.state_dict(), [{k: v for k, v in row.items() if k != "seconds"} for row in history]

        return run

    return make


def same(one, other) -> bool:
    (weights, history), (others, other_history) = one, other
    return history == other_history and all(torch.equal(weights[name], others[name]) for name in weights)


def stop_after(monkeypatch, saves: int):
    """Make the checkpoint after `saves` savings the last thing that the run does."""
    left, save = [saves], Checkpoint.save

    def counted(self, *args):
        save(self, *args)
        left[0] -= 1
        if not left[0]:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", counted)


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_every_step_in_turn_it_ends_with_the_same_bits(job, kind, tmp_path, monkeypatch):
    run, whole = job(kind), None
    whole = run()
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {"seed": 5}, every=1)
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 1 + stops % 4)
            try:
                found = run(checkpoint)
                break
            except Killed:
                stops += 1
    assert stops > 5 and same(found, whole)


def test_the_best_epoch_so_far_survives_a_stop(random_images, tmp_path, monkeypatch):
    images, recipe = random_images(26, SHAPE, 3), Recipe(lr=0.5, epochs=9, batch_size=4)

    def run(checkpoint=None):
        best, net = Best(), build(MLP(hidden=(6,)), SHAPE, 3, 0)
        train.fit(net, images, recipe=recipe, seed=5, validation=images, best=best, checkpoint=checkpoint)
        return best

    whole, checkpoint, stops = run(), Checkpoint(tmp_path / "c.safetensors", {}, every=1), 0
    assert 1 < whole.epoch < 9  # or this says nothing
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 5)
            try:
                found = run(checkpoint)
                break
            except Killed:
                stops += 1
    assert stops > 8 and (found.epoch, found.accuracy) == (whole.epoch, whole.accuracy)
    assert found.weights.keys() == whole.weights.keys()
    assert all(torch.equal(found.weights[name], whole.weights[name]) for name in whole.weights)


def test_a_checkpoint_changes_nothing_and_a_finished_run_is_not_trained_again(job, tmp_path):
    run, checkpoint = job("sgd"), Checkpoint(tmp_path / "c.safetensors", {}, every=2)
    first = run(checkpoint)
    assert same(first, run()) and same(first, run(checkpoint))


def test_between_checkpoints_the_steps_since_the_last_one_are_repeated(job, tmp_path, monkeypatch):
    run, whole = job("ricap"), None
    whole = run()
    checkpoint, step = Checkpoint(tmp_path / "c.safetensors", {}, every=3), steps.gradient
    left = [16]

    def counted(*args):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return step(*args)

    monkeypatch.setattr(steps, "gradient", counted)
    with pytest.raises(Killed):
        run(checkpoint)
    head = checkpoints.read(checkpoint.path)[1]["progress"]
    assert (head["epoch"], head["step"]) == (2, 0) or head["step"] % 3 == 0
    assert same(run(checkpoint), whole)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", ""), (b"\x80\x04garbage" * 9, ""), (b"half", "")],
)
def test_a_damaged_file_is_one_clear_line(job, tmp_path, content, reason):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.safetensors: is damaged, or no checkpoint") as error:
        job("sgd")(Checkpoint(path, {}))
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_one_clear_line(job, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    job("sgd")(checkpoint)
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is damaged, or no checkpoint"):
        job("sgd")(checkpoint)


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one(job, tmp_path, monkeypatch):
    """Seen: the length of a file was asked of one, and its content of a shorter one that had taken its place."""
    checkpoint, read_bytes = Checkpoint(tmp_path / "c.safetensors", {}), type(tmp_path).read_bytes
    job("sgd")(checkpoint)
    tensors, head = checkpoints.read(checkpoint.path)

    def then_replaced(path):
        content = read_bytes(path)
        path.write_bytes(content[:100])
        return content

    monkeypatch.setattr(type(tmp_path), "read_bytes", then_replaced)
    again, own = checkpoints.read(checkpoint.path)
    assert own == head and all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_of_another_training_or_model_is_refused(job, tmp_path):
    path = tmp_path / "c.safetensors"
    job("sgd")(Checkpoint(path, {"recipe": {"lr": 0.02}, "seed": 5}))
    with pytest.raises(InputError, match=r"of another training: seed 5, here 6"):
        job("sgd")(Checkpoint(path, {"recipe": {"lr": 0.02}, "seed": 6}))
    with pytest.raises(InputError, match=r"of another training: model nothing, here resnet50"):
        job("sgd")(Checkpoint(path, {"model": "resnet50"}))
    with pytest.raises(InputError, match="of another model"):
        job("adamw")(Checkpoint(path, {"seed": 5}))


def test_a_safetensors_file_of_somebody_else_is_none_of_ours(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="no checkpoint of nbhelpers"):
        checkpoints.read(tmp_path / "c.safetensors")


def test_a_crash_while_writing_leaves_the_checkpoint_before(job, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {}, every=2)
    before = job("sgd")(checkpoint), checkpoint.path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    net = nn.Linear(2, 2)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(net, torch.optim.SGD(net.parameters(), 0.1), torch.amp.GradScaler("cpu", enabled=False),
                        checkpoints.Progress())  # fmt: skip
    assert checkpoint.path.read_bytes() == before[1] and [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_the_file_holds_plain_numbers_that_a_person_can_read(job, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {"model": "resnet"})
    job("sgd")(checkpoint)
    tensors, head = checkpoints.read(checkpoint.path)
    assert head["about"] == {"model": "resnet"} and head["progress"]["epoch"] == 3
    assert {name.split("/")[0] for name in tensors} == {"model", "optimizer"}
    json.dumps(head)
