"""Recorded runs are done again: what is as recorded passes, what was edited or comes out otherwise does not."""

import json
import math
import types

import numpy as np
import pytest

from nbhelpers import cli, outputs, records, sweep, tables, verify
from nbhelpers.errors import InputError
from nbhelpers.models import MLP, ResNet
from nbhelpers.perform import perform
from nbhelpers.records import Store
from nbhelpers.run import key_of

OTHERS = "summary.json: was not made from these records: some were edited, added or taken out since"


@pytest.fixture(scope="module")
def recorded(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    runs = [make_run(seed=s, epochs=3, model=MLP(hidden=(w,)), labels={"width": w}) for s in range(3) for w in (4, 6)]
    runs.append(make_run(seed=0, labels={"width": "taught"}, teacher=runs[0]))
    list(sweep.execute(runs, Store(folder), workers=1, device="cpu"))
    outputs.write_plan(folder, {"study": "x", "set": "y"}, runs)
    found = [Store(folder).load(run.key) for run in runs]
    outputs.write_summary(folder, {"study": "x", "set": "y"}, len(runs), found, [], {})
    frame = tables.runs([(run.key, run.labels, run.seed) for run in runs], {record["key"]: record for record in found})
    outputs.write_csv(folder, frame)
    return folder


@pytest.fixture
def copied(recorded, tmp_path):
    for path in [*recorded.rglob("*.json"), recorded / "runs.csv"]:
        target = tmp_path / path.relative_to(recorded)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def edit(folder, change, position: int = 0) -> str:
    path = sorted((folder / "runs").glob("*.json"))[position]
    record = json.loads(path.read_text())
    change(record)
    path.write_text(records.dump(record))
    return path.name


def edit_all(folder, change) -> None:
    """Change all records, and forge the summary too: what is left to find it out is to train again."""
    for position in range(7):
        edit(folder, change, position)
    forge_summary(folder)


def forge_summary(folder) -> None:
    found = [json.loads(path.read_text()) for path in (folder / "runs").glob("*.json")]
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"records": records.digest(found), "courses": records.courses(found), "origins": records.origins(found)}
    (folder / "summary.json").write_text(records.dump(summary))


def wrong(folder, **options) -> list[str]:
    said = []
    found = verify.verify(folder, say=said.append, **options)
    underived = "summary.json: not derived again, as there is no notebook of 'x'" in said
    assert len(said) == len(found) + 1 + underived
    return [f"{finding.what}: {finding.wrong}" for finding in found if finding.wrong]


def test_what_was_recorded_here_comes_out_bit_for_bit(recorded):
    found = verify.verify(recorded, runs=7, say=lambda line: None)
    assert len(found) == 7 and {(finding.how, finding.wrong) for finding in found} == {("done again, bit for bit", "")}
    assert sorted(finding.what for finding in found)[:2] == ["width 4, seed 0", "width 4, seed 1"]


def test_the_cheapest_are_taken_and_only_so_many_epochs(recorded):
    found = verify.verify(recorded, runs=2, epochs=1, say=lambda line: None)
    assert [finding.how for finding in found] in ([f"1 of {n} epochs, bit for bit" for n in pair] for pair in
                                                  ((3, 3), (2, 3), (3, 2)))  # fmt: skip
    assert wrong(recorded, runs=0) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["final"].update(test_accuracy=99.0), "says 99.0 % accuracy, but "),
        (lambda r: r["final"].update(train_loss=0.1), "says a training loss of 0.1, but "),
        (lambda r: r["run"].update(seed=77), "its seed, data, model or recipe are not those of its key: it was edited"),
        (lambda r: r["run"]["recipe"].update(lr=0.5), "its seed, data, model or recipe are not those of its key"),
        (lambda r: r.pop("history"), "is damaged, or no record"),
        (lambda r: r.update(final=None), "is damaged, or no record"),
        (lambda r: r["provenance"].pop("threads"), "is damaged, or no record"),
        (lambda r: r["history"].clear(), "is damaged, or no record"),
        (lambda r: r["provenance"].update(wall_seconds="short"), "is damaged, or no record"),
        (lambda r: r["provenance"]["versions"].pop("torch"), "is damaged, or no record"),
        (lambda r: r["final"].pop("train_accuracy"), "is damaged, or no record"),
        (lambda r: r["history"][0].pop("train_loss"), "is damaged, or no record"),
        (lambda r: r["final"].update(train_accuracy=0.1), "says a training accuracy of 0.1, but "),
        (lambda r: r["final"].update(epochs=2), "has not the 3 epochs that it should have"),
        (lambda r: r["history"].pop(0), "has not the 3 epochs that it should have"),
        (lambda r: r.update(version=99), "is of version 99 of the computation"),
    ],
)
def test_an_edited_record_is_found_without_training(copied, change, reason):
    whole = [path for path in sorted((copied / "runs").glob("*.json")) if len(records.read(path)["history"]) == 3]
    name = edit(copied, change, sorted((copied / "runs").glob("*.json")).index(whole[0]))
    found = wrong(copied, runs=0)
    assert found[0].startswith(f"{name}: {reason}")


def forged_accuracy(record):
    record["final"]["test_accuracy"] = 100.0
    record["correct"] = records.pack(np.ones(30, "uint8"))


def forged_loss(record):
    record["final"]["train_loss"] = record["history"][-1]["train_loss"] = 0.125


@pytest.mark.parametrize(
    ("change", "said"), [(forged_accuracy, "test_accuracy"), (forged_loss, "train_loss")], ids=["accuracy", "loss"]
)
def test_a_number_edited_with_all_that_it_follows_from_is_found_by_summary_and_table(copied, change, said):
    name = edit(copied, change)
    found = wrong(copied, runs=0)
    assert found[0] == OTHERS
    assert found[1].startswith(f"runs.csv: says {said} ") and name.removesuffix(".json") in found[1]
    assert len(found) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["history"][0].update(train_loss=0.125),
        lambda r: r["history"][0].update(train_accuracy=99.0),
        lambda r: r["probes"].update({"gradient_norms@1": 1.0}),
        lambda r: r["final"].update(test_loss=0.125),
    ],
    ids=["loss of an epoch", "accuracy of an epoch", "probe", "test loss"],
)
def test_a_number_that_the_record_says_once_is_found_by_the_summary_without_training(copied, change):
    edit(copied, change)
    assert wrong(copied, runs=0) == [OTHERS]


def test_a_table_of_other_columns_is_found(copied):
    (copied / "runs.csv").write_text((copied / "runs.csv").read_text().replace("train_loss", "loss"))
    assert len(found := wrong(copied, runs=0)) == 7 and found[0].startswith("runs.csv: says train_loss None of ")


def test_a_record_of_another_seed_under_its_own_name_is_found(copied):
    """Seed, key and file name edited together: a record that is whole, of a run that was never planned."""
    path = sorted((copied / "runs").glob("*.json"))[0]
    record = json.loads(path.read_text())
    record["run"]["seed"] = 77
    record["key"] = key_of(record["run"], record["version"])
    path.unlink()
    (copied / "runs" / f"{record['key']}.json").write_text(records.dump(record))
    assert f"plan.json: does not have {record['key']}" in wrong(copied, runs=0)


def test_without_a_summary_nothing_vouches_for_the_records(copied):
    (copied / "summary.json").unlink()
    assert [finding.what for finding in verify.verify(copied, runs=0) if finding.wrong] == ["summary.json"]


def test_a_run_that_is_taken_out_is_found_by_the_summary(copied):
    sorted((copied / "runs").glob("*.json"))[0].unlink()
    assert wrong(copied, runs=0) == [OTHERS]


def test_what_was_recorded_on_hardware_of_this_kind_is_done_again_first(copied):
    def elsewhere(record):
        record["provenance"] |= {"hardware": "another processor", "wall_seconds": 0.0}

    for position in range(1, 7):
        edit(copied, elsewhere, position)
    found = verify.verify(copied, runs=2, say=lambda line: None)
    assert [finding.how.partition(" (")[0] for finding in found if "done again" in finding.how] == [
        "done again, bit for bit",
        "done again, within seeds",
    ]


def test_an_edited_loss_is_found_by_training(copied):
    edit_all(copied, lambda r: r["history"][0].update(train_loss=r["history"][0]["train_loss"] + 1e-7))
    found = wrong(copied, runs=1, epochs=1)
    assert len(found) == 1 and "train_loss of epoch 1 is " in found[0] and ", recorded " in found[0]
    assert found[0].endswith("all else is the same: the record was edited, or a machine erred")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["final"].update(test_loss=0.125), "test_loss is "),
        (forged_accuracy, "test_accuracy is "),
        (
            lambda r: r.update(correct=records.pack(records.unpack(r["correct"], 30)[::-1])),
            "other test images are right",
        ),
    ],
    ids=["loss", "accuracy", "images"],
)
def test_an_edited_test_is_found_by_training(copied, change, reason):
    (copied / "runs.csv").unlink()
    edit_all(copied, change)
    (found,) = wrong(copied, runs=1)
    assert f": {reason}" in found


def test_a_run_that_diverged_is_not_done_again(copied):
    edit_all(copied, lambda r: r.update(status="diverged"))
    assert verify.verify(copied) == []


def test_a_record_under_the_name_of_another_is_found(copied):
    path = sorted((copied / "runs").glob("*.json"))[0]
    path.rename(path.with_name("0" * 20 + ".json"))
    assert wrong(copied, runs=0)[0].endswith("are not those of its key: it was edited")


@pytest.mark.parametrize("name", ["hardware", "threads", "processes", "compiled", "torch", "numpy"])
def test_what_decides_bits_is_named_where_it_differs(name):
    one = {"hardware": "a", "threads": 1, "processes": 1, "compiled": "no", "versions": {"torch": "2", "numpy": "2"}}
    assert verify.apart(one, one) == []
    changed = {"versions": one["versions"] | {name: "1"}} if name in one["versions"] else {name: "1"}
    assert verify.apart(one, one | changed) == [f"{name} {(one | one['versions'])[name]}, here 1"]


def test_a_difference_in_bits_is_explained_by_what_else_differs(copied):
    def change(record):
        record["history"][0]["train_loss"] += 1e-7
        record["provenance"]["commit"] = "0123456789ab"
        record["provenance"]["versions"]["python"] = "3.9.0"

    edit_all(copied, change)
    (found,) = wrong(copied, runs=1, epochs=1)
    assert "different are commit 0123456789ab, here " in found and "; python 3.9.0, here " in found


def test_a_record_of_a_gpu_is_done_again_where_there_is_none(copied):
    edit_all(copied, lambda r: r["provenance"].update(device="cuda", hardware="a GPU"))
    found = verify.verify(copied, runs=1, say=lambda line: None)
    assert found[0].how.startswith("done again, within seeds (hardware a GPU, here ") and not found[0].wrong


def test_dropout_masks_of_a_gpu_are_not_drawn_again_where_there_is_none(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    runs = [make_run(model=ResNet(stem=4, widths=(4,), blocks=(1,), dropout=p)) for p in (0.0, 0.5)]
    list(sweep.execute(runs, Store(tmp_path), workers=1, device="cpu"))
    for position in range(2):
        edit(tmp_path, lambda r: r["provenance"].update(device="cuda", hardware="a GPU"), position)
    said: list[str] = []
    assert [finding.how[:10] for finding in verify.verify(tmp_path, say=said.append)] == [
        *["looked for"] * 2,
        "done again",
    ]
    Store(tmp_path).path(runs[0].key).unlink()
    assert [finding.what for finding in verify.verify(tmp_path, say=said.append)] == ["summary.json", "plan.json"]
    assert said[-1].startswith("none is done again: they have dropout")


def test_the_prefix_of_a_run_is_held_against_its_first_epochs(copied):
    """Of three epochs the last is edited: two of them come out as recorded, all three do not."""
    edit_all(copied, lambda r: r["history"][-1].update(lr=0.125))
    assert wrong(copied, runs=7, epochs=1) == []
    assert all("lr of epoch" in line for line in wrong(copied, runs=7)) and len(wrong(copied, runs=7)) == 7


def test_an_edited_fingerprint_is_found(copied):
    key = edit(copied, lambda r: r["provenance"].update(fingerprint="0123456789abcdef")).removesuffix(".json")
    forge_summary(copied)
    (found,) = wrong(copied, runs=0)
    assert found.startswith("shapes: other pixels (0123456789abcdef) than these (") and found.endswith(f" in {key}")


@pytest.mark.parametrize("field", ["fingerprint", "hardware", "commit"])
def test_an_edited_origin_of_all_records_is_found_without_the_images(copied, monkeypatch, field):
    monkeypatch.setattr(verify.datasets, "available", lambda name: False)
    for position in range(7):
        edit(copied, lambda r: r["provenance"].update({field: "0123456789abcdef"}), position)
    assert wrong(copied, runs=0) == [OTHERS]


@pytest.mark.parametrize("content", ["nope", "[1, 2]", '{"runs": 3}', '{"runs": [{"key": "a"}]}', '{"runs": []}'])
def test_a_damaged_plan_is_found(copied, content):
    (copied / "plan.json").write_text(content)
    assert wrong(copied, runs=1)[0].startswith("plan.json: is missing or damaged")


def test_a_table_of_runs_that_is_no_text_is_found(copied):
    (copied / "runs.csv").write_bytes(b"\xff\xfe" + (copied / "runs.csv").read_bytes())
    (found,) = wrong(copied, runs=0)
    assert found.startswith("runs.csv: does not have ")


def test_other_images_than_the_recorded_ones_are_one_finding(copied, monkeypatch):
    monkeypatch.setattr(verify.datasets, "load", lambda *_: types.SimpleNamespace(fingerprint="0123456789abcdef"))
    (found,) = wrong(copied, runs=0)
    assert found.startswith("shapes: other pixels (") and " than these (0123456789abcdef) in " in found
    assert found.endswith(" and 4 more")


def test_without_the_images_the_records_are_held_against_each_other(copied, monkeypatch):
    monkeypatch.setattr(verify.datasets, "available", lambda name: False)
    key = edit(copied, lambda r: r["provenance"].update(fingerprint="0123456789abcdef")).removesuffix(".json")
    forge_summary(copied)
    (found,) = [finding for finding in verify.verify(copied, runs=0) if finding.wrong]
    assert "as its images are not here" in found.how and found.wrong.endswith(f" in {key}")


def test_on_another_machine_it_must_agree_within_seeds(copied):
    edit_all(copied, lambda r: r["provenance"].update(hardware="another processor"))
    found = verify.verify(copied, runs=7, say=lambda line: None)
    assert all(
        finding.how.startswith("done again, within seeds (hardware another processor, here ") for finding in found
    )
    assert not [finding for finding in found if finding.wrong]
    edit_all(copied, lambda r: r["history"][0].update(train_loss=r["history"][0]["train_loss"] * 1.01))
    (found,) = wrong(copied, runs=1)
    assert "the first epoch's loss is " in found and "; rounding makes " in found


@pytest.mark.parametrize(("moved", "passes"), [(0.01, True), (0.0001, False)], ids=["as much", "less"])
def test_a_first_loss_may_be_off_by_what_rounding_moves_it(recorded, monkeypatch, moved, passes):
    record = next(iter(json.loads(p.read_text()) for p in sorted((recorded / "runs").glob("*.json"))))
    record["provenance"]["hardware"] = "another processor"
    own = record["history"][0]["train_loss"]
    record["history"][0]["train_loss"] = 1.01 * own
    monkeypatch.setattr(verify, "rounded", lambda *_: [own * (1 + moved * part) for part in (-0.5, 0.5, 1)])
    found = verify.again(record, [record], 1, "x")
    assert ("recorded" in found.how, not found.wrong) == (passes, passes)


def test_weights_that_differ_in_their_last_bit_change_the_loss_in_its_last_digits(make_run):
    # Of a smaller net, or after fewer steps, the last digits of the loss can be the same.
    run = make_run(model=MLP(hidden=(64, 64)), epochs=3, batch_size=2)
    made = perform(run, "cpu", threads=1)
    own, losses = made["history"][0]["train_loss"], verify.rounded(run, made["provenance"])
    assert len({own, *losses}) > 2 and all(math.isclose(loss, own, rel_tol=1e-5) for loss in losses)
    assert losses == verify.rounded(run, made["provenance"])


def test_an_accuracy_that_the_seeds_do_not_make_likely_is_found(recorded):
    record = next(iter(json.loads(p.read_text()) for p in (recorded / "runs").glob("*.json")))
    record["provenance"]["hardware"] = "another processor"
    others = [record | {"final": record["final"] | {"test_accuracy": value}} for value in (1.0, 1.5, 2.0)]
    assert "the recorded seeds make " in verify.again(record, others, None, "x").wrong


def test_the_command_fails_where_something_is_wrong(copied, capsys):
    assert cli.main(["verify", str(copied), "--runs", "1"]) == 0
    assert capsys.readouterr().out.endswith("all as recorded\n")
    edit(copied, lambda r: r["run"].update(seed=77))
    assert cli.main(["verify", str(copied), "--runs", "0"]) == 1
    assert "it was edited" in capsys.readouterr().out
    for words, reason in (
        (["nowhere"], "nowhere: there are no records"),
        ([str(copied), "--epochs", "0"], "epochs: 0"),
    ):
        assert cli.main(["verify", *words]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(InputError, match="runs: -1: must be at least 0"):
        verify.verify(copied, runs=-1)
