"""Some of the faults that `make test-faults` stages; and the staging finds out where a guard is gone."""

import contextlib
import json
import os
import signal
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks are not installed

from benchmarks import quoted, written
from benchmarks.faults import accidents, guards, signals, stage
from benchmarks.faults.__main__ import all_of, cells, text
from benchmarks.faults.stage import Tally

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system"),
]


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    monkeypatch.setitem(stage.USUAL["sweep"], "runs", 8)
    signals.duration.cache_clear()
    yield
    signals.duration.cache_clear()


@pytest.mark.parametrize(("number", "target"), [(signal.SIGTERM, "kernel"), (signal.SIGKILL, "worker")])
def test_a_signal_loses_nothing_repeats_nothing_and_leaves_no_process(number, target):
    tally = signals.strike(number, target, real=False, times=1)
    assert (tally.times, tally.lost, tally.repeated, tally.orphans) == (1, 0, 0, 0)


def test_a_file_that_may_not_grow_ends_the_sweep_and_loses_nothing():
    tally = accidents.full_quota("sweep", 1)
    assert tally.sound and "File too large" in "".join(tally.said)


def test_two_executions_at_once_begin_each_run_once():
    tally = accidents.two_at_once("sweep", 1)
    assert tally.sound and "waiting until it ends" in "".join(tally.said)


def test_the_limit_of_a_run_holds_though_the_clock_jumps_back():
    tally = accidents.goes_wrong(1, accident="hang", limit=2, back=1)
    assert tally.sound and "took longer than the limit of 2 seconds" in "".join(tally.said)


# -------------------------------------------- the staging itself: what is not zero where a guard is taken away


@pytest.mark.parametrize(
    ("guard", "count"), [("atomic write", "lost"), ("follow_parent", "orphans"), ("lock", "repeated")]
)
def test_the_staging_fails_where_a_guard_is_taken_away(monkeypatch, guard, count):
    if count == "orphans":  # they have all begun, and go on for longer than this too
        monkeypatch.setattr(stage, "AFTER", 3)
    (fault,) = guards.staged(guard, 1).values()
    tally = fault()
    assert getattr(tally, count) > 0 and not tally.sound
    assert {getattr(tally, other) for other in {"lost", "orphans", "repeated"} - {count}} == {0}


def test_what_was_never_staged_is_not_sound():
    assert not Tally("x").sound
    assert Tally("x", times=1).sound
    assert not any(Tally("x", times=1, **{count: 1}).sound for count in ("lost", "repeated", "orphans"))


def test_a_disk_that_this_user_may_not_mount_is_said_and_is_no_fault_of_the_product(monkeypatch):
    monkeypatch.setattr(accidents, "stage", lambda kind: contextlib.nullcontext(types.SimpleNamespace(results="x")))
    monkeypatch.setattr(accidents, "small_disk", lambda *_: contextlib.nullcontext(False))
    tally = accidents.full_disk("sweep", 5)
    assert (tally.sound, tally.times) == (True, 0)
    assert cells(tally)[-1] == "not staged: this user may not mount a disk"


def test_a_fault_of_which_the_product_takes_no_notice_is_given_up_and_not_sound():
    tally = Tally("x")
    assert sum(1 for _ in tally.draws(2)) == 2 * stage.DRAWS and not tally.sound
    for _ in tally.draws(2):
        tally.times += 1
    assert (tally.times, tally.sound) == (2, True)
    assert not Tally("x", wanted=2, times=1).sound


def test_the_committed_table_is_what_its_file_says():
    folder = Path(written.__file__).parent
    found = json.loads((folder / "faults.json").read_text(encoding="utf-8"))
    assert (folder / "faults.md").read_text(encoding="utf-8") == text(found)


def test_the_readme_quotes_the_sums_of_the_table(tmp_path):
    about = {"processor": "one", "cores": 2, "torch": "2", "date": "2026-01-02T03:04:05+00:00"}
    tallies = [Tally("a", times=5, lost=1, repeated=2, orphans=3), Tally("b", times=2, orphans=1)]
    found = {"machine": about, "faults": [vars(tally) for tally in tallies]}
    (tmp_path / "faults.json").write_text(json.dumps(found))
    said = quoted.sentences(tmp_path)
    assert "**Accidents**: 7 staged in 2 kinds" in said and said.endswith("one, 2 cores, 2026-01-02.")
    assert "Runs lost: 1; recorded runs done again: 2; processes left behind: 4." in said
    assert "| a | 5 | 1 | 2 | 3 | 0 |" in text(found)


def test_what_is_said_names_a_file_without_the_folders_of_this_machine():
    text = 'terminated\n  File "/home/someone/lib/json/decoder.py", line 3, in <module>\n\n'
    assert stage.Ended(143, text, 0).said == 'File "decoder.py", line 3, in <module> (exit code 143)'


def test_the_table_has_every_count_and_what_is_said():
    tally = Tally("a fault", 7, 7, 1, 2, 3, 4, Counter({"so": 5, "or | so": 2}))
    assert written.row(cells(tally)) == "| a fault | 7 | 1 | 2 | 3 | 4 | so (5×); or / so (2×) |"


def test_every_signal_to_every_process_is_staged():
    names = {name for name in all_of(1, 1) if "SIG" in name and " to " in name}
    assert len(names) == 18
