"""A record is there and sound, or counts as missing; a crash while writing leaves what was there."""

import errno
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import Timeout

from nbhelpers import records
from nbhelpers.errors import RunError
from nbhelpers.records import Store, courses, digest, read, read_plan
from nbhelpers.run import VERSION, Run, key_of

RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture
def record(make_run):
    run = make_run(seed=3)
    return {
        "key": run.key,
        "version": VERSION,
        "status": "done",
        "run": run.canonical(),
        "final": {"test_loss": 0.5},
    } | {
        "history": [],
        "probes": {},
        "correct": "",
        "provenance": {},
    }


@pytest.mark.parametrize("count", [1, 7, 8, 9, 10_000])
def test_packed_bits_come_back(count):
    bits = np.random.RandomState(count).randint(0, 2, count).astype(np.uint8)
    packed = records.pack(bits)
    assert records.unpack(packed, count).tolist() == bits.tolist()
    assert len(packed) <= count / 6 + 4


def test_packing_is_frozen():
    assert records.pack(np.array([1, 0, 1, 1, 0, 0, 0, 0, 1], dtype=np.uint8)) == "sIA="


def test_a_dump_is_json_with_a_line_for_each_entry(record):
    text = records.dump(record | {"name": "Größe"})
    assert json.loads(text) == record | {"name": "Größe"}
    assert len(text.splitlines()) == len(record) + 3
    assert "Größe" in text


def test_a_saved_record_is_loaded_again(tmp_path, record):
    store = Store(tmp_path / "Study" / "demo")
    store.save(record)
    assert store.load(record["key"]) == record
    assert store.path(record["key"]) == tmp_path / "Study" / "demo" / "runs" / f"{record['key']}.json"
    assert [path.name for path in store.path("x").parent.iterdir()] == [f"{record['key']}.json"]


def damaged(record: dict, kind: str) -> bytes:
    text = records.dump(record)
    made = {
        "empty": "",
        "cut in half": text[: len(text) // 2],
        "without its last character": text.rstrip()[:-1],
        "null": "null",
        "a list": "[]",
        "a number": "3",
        "seed edited": records.dump(record | {"run": record["run"] | {"seed": 4}}),
        "run edited": text.replace('"epochs": 2', '"epochs": 3'),
        "run is text": records.dump(record | {"run": "x"}),
        "without run": records.dump({name: value for name, value in record.items() if name != "run"}),
        "without key": records.dump({name: value for name, value in record.items() if name != "key"}),
        "foreign key": records.dump(record | {"key": "0" * 20}),
    }
    return b"\xff\xfe\x00garbage" if kind == "garbage" else made[kind].encode()


@pytest.mark.parametrize(
    "kind",
    [
        "garbage",
        "empty",
        "cut in half",
        "without its last character",
        "null",
        "a list",
        "a number",
        "seed edited",
        "run edited",
        "run is text",
        "without run",
        "without key",
        "foreign key",
    ],
)
def test_a_damaged_record_counts_as_missing(tmp_path, record, kind):
    store = Store(tmp_path)
    store.save(record)
    content = damaged(record, kind)
    assert content != store.path(record["key"]).read_bytes()
    store.path(record["key"]).write_bytes(content)
    assert store.load(record["key"]) is None


def test_a_record_under_another_name_counts_as_missing(tmp_path, record, make_run):
    store, other = Store(tmp_path), make_run(seed=4).key
    store.save(record)
    store.path(record["key"]).rename(store.path(other))
    assert store.load(other) is None
    assert store.load(record["key"]) is None


def test_a_sound_record_of_another_version_counts_as_missing(tmp_path, record):
    store, old = Store(tmp_path), record | {"version": VERSION + 1, "key": key_of(record["run"], VERSION + 1)}
    store.save(old)
    assert store.load(old["key"]) is None


def test_a_record_that_was_never_written_is_missing(tmp_path):
    assert Store(tmp_path / "nowhere").load("0" * 20) is None
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, function, old):
    path = tmp_path / "record.json"
    if old:
        path.write_text(old)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left"):
        records.write(path, "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == ([("record.json", old)] if old else [])


def test_an_interrupt_while_writing_leaves_no_temporary(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        records.write(tmp_path / "record.json", "new")
    assert list(tmp_path.iterdir()) == []


def test_the_data_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append("replace"), replace(old, new)))
    records.write(tmp_path / "record.json", "new")
    assert calls == ["fsync", "replace"]


def test_an_equal_file_is_left_alone_and_another_one_replaced(tmp_path):
    path = tmp_path / "record.json"
    records.write(path, "same")
    os.utime(path, (1, 1))
    records.write(path, b"same")
    assert path.stat().st_mtime == 1
    records.write(path, "other")
    assert path.stat().st_mtime > 1
    assert path.read_text() == "other"


@pytest.mark.skipif(os.name != "posix", reason="permissions of a POSIX system")
def test_a_written_file_can_be_read_by_everybody(tmp_path):
    records.write(tmp_path / "record.json", "x")
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o644


def test_a_plan_is_read_and_an_unsound_one_is_empty(tmp_path):
    assert records.read_plan(tmp_path) == []
    planned = [{"key": "0" * 20, "seed": 0, "labels": {}, "predicted_seconds": 1.5}]
    (tmp_path / "plan.json").write_text(json.dumps({"runs": planned}))
    assert records.read_plan(tmp_path) == planned
    for unsound in ('{"runs": [', "null", "{}"):
        (tmp_path / "plan.json").write_text(unsound)
        assert records.read_plan(tmp_path) == []


def test_a_plan_that_is_no_text_is_empty(tmp_path):
    (tmp_path / "plan.json").write_bytes(b"\xff\xfe")
    assert records.read_plan(tmp_path) == []


def test_only_one_execution_holds_the_lock_of_a_set(tmp_path):
    with Store(tmp_path / "set").lock():
        with pytest.raises(Timeout), Store(tmp_path / "set").lock().acquire(timeout=0.05):
            pass
        with Store(tmp_path / "other").lock().acquire(timeout=0.05):
            pass
    with Store(tmp_path / "set").lock().acquire(timeout=0.05):
        pass


def test_who_has_to_wait_for_another_execution_is_told_so(tmp_path, capsys):
    store, inside = Store(tmp_path / "set"), []

    def enter():
        with store.alone():
            inside.append("in")

    with store.alone():
        assert capsys.readouterr().out == ""
        second = threading.Thread(target=enter)
        second.start()
        second.join(0.3)
        assert inside == []
    second.join(30)
    assert inside == ["in"]
    assert capsys.readouterr().out == "another execution of this set is at work: waiting until it ends\n"


def test_a_folder_that_was_moved_while_its_lock_is_held_is_an_error(tmp_path):
    store = Store(tmp_path / "set")
    with store.alone():
        store.check_place()
        store.folder.rename(tmp_path / "moved")
        with pytest.raises(RunError, match="set: was moved or removed meanwhile; the runs that are recorded went with"):
            store.check_place()
        store.folder.mkdir()  # made again by something else
        with pytest.raises(RunError):
            store.check_place()


def test_every_committed_record_is_sound_and_its_run_has_the_key_it_had():
    sets = [folder for folder in RESULTS.glob("*/*") if folder.name != "demo" and "~" not in folder.name]
    committed = [path for folder in sets for path in sorted(folder.glob("runs/*.json"))]
    if not committed:
        pytest.skip("no results in this checkout")  # a fork may start without the records of others
    for path in committed:
        found = Store(path.parents[1]).load(path.stem)
        assert found is not None, path
        assert Run(**found["run"]).key == path.stem
        assert Run(**found["run"]).canonical() == found["run"]


def test_every_committed_rendering_is_of_the_records_beside_it():
    summaries = [
        path for path in RESULTS.glob("*/*/summary.json") if path.parent.name != "demo" and "~" not in str(path)
    ]
    if not summaries:
        pytest.skip("no results in this checkout")  # a fork may start without the records of others
    for path in summaries:
        plan = read_plan(path.parent)
        found = {run["key"]: record for run in plan if (record := Store(path.parent).load(run["key"]))}
        assert read(path)["records"] == digest(found.values()), path
        assert read(path)["courses"] == courses(found.values()), path
        rows = (path.parent / "runs.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + sum(run["key"] in found for run in plan), path
