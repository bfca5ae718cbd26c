"""One net trained, tested and used from the command line, stopped and gone on with."""

import csv
import io
import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from nbhelpers import cli, training, weights
from nbhelpers import data as datasets
from nbhelpers.checkpoints import read
from nbhelpers.errors import InputError
from nbhelpers.models import MLP
from nbhelpers.models.initialise import build
from nbhelpers.perform import perform
from nbhelpers.progress import Live
from nbhelpers.training import Training

SMALL = ["--set", "demo", "--param", "images_per_class=24", "--param", "validation_images_per_class=8"]
TRAIN = ["train", "--model", "resnet26", "--epochs", "2", *SMALL, "--param", "share_of_width=0.05", "--device", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert cli.main([*TRAIN, "--checkpoints", str(folder)]) == 0
    return folder


def command(words, capsys) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_train_says_first_what_it_does_then_a_line_an_epoch_and_what_came_out(here, capsys):
    code, out, _ = command(TRAIN, capsys)
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("model: resnet26, ") and " parameters, " in lines[0]
    assert lines[1] == "images: 96 of shapes to train on, 100 to test on, 32 to choose the best epoch on"
    assert "epochs = 2" in out and "schedule = cosine" in out and "augment = ('crop', 'flip')" in out
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 2 and all(
        word in line for line in epochs for word in ("loss", "training", "validation", "images/s", "left")
    )
    assert "(Wilson), n = 100" in out
    assert sorted(p.name for p in (here / "checkpoints").iterdir()) == [
        "resnet26.json", "resnet26_best.safetensors", "resnet26_last.safetensors",
    ]  # fmt: skip


def test_it_is_the_run_of_the_study(trained, metrics):
    own = Training("resnet26", "demo", trained, epochs=2, changes={
        "images_per_class": 24, "validation_images_per_class": 8, "share_of_width": 0.05})  # fmt: skip
    record = json.loads((trained / "resnet26.json").read_text())
    assert metrics(record) == metrics(json.loads(json.dumps(perform(own.run, "cpu", threads=1))))


def test_the_weights_are_those_that_were_tested(trained):
    record = json.loads((trained / "resnet26.json").read_text())
    best, last = (weights.load(trained / f"resnet26_{kind}.safetensors") for kind in ("best", "last"))
    assert best.about["epoch"] == record["final"]["kept_epoch"] and last.about["kept"] == "last"
    assert best.about["validation_accuracy"] == record["final"]["validation_accuracy"]
    assert best.about["recipe"]["epochs"] == 2 and best.about["class_names"] == ["circle", "square", "triangle", "star"]


def test_what_is_there_is_not_overwritten_unasked(trained, capsys):
    words = [*TRAIN, "--checkpoints", str(trained)]
    before = (trained / "resnet26_last.safetensors").stat().st_mtime_ns
    code, _, err = command(words, capsys)
    assert code == 2 and "is there already: do it again with --fresh" in err and err.count("\n") == 1
    code, out, _ = command([*words, "--resume"], capsys)
    assert code == 0 and "is finished; nothing to do" in out
    assert (trained / "resnet26_last.safetensors").stat().st_mtime_ns == before
    assert command([*words, "--resume", "--fresh"], capsys)[0] == 2
    code, _, err = command([*words, "--resume", "--seed", "7"], capsys)
    assert code == 2 and "is of another training (" in err and err.count("\n") == 1


def test_a_diverged_training_fails_and_leaves_no_weights(here, capsys):
    code, out, _ = command([*TRAIN, "--param", "lr=1e30"], capsys)
    assert code == 1 and "diverged in epoch 1" in out
    assert [p.name for p in (here / "checkpoints").iterdir()] == ["resnet26.json"]


def test_evaluate_tests_on_what_training_tested_on(trained, capsys):
    record = json.loads((trained / "resnet26.json").read_text())
    _, out, _ = command(["evaluate", "--checkpoint", str(trained / "resnet26_best.safetensors")], capsys)
    assert f"accuracy {record['final']['test_accuracy']:.2f} %" in out and "n = 100" in out
    assert "shapes: 100 test images, as in training" in out


def test_a_state_of_another_training_is_refused_by_what_differs(here, capsys):
    own = Training("resnet26", "demo", here, epochs=2, changes={"share_of_width": 0.05, "images_per_class": 24})
    other = Training("resnet26", "demo", here, epochs=3, changes={"share_of_width": 0.05, "images_per_class": 24})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "perform", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            own.carry_out("cpu")
    raised = KeyboardInterrupt()
    with pytest.MonkeyPatch.context() as patch:
        stop = Live.step

        def once(self, images):
            stop(self, images)
            raise raised

        patch.setattr(Live, "step", once)
        with pytest.raises(KeyboardInterrupt):
            own.carry_out("cpu", every=1)
    assert own.place() == "going on from epoch 1, step 2"
    with pytest.raises(InputError, match=r"of another training: recipe\.epochs 2, here 3"):
        other.carry_out("cpu")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--model", "resnet5"], "model: 'resnet5': must be one of resnet34"),
        (["--model", "resnet74", *SMALL], "epochs: the set demo has none for resnet74: give --epochs"),
        (["--model", "resnet26", "--epochs", "0"], "epochs: 0: must be at least 1"),
        (["--model", "resnet26", *SMALL, "--param", "lr=-1"], "lr: -1"),
        (["--model", "resnet26", *SMALL, "--param", "epohcs=1"], "unknown parameter 'epohcs'"),
        (["--model", "resnet26", "--set", "dem"], "parameter_set: 'dem': ResNet_CIFAR10 has no such set"),
        (["--model", "resnet26", *SMALL, "--teacher", "none.safetensors"], "none.safetensors: there is no such file"),
        (
            ["--model", "resnet26", *SMALL, "--compiled", "both", "--device", "cpu"],
            "compiled: 'both': CUDA graphs need a GPU",
        ),
        (["--model", "resnet26", *SMALL, "--distillation", "0.7"], "distillation: needs a --teacher"),
        (["--model", "resnet26", *SMALL, "--sync-batchnorm"], "sync_batchnorm: there is one process"),
    ],
)
def test_bad_input_is_one_line(here, capsys, words, reason):
    code, _, err = command(["train", *words], capsys)
    assert code == 2 and err.startswith(f"nbhelpers: {reason}") and err.count("\n") == 1


def test_without_cifar10_it_stops_with_one_line(here, capsys, monkeypatch):
    from nbhelpers import catalogue
    from nbhelpers.download import DataError

    def refuse(file, folder):
        raise DataError("no network")

    monkeypatch.setattr(catalogue, "fetch", refuse)
    code, out, err = command(["train", "--model", "resnet50"], capsys)
    assert code == 2 and err.startswith("nbhelpers: cifar10: not under") and err.count("\n") == 1
    assert out.startswith("model: resnet50, 4,815,794 parameters") and "epochs = 300" in out
    assert "none held out, so the last epoch is kept" in out and not (here / "checkpoints").exists()


def test_epochs_also_set_the_length_of_the_schedule(tmp_path):
    run = Training("resnet50", "ran", tmp_path, epochs=20).run
    assert run.recipe.epochs == 20 and run.recipe.learning_rate(10) == pytest.approx(0.01)
    assert Training("resnet50", "ran", tmp_path).run.recipe.epochs == 300


def test_evaluate_prints_and_draws(trained, capsys):
    code, out, _ = command(["evaluate", "--model_path", str(trained / "resnet26_best.safetensors")], capsys)
    folder = trained / "resnet26_best.evaluation"
    found = json.loads((folder / "evaluation.json").read_text())
    assert code == 0 and f"accuracy {found['accuracy']:.2f} %, 95% interval" in out and "n = 100" in out
    assert sorted(p.name for p in folder.iterdir()) == [
        "confusion.png", "evaluation.json", "mistakes.png", "reliability.png",
    ]  # fmt: skip
    assert np.trace(found["confusion"]) / 100 == pytest.approx(found["accuracy"] / 100)


@pytest.fixture
def simple(tmp_path):
    """A weights file, its net, and images for it."""
    whole, spec = datasets.load("shapes", size=16, classes=4), MLP(hidden=(8,))
    net, about = build(spec, (3, 16, 16), 4, 0), {"model": spec.canonical(), "shape": [3, 16, 16]}
    about |= {"class_names": whole.class_names, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    weights.save(tmp_path / "net.safetensors", net.state_dict(), about)
    return tmp_path / "net.safetensors", net, np.array(whole.test_images[::40])


def labels_of(net, images, mean, std) -> list[int]:
    return net(torch.from_numpy(((images / 255 - mean) / std).transpose(0, 3, 1, 2)).float()).argmax(1).tolist()


def test_predict_answers_a_pickle_row_by_row(simple, tmp_path, capsys):
    path, net, images = simple
    held = {b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), b"ids": np.arange(len(images))}
    (tmp_path / "test.pkl").write_bytes(pickle.dumps(held))
    words = ["predict", "--checkpoint", str(path), "--input", str(tmp_path / "test.pkl")]
    code, out, _ = command([*words, "--output", str(tmp_path / "o.csv")], capsys)
    assert code == 0 and "flat rows, channel by channel" in out and "0 circle, 1 square" in out
    with open(tmp_path / "o.csv", newline="") as file:
        rows = list(csv.reader(file))
    expected = labels_of(net, images, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    assert rows == [["ID", "Labels"], *[[str(i), str(label)] for i, label in enumerate(expected)]]
    assert len(set(expected)) > 1


def test_predict_takes_another_mean_and_std_and_says_which(simple, tmp_path, capsys):
    path, net, images = simple
    np.savez(tmp_path / "a.npz", images=images)
    words = ["predict", "--checkpoint", str(path), "--input", str(tmp_path / "a.npz")]
    words += ["--output", str(tmp_path / "o.csv")]

    def answered(*more):
        code, out, _ = command([*words, *more], capsys)
        assert code == 0
        with open(tmp_path / "o.csv", newline="") as file:
            return out, [int(row["Labels"]) for row in csv.DictReader(file)]

    own, other = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]), ([0.9, 0.5, 0.1], [0.02, 0.2, 2.0])
    out, labels = answered()
    assert labels == labels_of(net, images, *own) != labels_of(net, images, *other)
    assert "normalised with mean 0.4, 0.5, 0.6 (as in training), std 0.2, 0.3, 0.4 (as in training)" in out
    out, labels = answered("--mean", *map(str, other[0]), "--std", *map(str, other[1]))
    assert labels == labels_of(net, images, *other)
    assert "normalised with mean 0.9, 0.5, 0.1 (given), std 0.02, 0.2, 2 (given)" in out
    assert "mean 0.9, 0.5, 0.1 (given), std 0.2, 0.3, 0.4 (as in" in answered("--mean", *map(str, other[0]))[0]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--mean", "0.5"], "mean: [0.5]: must be 3 numbers, one for each channel"),
        (["--mean", "0.5", "nan", "0.5"], "mean: [0.5, nan, 0.5]: must be 3 numbers, one for each channel"),
        (["--std", "0.5", "0", "0.5"], "std: [0.5, 0.0, 0.5]: must be 3 positive numbers, one for each channel"),
    ],
)
def test_a_mean_or_std_that_is_not_allowed_is_one_line(simple, capsys, words, line):
    code, _, err = command(["predict", "--checkpoint", str(simple[0]), "--input", "shapes", *words], capsys)
    assert code == 2 and err == f"nbhelpers: {line}\n"


def test_evaluate_without_labels_is_one_line(trained, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 16, 16, 3), np.uint8))
    words = ["evaluate", "--checkpoint", str(trained / "resnet26_best.safetensors"), "--data", str(tmp_path / "a.npz")]
    code, _, err = command(words, capsys)
    assert code == 2 and "has no labels to evaluate against" in err and err.count("\n") == 1


def test_a_teacher_from_a_file_is_learnt_from_and_is_in_the_key(trained, here, capsys):
    words = [*TRAIN, "--teacher", str(trained / "resnet26_best.safetensors"), "--distillation", "0.7"]
    assert command(words, capsys)[0] == 0
    record, alone = (json.loads((f / "resnet26.json").read_text()) for f in (here / "checkpoints", trained))
    assert record["run"]["recipe"]["distillation"] == 0.7 and len(record["run"]["teacher"]) == 64
    assert record["final"]["train_loss"] != alone["final"]["train_loss"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
@pytest.mark.parametrize(("at", "goes_on"), [(2, "epoch 1, step 4"), (6, "epoch 2, step 2")])
def test_an_interrupt_in_any_step_leaves_its_state_before_it_ends_the_training(here, monkeypatch, at, goes_on):
    """Also in the last of the 6 steps of an epoch, whose state is written after the epoch alone."""
    own = Training("resnet26", "demo", here, epochs=3, changes={"share_of_width": 0.05, "images_per_class": 24})
    step, done = Live.step, []

    def signalled(self, images):
        step(self, images)
        done.append(images)
        if len(done) == at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Live, "step", signalled)
    with pytest.raises(KeyboardInterrupt):
        own.carry_out("cpu")
    assert own.place() == f"going on from {goes_on}"
    monkeypatch.setattr(Live, "step", step)
    assert own.carry_out("cpu")["final"]["epochs"] == 3


def trains(words: list[str]) -> None:
    """What a process of its own does."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is killed leaves
    sys.exit(cli.main(words))


@pytest.mark.skipif(os.name != "posix", reason="sends a signal of a POSIX system")
def test_killed_at_ten_random_moments_it_ends_with_the_same_weights(tmp_path):
    """SIGKILL, each time some steps further and anywhere in a step, and --resume each time after."""
    processes = multiprocessing.get_context("forkserver")  # one imports, and those that are killed come of it
    processes.set_forkserver_preload(["nbhelpers.training", "nbhelpers.cli", "nbhelpers.shapes", "torch._dynamo"])
    words = [*TRAIN, "--param", "images_per_class=96", "--epochs", "3", "--every", "1", "--checkpoints"]
    assert cli.main([*words, str(tmp_path / "whole")]) == 0
    moments, per_epoch, state = random.Random(0), 4 * 96 // 16, tmp_path / "cut" / "resnet26.state.safetensors"

    def steps() -> int:
        at = read(state)[1]["progress"] if state.exists() else {"epoch": 0, "step": 0}
        return at["epoch"] * per_epoch + at["step"]

    for last in sorted(moments.sample(range(1, 3 * per_epoch - 10), 10)):
        process = processes.Process(target=trains, args=([*words, str(state.parent), "--resume"],))
        process.start()
        while steps() < last and process.is_alive():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert cli.main([*words, str(state.parent), "--resume"]) == 0
    for kind in ("last", "best"):
        whole, cut = (load_file(tmp_path / folder / f"resnet26_{kind}.safetensors") for folder in ("whole", "cut"))
        assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    assert not state.exists()


@pytest.mark.slow
def test_torchrun_splits_a_training_and_one_process_writes(tmp_path):
    words = [*TRAIN, "--checkpoints", str(tmp_path)]
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nbhelpers"]
    done = subprocess.run([*run, *words], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "resnet26.json").read_text())
    assert record["provenance"]["processes"] == 2 and done.stdout.count("epoch 2/2") == 1
    assert weights.load(tmp_path / "resnet26_best.safetensors").about["key"] == record["key"]


def test_on_a_terminal_there_is_one_live_line(make_run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    live = Live(2, make_run())
    for epoch in (1, 2):
        live.step(60)
        live.epoch({"epoch": epoch, "train_loss": 1.25, "train_accuracy": 40.0, "test_accuracy": 30.0})
    live.close()
    shown = terminal.getvalue()
    last = shown.rstrip().split("\r")[-1]
    assert last.startswith("100%, ") and last.endswith("left; epoch 2/2: loss 1.2500, training 40.00 %, test 30.00 %")
    assert shown.count("\n") == 1 and shown.endswith("\n")


@pytest.mark.skipif(os.name != "posix", reason="terminals of a POSIX system")
@pytest.mark.parametrize(("columns", "live"), [(0, False), (80, True)])
def test_a_terminal_that_says_no_width_gets_a_line_an_epoch(make_run, monkeypatch, capsys, columns, live):
    import pty
    from termios import tcsetwinsize

    ends = pty.openpty()
    tcsetwinsize(ends[1], (24, columns))
    with os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        shown = Live(1, make_run())
        shown.step(60)
        shown.epoch({"epoch": 1, "train_loss": 1.25})
        assert shown.bar.disable != live and ("epoch 1/1: loss" in capsys.readouterr().out) != live
        shown.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
def test_an_interrupt_writes_the_state_and_resume_goes_on_to_the_same_weights(tmp_path, capsys):
    own = [*TRAIN, "--param", "images_per_class=200", "--checkpoints"]
    assert cli.main([*own, str(tmp_path / "whole")]) == 0
    words = [sys.executable, "-m", "nbhelpers", *own, str(tmp_path / "cut")]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130 and "interrupted; --resume goes on from here" in out
    capsys.readouterr()
    assert cli.main([*own, str(tmp_path / "cut"), "--resume"]) == 0
    assert "going on from epoch 2, step " in capsys.readouterr().out
    whole, cut = (load_file(tmp_path / folder / "resnet26_last.safetensors") for folder in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
