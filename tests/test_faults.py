"""Some of the faults that `make test-faults` stages; and the staging finds out where a guard is gone."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks are not installed

from benchmarks import written
from benchmarks.faults import accidents, guards, signals, stage
from benchmarks.faults.__main__ import all_of, cells
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


def test_the_table_has_every_count_and_what_is_said():
    tally = Tally("a fault", 7, 1, 2, 3, 4, Counter({"so": 5, "or | so": 2}))
    assert written.row(cells(tally)) == "| a fault | 7 | 1 | 2 | 3 | 4 | so (5×); or / so (2×) |"


def test_every_signal_to_every_process_is_staged():
    names = {name for name in all_of(1, 1) if "SIG" in name and " to " in name}
    assert len(names) == 18
