"""A study does what is missing, shows what is recorded, and says so: with runs of milliseconds."""

import errno
import json
import os
import re

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest

import nbhelpers as nb
from nbhelpers import claims, data, estimate, parameters, progress, records, sweep, tables
from nbhelpers.errors import InputError, RunError
from nbhelpers.models import MLP, ConvNet
from nbhelpers.run import Data, Recipe, Run
from nbhelpers.study import Study

NAME = "Sigmoid_vs_ReLU"
NORMAL = {"mean": (0.45, 0.45, 0.45), "std": (0.25, 0.25, 0.25)}
SMALL = {"size": 8, "images_per_class": 6, "test_images_per_class": 5, "epochs": 1, "seeds": 3, "workers": 1}
LABELS = {"blocks": 1, "activation": "relu"}


@pytest.fixture(autouse=True)
def _own_results_and_no_window(monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("NBHELPERS_FRESH", raising=False)
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    plt.close("all")
    matplotlib.use(before)


@pytest.fixture
def study():
    """``study(train=False)``: a Study of small runs on the CPU, made as a notebook makes it."""

    def make(**changes) -> Study:
        return Study(NAME, {**parameters.load(NAME, "demo"), "device": "cpu", **SMALL, **changes})

    return make


@pytest.fixture
def shown(monkeypatch):
    """What the study displays, in order."""
    found = []
    monkeypatch.setattr("nbhelpers.study.display", found.append)
    return found


def runs(study: Study, seeds: int = 2, **changes) -> list[Run]:
    """Two arms, `seeds` seeds; the names are fields of Run."""
    made = {"data": study.data(), "recipe": study.recipe()} | changes
    return [
        Run(**{"model": MLP(hidden=(4,), activation=a), "seed": s, "labels": LABELS | {"activation": a}} | made)
        for s in range(seeds)
        for a in ("sigmoid", "relu")
    ]


def files(study: Study) -> dict[str, int]:
    """Record file -> when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (study.store.folder / "runs").iterdir()}


def forbid_training(monkeypatch):
    monkeypatch.setattr(sweep, "execute", lambda *_, **__: pytest.fail("something is trained"))


def edit_provenance(study: Study, **changes):
    """As if the recorded runs had been made elsewhere, before, or from other images."""
    for path in (study.store.folder / "runs").iterdir():
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(record | {"provenance": record["provenance"] | changes}), encoding="utf-8")


# -------------------------------------------------------------- parameters


def test_the_values_of_the_chosen_set_are_written_to_the_namespace(capsys):
    namespace = {**parameters.load(NAME, "demo"), "parameter_set": "ran"}
    made = Study(NAME, namespace)
    ran = parameters.load(NAME, "ran")
    assert {name: namespace[name] for name in ran} == ran == made.values
    assert capsys.readouterr().out.startswith("Sigmoid_vs_ReLU, parameter set 'ran', results in ran/\n")


def test_every_parameter_that_decides_a_result_is_printed(study, capsys):
    values = parameters.key_values(study().values)
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} = {value!r}" in printed for name, value in values.items())


def test_seeds_start_at_the_first_seed(study):
    assert (study(seeds=2, extra_seeds=1).seeds, study(seeds=2, extra_seeds=1).extra_seeds) == ([0, 1], [0])
    shifted = study(seeds=2, extra_seeds=1, first_seed=5)
    assert (shifted.seeds, shifted.extra_seeds) == ([5, 6], [5])


def test_data_are_those_of_the_parameters(study):
    made = study(**NORMAL).data()
    assert made == Data(name="shapes", per_class=6, test_per_class=5, size=8, classes=4, **NORMAL)
    assert study(shared_subset=True).data().subset_seed == 0


def test_all_that_there_is_is_the_same_run_as_no_limit(study):
    whole = {"dataset": "cifar10", "size": 32, "images_per_class": 5000, "test_images_per_class": 1000}
    found = study(**whole).data()
    assert (found.size, found.per_class, found.test_per_class) == (None, None, None)
    part = study(**whole | {"images_per_class": 300}).data()
    assert (part.per_class, part.test_per_class) == (300, None)


def test_the_recipe_is_that_of_the_parameters(study):
    given = {"optimizer": "adam", "lr": 0.02, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0.3, "epochs": 7}
    given |= {"schedule": "cosine", "batch_size": 9, "test_batch_size": 11, "precision": "bf16"}
    assert study(**given).recipe() == Recipe(**given)
    assert study(**given).recipe(lr=0.5) == Recipe(**given | {"lr": 0.5})


def test_data_and_recipe_take_changes_by_the_names_of_parameters_and_fields(study):
    s = study(**NORMAL)
    changes = {"images_per_class": 3, "test_from": "train", "permutation_seed": 0, "mean": None}
    fields = dict(s.data()) | {"per_class": 3, "test_from": "train", "permutation_seed": 0, "mean": None}
    assert s.data(**changes) == Data(**fields)
    assert s.data(dataset="cifar10", size=32, classes=10).size is None
    assert s.recipe(steps_per_epoch=5, momentum=0.5, optimizer="sgd") == Recipe(
        **dict(s.recipe()) | {"steps_per_epoch": 5, "momentum": 0.5, "optimizer": "sgd"}
    )
    assert s.data() == study(**NORMAL).data() and s.recipe() == study(**NORMAL).recipe()


def test_a_validation_split_keeps_its_number_also_where_that_is_all_test_images(study):
    everything = {"dataset": "cifar10", "size": 32, "test_images_per_class": 1000}
    assert study(**everything).data().test_per_class is None
    assert study(**everything).data(test_from="train").test_per_class == 1000


@pytest.mark.parametrize("method", [Study.data, Study.recipe])
def test_a_change_to_something_unknown_is_one_clear_error(study, method):
    with pytest.raises(ValueError, match=r"^image_per_class, lrr: no parameter of Sigmoid_vs_ReLU$"):
        method(study(), lrr=1, image_per_class=3, lr=0.1)


def test_the_settings_of_another_set_give_its_data_and_recipe(study):
    s, ran = study(), study(**parameters.load(NAME, "ran"))
    settings = s.settings("ran")
    assert settings == parameters.load(NAME, "ran")
    assert (s.data(**settings), s.recipe(**settings)) == (ran.data(), ran.recipe())
    assert s.data(**settings) != s.data() and s.recipe(**settings) != s.recipe()
    assert s.settings("") == s.values
    s.settings("")["lr"] = settings["lr"] = 9
    assert s.recipe().lr != 9 != s.settings("ran")["lr"]
    with pytest.raises(InputError, match=r"rann.*did you mean .ran."):
        s.settings("rann")


def test_the_runs_of_an_arm_are_one_for_each_seed(study):
    s, net = study(), MLP(hidden=(4,))
    made = s.runs([3, 5], net, s.data(), s.recipe(), ["gradient_norms@1"], blocks=1, activation="relu")
    expected = {"model": net, "data": s.data(), "recipe": s.recipe(), "labels": LABELS, "probes": ["gradient_norms@1"]}
    assert made == [Run(**expected, seed=3), Run(**expected, seed=5)] and len({run.key for run in made}) == 2
    assert s.runs([], net, s.data(), s.recipe()) == []
    plain = s.runs([3], net, s.data(), s.recipe())[0]
    assert (plain.labels, plain.probes, plain.key) == ({}, (), made[0].key)


def test_fields_that_are_no_parameters_keep_their_defaults(study):
    recipe = study().recipe()
    assert (recipe.momentum, recipe.evaluate, recipe.stop_after) == (0, "end", None)


# -------------------------------------------------------------------- sweep


def test_a_sweep_gives_a_row_for_each_run_and_says_how_many_are_recorded(study, capsys):
    s = study()
    df = s.sweep(runs(s))
    assert df[["blocks", "activation", "seed"]].values.tolist() == [
        [1, "sigmoid", 0],
        [1, "relu", 0],
        [1, "sigmoid", 1],
        [1, "relu", 1],
    ]
    out = capsys.readouterr().out
    assert "4 runs, 0 recorded, about " in out and out.endswith("4 runs, 4 recorded\n")
    assert re.search(r"^\[4/4\] blocks 1, activation relu, seed 1: \d+\.\d\d %, ", out, re.MULTILINE)


def test_what_is_recorded_is_not_repeated(study, monkeypatch):
    first = study()
    df = first.sweep(runs(first))
    written = files(first)
    forbid_training(monkeypatch)
    again = study()
    pd.testing.assert_frame_equal(again.sweep(runs(again)), df)
    assert files(again) == written


def test_fresh_does_recorded_runs_again(study, monkeypatch):
    s = study()
    s.sweep(runs(s))
    edit_provenance(s, commit="an earlier one")
    assert set(study().sweep(runs(s))["commit"]) == {"an earlier one"}
    monkeypatch.setenv("NBHELPERS_FRESH", "all")
    assert "an earlier one" not in set(s.sweep(runs(s))["commit"])
    assert len(files(s)) == 4


def test_one_run_under_two_labels_is_one_run_and_two_rows(study, capsys):
    s = study()
    one = runs(s, 1)[:1]
    df = s.sweep([*one, one[0].model_copy(update={"labels": {"blocks": 9, "activation": "same"}})])
    assert df["blocks"].tolist() == [1, 9] and len(files(s)) == 1
    assert capsys.readouterr().out.endswith("1 runs, 1 recorded\n")


def test_without_training_nothing_is_trained_and_what_is_missing_is_named(study, monkeypatch, capsys):
    s = study()
    s.sweep(runs(s))
    for path in list((s.store.folder / "runs").iterdir())[:1]:
        lost = next(run for run in runs(s) if run.key == path.stem)
        path.unlink()
    forbid_training(monkeypatch)
    shown = study(train=False)
    assert len(shown.sweep(runs(shown))) == 3
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"4 runs, 3 recorded; interim, without 1: {progress.name(lost)}"
    assert len(files(shown)) == 3


def test_a_long_list_of_missing_runs_is_cut(study, monkeypatch, capsys):
    s = study()
    s.sweep(runs(s, 1))
    forbid_training(monkeypatch)
    shown = study(train=False)
    shown.sweep(runs(shown, 6))
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("12 runs, 2 recorded; interim, without 10: blocks 1, activation sigmoid, seed 1; ")
    assert said.endswith("; blocks 1, activation relu, seed 3 and 4 more") and said.count(";") == 6


def test_without_training_and_without_a_record_there_is_one_clear_error(study, monkeypatch):
    forbid_training(monkeypatch)
    s = study(train=False)
    with pytest.raises(RunError, match=r"^no run of demo~\w{8} is recorded$"):
        s.sweep(runs(s))


def test_recorded_runs_are_shown_where_their_images_are_not_here(study, monkeypatch, capsys):
    s = study()
    s.sweep(runs(s, 1))
    forbid_training(monkeypatch)
    monkeypatch.setattr(data, "available", lambda name: False)
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("loads the images"))
    assert len(s.sweep(runs(s, 2))) == 2
    assert "The images of shapes are not here: showing the 2 recorded runs.\n" in capsys.readouterr().out


def test_runs_are_not_added_to_those_of_other_images(study, monkeypatch):
    s = study()
    s.sweep(runs(s, 1))
    edit_provenance(s, fingerprint="0123456789abcdef")
    forbid_training(monkeypatch)
    with pytest.raises(RunError) as caught:
        s.sweep(runs(s, 2))
    assert re.fullmatch(
        r"shapes: these images \([0-9a-f]{16}\) are not those of the recorded runs \(0123456789abcdef\): "
        r"run with --fresh, or on the same images",
        str(caught.value),
    )


def test_runs_of_other_images_are_shown(study):
    s = study()
    df = s.sweep(runs(s, 1))
    edit_provenance(s, fingerprint="0123456789abcdef")
    pd.testing.assert_frame_equal(s.sweep(runs(s, 1)), df)
    pd.testing.assert_frame_equal(study(train=False).sweep(runs(s, 2)), df)


def test_fresh_is_the_way_out_where_the_images_are_others(study, monkeypatch):
    s = study()
    s.sweep(runs(s, 1))
    edit_provenance(s, fingerprint="0123456789abcdef")
    monkeypatch.setenv("NBHELPERS_FRESH", "all")
    assert len(s.sweep(runs(s, 2))) == 4


def test_failed_runs_are_an_error_after_the_others_are_recorded(study, capsys):
    s = study()
    good, bad = runs(s), runs(s, data=s.data().model_copy(update={"per_class": 999999}))[:2]
    with pytest.raises(RunError) as caught:
        s.sweep([bad[0], *good, bad[1]])
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 6 runs failed; those that are done are recorded"
    assert [line.split(": ")[0] for line in lines[1:]] == [
        "  blocks 1, activation sigmoid, seed 0",
        "  blocks 1, activation relu, seed 0",
    ]
    assert all("999999" in line for line in lines[1:])
    assert {path.removesuffix(".json") for path in files(s)} == {run.key for run in good}
    assert "failed: " in capsys.readouterr().out
    assert len(pd.read_csv(s.store.folder / "runs.csv")) == 4


HALF = Recipe(lr=1, epochs=1, batch_size=1, precision="fp16")
GROUPS = ConvNet(channels=[6], norm={"name": "group", "groups": 4})
POOLS = ConvNet(channels=[4] * 4, pool=(1, 2, 3, 4))
ONE = {"model": ConvNet(channels=[4]), "recipe": Recipe(lr=1, epochs=1, batch_size=1)}
DATA = Data(name="shapes", size=8, per_class=7, test_per_class=5, classes=2)  # 14 images: 13 and 1
LEFT = {
    "data": DATA,
    "model": ConvNet(channels=[4] * 4, pool=(1, 2, 3)),
    "recipe": Recipe(lr=1, epochs=1, batch_size=13),
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"probes": ("no_such@1",)}, "probes: 'no_such@1': known are "),
        ({"recipe": HALF}, "precision: 'fp16': a CPU has fp32 and bf16"),
        pytest.param({"model": GROUPS}, "groups: 4: does not divide the 6 channels of block 1; 1, 2, 3, 6 do"),
        pytest.param({"model": POOLS}, "pool: [1, 2, 3, 4]: nothing is left of 8x8 pixels"),
        pytest.param(ONE, "batch_size: 1: must be at least 2: BatchNorm has nothing to normalise one image with"),
        pytest.param(LEFT, "batch_size: a batch of 1 image, and 1 pixel of it where the last norm is: "),
    ],
    ids=["probe", "precision", "groups", "pool", "batch", "remainder"],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(study, monkeypatch, changes, line):
    forbid_training(monkeypatch)
    s = study()
    with pytest.raises(InputError) as caught:
        s.sweep([*runs(s), *runs(s, **changes)])
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_cuda_graphs_without_a_gpu_are_refused_before_anything_is_trained(study, monkeypatch):
    forbid_training(monkeypatch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    s = study(compiled="both")
    with pytest.raises(InputError, match=r"^compiled: 'both': CUDA graphs need a GPU; use no or default$"):
        s.sweep(runs(s))


def test_a_full_disk_ends_the_sweep_and_the_next_one_goes_on(study, monkeypatch):
    s = study()
    planned, written, sync = runs(s, 3), [], os.fsync

    def full(handle):
        if len(written) > 3:  # the plan, then records
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(handle)
        sync(handle)

    monkeypatch.setattr(records.os, "fsync", full)
    monkeypatch.setattr(progress, "SAVE_EVERY", 10**9)
    with pytest.raises(OSError, match="No space left on device"):
        s.sweep(planned)
    monkeypatch.undo()
    monkeypatch.setenv("NBHELPERS_RESULTS", str(s.store.folder.parent.parent))
    kept = files(s)
    assert len(kept) == 3 and all(s.store.load(name.removesuffix(".json")) for name in kept)
    assert not [path for path in s.store.folder.rglob(".*") if path.name != ".lock"]
    assert len(s.sweep(planned)) == 6
    assert {name: files(s)[name] for name in kept} == kept


# ------------------------------------------------------------------ weights


def kept(study: Study) -> set[str]:
    """The keys of the runs whose weights are kept."""
    return {path.stem for path in (study.store.folder / "weights").glob("*.safetensors")}


def test_weights_are_kept_on_request_in_the_same_results_folder(study, capsys, reloaded):
    s = study(weights=True)
    assert s.store.folder == study().store.folder
    df = s.sweep(runs(s)).set_index("key")
    assert capsys.readouterr().out.endswith(
        "the weights of 4 of 4 runs are in weights/; --fresh trains recorded runs again\n4 runs, 4 recorded\n"
    )
    assert kept(s) == {run.key for run in runs(s)}
    for run in runs(s):
        assert reloaded(run, s.store.folder / "weights").accuracy == df.loc[run.key, "test_accuracy"]


def test_without_the_request_no_weights_are_kept_and_nothing_is_said_of_them(study, capsys):
    s = study()
    s.sweep(runs(s))
    assert "weights of" not in capsys.readouterr().out
    assert not (s.store.folder / "weights").exists()


def test_recorded_runs_are_trained_again_for_their_weights_only_when_that_is_asked(study, monkeypatch, capsys):
    s = study()
    s.sweep(runs(s, 1))
    written = files(s)
    asked = study(weights=True)
    asked.sweep(runs(asked, 2))
    assert "the weights of 2 of 4 runs are in weights/; --fresh trains recorded runs again\n" in capsys.readouterr().out
    assert kept(asked) == {run.key for run in runs(asked, 2) if run.seed == 1}
    assert written.items() <= files(asked).items()
    monkeypatch.setenv("NBHELPERS_FRESH", "all")
    asked.sweep(runs(asked, 2))
    assert "the weights of 4 of 4 runs are in weights/;" in capsys.readouterr().out
    assert kept(asked) == {run.key for run in runs(asked, 2)}


def test_weights_are_counted_also_where_nothing_is_trained(study, monkeypatch, capsys):
    s = study(weights=True)
    one = runs(s, 1)[0]
    s.sweep([*runs(s, 1), one.model_copy(update={"labels": {"blocks": 9, "activation": "same"}})])
    assert "the weights of 2 of 2 runs are in weights/;" in capsys.readouterr().out
    forbid_training(monkeypatch)
    shown = study(weights=True, train=False)
    shown.sweep(runs(shown, 1))
    assert "the weights of 2 of 2 runs are in weights/;" in capsys.readouterr().out


# --------------------------------------------------------------- what it leaves


def test_the_plan_lists_every_run_and_is_kept_while_they_are_the_same(study, monkeypatch):
    s = study()
    planned = runs(s)
    s.sweep(planned)
    path = s.store.folder / "plan.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    assert [(run["key"], run["seed"], run["labels"]) for run in plan["runs"]] == [
        (run.key, run.seed, run.labels) for run in planned
    ]
    assert all(run["predicted_seconds"] > 0 for run in plan["runs"])
    assert (plan["study"], plan["set"], plan["seeds"]) == (NAME, "demo", 3)
    before = path.stat().st_mtime_ns
    (s.store.folder / "runs" / f"{planned[0].key}.json").unlink()
    monkeypatch.setattr(estimate, "START", 60)  # another prediction is no reason
    study().sweep(planned)
    assert path.stat().st_mtime_ns == before
    study().sweep(runs(s, 3))
    assert len(records.read_plan(s.store.folder)) == 6


def test_the_plan_is_written_before_the_first_run(study, monkeypatch):
    s = study()
    monkeypatch.setattr(sweep, "execute", lambda *_, **__: iter(()))
    with pytest.raises(RunError):
        s.sweep(runs(s))
    assert len(records.read_plan(s.store.folder)) == 4


def test_records_without_a_plan_get_one_when_they_are_shown(study):
    s = study()
    s.sweep(runs(s))
    (s.store.folder / "plan.json").unlink()
    study(train=False).sweep(runs(s))
    assert len(records.read_plan(s.store.folder)) == 4


def test_runs_csv_has_a_row_per_run_in_per_cent(study):
    s = study()
    df = s.sweep(runs(s))
    table = pd.read_csv(s.store.folder / "runs.csv")
    assert list(table.columns) == [
        *["key", "status", "seed", "blocks", "activation", "parameters", "epochs"],
        *["train_loss", "train_accuracy", "test_accuracy", "seconds", "device"],
    ]
    assert table["key"].tolist() == [run.key for run in runs(s)]
    assert table["test_accuracy"].tolist() == pytest.approx(df["test_accuracy"].tolist())
    assert set(table["status"]) == {"done"} and set(table["device"]) == {"cpu"}
    assert (table["test_accuracy"] % 5 == 0).all()  # 20 test images, in per cent


def test_the_summary_holds_verdicts_and_the_hash_of_the_records(study, shown):
    s = study()
    df = s.sweep(runs(s, 3))
    gap = nb.paired(df, "activation", "relu", "sigmoid")
    s.claim("ReLU is better", gap, above=0)
    s.claim("ReLU is much better", gap, above=90)
    s.finish()
    summary = json.loads((s.store.folder / "summary.json").read_text(encoding="utf-8"))
    found = [s.store.load(run.key) for run in runs(s, 3)]
    assert (summary["records"], summary["courses"]) == (records.digest(found), records.courses(found))
    assert [verdict["text"] for verdict in summary["verdicts"]] == ["ReLU is better", "ReLU is much better"]
    assert all(verdict["verdict"] in ("holds", "fails", "undecided") for verdict in summary["verdicts"])
    assert all(verdict["planned"] == verdict["n"] == 3 for verdict in summary["verdicts"])
    assert summary["runs"] == {"planned": 6, "recorded": 6} and summary["status"] == {"done": 6}
    assert summary["parameters"] == parameters.key_values(s.values)
    assert (summary["study"], summary["set"], summary["folder"]) == (NAME, "demo", s.store.folder.name)


def test_the_hash_is_one_of_numbers_and_not_of_times_hosts_or_order(study):
    s = study()
    s.sweep(runs(s))
    found = [s.store.load(run.key) for run in runs(s)]
    whole, courses = records.digest(found), records.courses(found)
    moved = json.loads(json.dumps(found[::-1]))
    moved[0]["provenance"]["wall_seconds"] = 99
    moved[0]["provenance"]["hardware"] = "another"
    moved[0]["history"][0]["seconds"] = 99
    assert records.digest(moved) == whole and re.fullmatch("[0-9a-f]{16}", whole)
    moved[0]["final"]["test_accuracy"] += 1
    assert records.digest(moved) != whole != records.digest(found[:3]) and records.courses(moved) == courses
    moved[0]["history"][0]["train_loss"] += 1
    assert records.courses(moved) != courses != records.courses(found[:3])


def test_a_missing_record_makes_verdicts_interim(study, monkeypatch, shown):
    s = study()
    s.sweep(runs(s, 3))
    (s.store.folder / "runs" / f"{runs(s, 3)[-1].key}.json").unlink()
    forbid_training(monkeypatch)
    partial = study(train=False)
    gap = nb.paired(partial.sweep(runs(s, 3)), "activation", "relu", "sigmoid")
    partial.claim("ReLU is better", gap, above=0)
    partial.finish()
    summary = json.loads((s.store.folder / "summary.json").read_text(encoding="utf-8"))
    assert [verdict["verdict"] for verdict in summary["verdicts"]] == ["interim"]
    assert summary["runs"] == {"planned": 6, "recorded": 5}
    assert partial.note("compared").endswith("Interim: 1 planned run not recorded yet.")
    assert partial.reversals() == "No claim is decided yet"


def test_what_a_second_execution_writes_is_the_same(study, shown):
    def execute() -> dict[str, bytes]:
        s = study()
        df = s.sweep(runs(s, 3))
        s.figure("accuracy", nb.plots.curves, df, x="blocks", y="test_accuracy", hue="activation")
        s.claim("ReLU is better", nb.paired(df, "activation", "relu", "sigmoid"), above=0)
        s.seeds_needed()
        s.finish()
        return {str(path): path.read_bytes() for path in s.store.folder.rglob("*") if path.is_file()}

    first = execute()
    assert execute() == first
    made = {os.path.basename(path) for path in first}
    assert made >= {"plan.json", "runs.csv", "summary.json", "accuracy.png", "seeds.png"}


def test_one_seed_says_nothing_of_fewer(study, capsys):
    s = study(seeds=1, extra_seeds=1)
    df = s.sweep(runs(s, 1))
    s.seeds_needed()
    assert capsys.readouterr().out.endswith("These parameters leave no claim to judge.\n")
    s.claim("ReLU is better", nb.paired(df, "activation", "relu", "sigmoid"), above=0)
    s.seeds_needed()
    assert capsys.readouterr().out.endswith("No claim has the seeds for a verdict yet, so nothing is said of fewer.\n")
    assert not (s.store.folder / "seeds.png").exists()


def test_runs_of_another_set_are_found_by_its_name(study, tmp_path):
    s = study()
    df = s.sweep(runs(s))
    folder = s.store.folder
    folder.rename(folder.parent / "ran")
    pd.testing.assert_frame_equal(study().recorded("ran"), df)
    assert study().recorded("full").empty


# ------------------------------------------------------------ what the reader sees


def picture(value: float = 1.0):
    """A figure with one bar."""
    figure, axis = plt.subplots()
    axis.bar([0], [value])
    return figure


def test_a_figure_is_kept_closed_and_shown_with_its_name(study, shown):
    s = study()
    s.figure("some_bar", picture, value=2)
    kept = (s.store.folder / "some_bar.png").read_bytes()
    assert shown[0].data == kept and kept.startswith(b"\x89PNG") and shown[0].alt == "Sigmoid_vs_ReLU: some bar"
    assert plt.get_fignums() == []


def test_what_a_figure_says_of_the_runs_is_its_text_and_goes_into_the_summary(study, shown):
    def titled():
        figure = picture()
        figure.suptitle("ReLU leads\nby 3 points")
        return figure

    s = study()
    s.figure("functions", titled)  # of no run
    s.sweep(runs(s))
    s.figure("lead", titled)
    s.figure("data", titled, pixels=True)  # made with or without the images at hand, the summary is the same
    assert [image.alt for image in shown] == [*["ReLU leads by 3 points"] * 2, "Sigmoid_vs_ReLU: data"]
    s.finish()
    summary = json.loads((s.store.folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["figures"] == {"functions.png": "", "lead.png": "ReLU leads by 3 points", "data.png": ""}


def test_the_first_table_after_the_sweep_is_the_result(study, shown):
    s = study()
    s.table(pd.DataFrame({"layer": ["conv"]}))
    s.sweep(runs(s))
    s.table(pd.DataFrame({"arm": ["a", "b"], "n": [2, 3], "published": ["19.00", None]}), "Of two arms.")
    s.table(pd.DataFrame({"other": [1]}))
    s.finish()
    summary = json.loads((s.store.folder / "summary.json").read_text(encoding="utf-8"))
    rows = [["a", "2", "19.00"], ["b", "3", ""]]
    assert summary["result"] == {"columns": ["arm", "n", "published"], "rows": rows, "note": "Of two arms."}


def test_a_table_that_is_said_to_be_the_result_is_it(study, shown):
    s = study()
    s.sweep(runs(s))
    for epoch in (1, 2, 3):
        s.table([{"epoch": epoch}], result=epoch == 2)
    s.finish()
    summary = json.loads((s.store.folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["result"] == {"columns": ["epoch"], "rows": [["2"]], "note": ""}


def test_a_figure_of_images_that_are_not_here_is_the_kept_one(study, shown, monkeypatch):
    s = study()
    s.figure("data", picture, pixels=True)
    kept = s.store.folder / "data.png"
    kept.write_bytes(kept.read_bytes() + b"as it was kept")
    before = (kept.read_bytes(), kept.stat().st_mtime_ns)
    monkeypatch.setattr(data, "available", lambda name: False)
    s.figure("data", lambda: pytest.fail("draws"), pixels=True)
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before
    assert shown[-1].data == before[0]


def test_a_figure_of_numbers_is_drawn_also_where_the_images_are_not_here(study, shown, monkeypatch):
    s = study()
    s.figure("bar", picture)
    first = shown[-1].data
    monkeypatch.setattr(data, "available", lambda name: False)
    s.figure("bar", picture, value=-3)
    assert shown[-1].data != first


def test_a_figure_of_images_that_are_nowhere_is_left_out_where_runs_are_recorded(study, shown, monkeypatch, capsys):
    s = study()
    s.sweep(runs(s, 1))
    monkeypatch.setattr(data, "available", lambda name: False)
    s.figure("data", lambda: pytest.fail("draws"), pixels=True)
    assert capsys.readouterr().out.endswith("The images of shapes are not here, so this figure is left out.\n")
    assert not shown and not (s.store.folder / "data.png").exists()


def test_without_training_no_figure_downloads_its_images(study, shown, monkeypatch):
    s = study(train=False)
    monkeypatch.setattr(data, "available", lambda name: False)
    drawn = []
    s.figure("data", lambda: drawn.append(1) or picture(), pixels=True)
    assert not drawn


def test_a_table_is_plain_html_without_index_and_generated_ids(study, shown):
    study().table(pd.DataFrame({"arm": ["relu"], "mean": ["22.00"], "n": [None]}), "a line below")
    html = shown[0]._repr_html_()
    assert "relu" in html and "id=" not in html and "<th>0</th>" not in html and "NaN" not in html
    assert "relu" in repr(shown[0]) and shown[1].data == "a line below"


def test_rows_are_shown_as_the_table_that_they_make(study, shown):
    study().table([{"arm": "relu", "mean": 22}, {"arm": "gelu"}])
    study().table(pd.DataFrame([{"arm": "relu", "mean": 22}, {"arm": "gelu"}]))
    one, other = (item._repr_html_() for item in shown)
    assert one == other and "gelu" in one


def test_of_an_empty_table_only_the_line_is_shown(study, shown):
    study().table(pd.DataFrame(columns=["arm"]), "nothing yet")
    assert [item.data for item in shown] == ["nothing yet"]


def test_layers_are_those_for_the_images_of_the_study(study):
    table = study(size=16).layers(ConvNet(channels=[4]))
    assert table.iloc[0].tolist() == ["block1.conv", "Conv2d", "4×16×16", "112", f"{27 * 4 * 16 * 16:,}"]
    assert table.iloc[-1]["layer"] == "sum"


def test_layers_may_be_those_for_other_images_of_other_classes(study):
    s, net = study(), MLP(hidden=(4,))
    table = s.layers(net, Data(name="mnist", size=20)).set_index("layer")
    assert table["macs"][["linear1", "output"]].tolist() == ["1,600", "40"]
    own = s.layers(net).set_index("layer")
    assert own["macs"][["linear1", "output"]].tolist() == [str(3 * 8 * 8 * 4), "16"]
    with pytest.raises(InputError, match="nothing is left of 8x8 pixels"):
        s.layers(POOLS)


def test_multiply_accumulates_are_those_for_one_image_of_the_data(study):
    s, net = study(), MLP(hidden=(4,))
    assert s.macs(net, s.data()) == 3 * 8 * 8 * 4 + 4 * 4
    assert s.macs(net, Data(name="mnist", size=20)) == 400 * 4 + 4 * 10
    assert s.macs(net, Data(name="cifar100", classes=72)) == 3 * 32 * 32 * 4 + 4 * 72
    conv = ConvNet(channels=[4, 6], pool=(1,))
    assert s.macs(conv, s.data()) == 27 * 4 * 64 + 36 * 6 * 16 + 6 * 4


def test_parameters_are_counted_for_the_images_of_the_data(study):
    s, net = study(), MLP(hidden=(4,))
    assert s.count(net, s.data()) == (3 * 8 * 8 + 1) * 4 + (4 + 1) * 4
    assert s.count(net, Data(name="mnist", size=20)) == 401 * 4 + 5 * 10


def test_the_source_of_the_loop_is_shown(study, shown):
    study().source(nb.train.train_epoch)
    assert "def train_epoch(" in shown[0].data and shown[0].language == "python"


def test_embedded_images_are_not_compared_with_published_numbers(study):
    demo, real = study(), study(dataset="cifar10")
    assert not demo.comparable and real.comparable
    source = "Published: Lemon-Farm/AI-Experiments, Sigmoid_vs_ReLU.ipynb."
    said = f"Embedded images: a demonstration of the method, not a result. {source}"
    assert demo.note("3 of 4 inside.") == said
    assert real.note("3 of 4 inside.") == f"3 of 4 inside. {source}"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("images_per_class", "images_per_class: 5001: cifar10 has 5000 images of each class"),
        ("test_images_per_class", "test_images_per_class: 5001: cifar10 has 1000 images of each class"),
    ],
)
def test_more_images_than_there_are_are_refused_by_the_name_of_the_parameter_without_the_images(study, name, line):
    with pytest.raises(data.DataError) as caught:
        study(dataset="cifar10", **{name: 5001}).data()
    assert str(caught.value) == line


def test_published_numbers_stand_beside_the_settings_that_they_come_from_alone(monkeypatch):
    name = "ImageNet_MLP_ScaledReLU"
    made = {s: Study(name, dict(parameters.load(name, s))) for s in ("ran", "described")}
    more_seeds = Study(name, {**parameters.load(name, "ran"), "seeds": 99})
    fewer_epochs = Study(name, {**parameters.load(name, "ran"), "epochs": 5})
    assert made["ran"].comparable and more_seeds.comparable
    assert not made["described"].comparable and not fewer_epochs.comparable
    said = "No published number stands beside these settings: they come from those of `ran`."
    assert made["described"].note("3 of 4 inside.").startswith(said)


def test_diverged_runs_are_counted(study):
    s = study()
    s.sweep(runs(s, 1, recipe=s.recipe(optimizer="sgd", lr=1e30, epochs=3)))
    assert s.note().endswith("2 runs diverged: blocks 1, activation sigmoid; blocks 1, activation relu.")
    assert set(pd.read_csv(s.store.folder / "runs.csv")["status"]) == {"diverged"}


def test_the_description_differs_from_the_notebook_in_what_it_does_not_state(study):
    table = study().described().set_index("parameter")
    assert table.loc["lr"].tolist() == ["not stated", "0.001"]
    assert str(table.loc["images_per_class", "ran"]) == "300"
    assert "dataset" not in table.index and "norm" not in table.index


def test_any_two_sets_are_compared_under_their_names(study):
    s = study()
    pd.testing.assert_frame_equal(s.compared("described", "ran"), s.described())
    table = s.compared("demo", "ran").set_index("parameter")
    demo, ran = (parameters.load(NAME, name) for name in ("demo", "ran"))
    assert list(table.columns) == ["demo", "ran"]
    assert table.loc["dataset"].tolist() == ["shapes", "cifar10"]
    assert set(table.index) == {name for name, value in parameters.key_values(demo).items() if value != ran[name]}
    assert s.compared("ran", "ran").empty
    with pytest.raises(parameters.ParameterError, match=r"rann\.yaml: there is no such parameter set$"):
        s.compared("rann", "ran")


def contrast(*values: float) -> pd.DataFrame:
    """A contrast with a number per seed."""
    return pd.DataFrame({"seed": range(len(values)), "value": list(values), "images": None, "at_chance": "00"})


def test_a_claim_waits_for_the_planned_seeds(study, shown):
    s = study(seeds=3)
    s.claim("three are enough", contrast(5.0, 5.1, 5.2), above=0)
    s.claim("four are not there", contrast(5.0, 5.1, 5.2), above=0, planned=4)
    assert [verdict.verdict for verdict in s.verdicts] == ["holds", "interim"]
    assert shown[0].data.startswith("**three are enough** — holds: +5.1")


def test_a_claim_of_which_the_parameters_leave_no_part_is_not_asked(study, shown):
    s = study()
    gap = contrast(5.0, 5.1, 5.2).assign(blocks=1)[["blocks", "seed", "value", "images", "at_chance"]]
    s.claim("deep nets", nb.each(gap[gap.blocks > 1], "blocks"), above=0)
    assert shown[0].data == "**deep nets** — not asked: these parameters leave no part of it"
    assert s.verdicts == []


def test_reversals_are_the_share_of_single_seeds_that_say_the_opposite(study, shown, monkeypatch):
    s = study()
    s.claim("above", contrast(5.0, 5.1, 5.2), above=0)
    assert s.reversals() == "One seed alone would have said the opposite in 0% of cases (1 decided claim)"
    s.claim("below", contrast(5.0, 5.1, 5.2), below=0)
    assert [verdict.verdict for verdict in s.verdicts] == ["holds", "fails"]
    assert s.reversals() == "One seed alone would have said the opposite in 0% of cases (2 decided claims)"
    s.claim("one seed is on the other side", contrast(*[9.0, 9.1, 9.2, 9.3] * 3, -0.1), above=0)
    assert s.verdicts[-1].verdict == "holds"
    assert s.reversals() == "One seed alone would have said the opposite in 3% of cases (3 decided claims)"
    drawn = []
    monkeypatch.setattr(s, "figure", lambda name, function, tables, title: drawn.extend([*tables, title]))
    s.seeds_needed()
    assert drawn == ["above", "below", "one seed is on the other side", s.reversals()]


def test_expected_errors_count_decided_claims():
    judged = [claims.claim("a", contrast(5.0, 5.1, 5.2), above=0), claims.claim("b", contrast(-9.0, 0.1, 9.2), above=0)]
    said = tables.expected_errors(judged)
    assert said.startswith("2 claims, 1 decided; at most 0.025 wrong verdicts are to be expected.")


def test_devices_come_from_the_records(study):
    s = study()
    s.sweep(runs(s))
    table = s.devices()
    assert table["runs"].tolist() == [4] and table["device"].tolist() == ["cpu"]


# ---------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89.4, "89 s"), (91, "2 min"), (5399, "90 min"), (5401, "1.5 h")]
)
def test_a_duration_as_a_person_says_it(seconds, said):
    assert progress.duration(seconds) == said


def test_a_run_is_named_by_its_labels_and_seed(make_run):
    assert progress.name(make_run(seed=3)) == "seed 3"
    assert progress.name(make_run(seed=3, labels={"blocks": 4, "norm": "batch"})) == "blocks 4, norm batch, seed 3"


def test_the_time_left_is_corrected_by_what_recorded_runs_took(study):
    s = study()
    planned = runs(s)
    assert progress.pace(planned, s.store) == 1
    s.sweep(planned[:1])
    edit_provenance(s, wall_seconds=3 * estimate.seconds(planned[0]))
    assert progress.pace(planned, s.store) == pytest.approx(3)
