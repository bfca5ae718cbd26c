"""Worker processes: each answers for its own run, whatever befalls it or another, and none outlives its driver."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from nbhelpers import workers
from nbhelpers.errors import RunError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")]
PLAIN = '''
"""Jobs of workers: a run is a `Number`."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Number:
    value: int

    @cached_property
    def key(self):
        return str(self.value)


def double(run):
    return 2 * run.value


def nap(run):
    time.sleep(300 if run.value == 1 else 0)
    return 2 * run.value


def dies_when_it_answers(run):
    """Its process is killed the moment after the answer is sent."""
    import threading

    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return 2 * run.value


def raises(run):
    raise ValueError("nobody catches this")
'''


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs_of_workers.py").write_text(PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.syspath_prepend(folder)
        import jobs_of_workers

        yield jobs_of_workers


def strike(number: signal.Signals, after: float, again: int = 1) -> None:
    """Signal all worker processes of this one some time from now, `again` times."""

    def act():
        for _ in range(again):
            time.sleep(after)
            for child in multiprocessing.active_children():
                os.kill(child.pid, number)

    threading.Thread(target=act, daemon=True).start()


def test_every_run_has_its_answer(jobs):
    runs = [jobs.Number(value) for value in range(20)]
    assert {run.value: answer for run, answer in workers.pool(runs, jobs.double, 2)} == {v: 2 * v for v in range(20)}
    assert list(workers.pool([], jobs.double, 2)) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2])
def test_workers_that_are_killed_as_they_start_cost_no_run(jobs, after):
    runs = [jobs.Number(value) for value in range(6)]
    strike(signal.SIGKILL, after)
    assert {run.value: answer for run, answer in workers.pool(runs, jobs.double, 2)} == {v: 2 * v for v in range(6)}


def test_a_worker_that_is_killed_after_its_answer_costs_no_run(jobs):
    runs = [jobs.Number(value) for value in range(6)]
    answers = {}
    for run, answer in workers.pool(runs, jobs.dies_when_it_answers, 1):
        answers[run.value] = answer
        time.sleep(0.1)  # it is dead, and not known to be, when it is given the next run
    assert answers == {value: 2 * value for value in range(6)}


def test_what_a_job_does_not_catch_is_the_death_of_its_worker(jobs, capfd):
    run = jobs.Number(0)
    assert list(workers.pool([run], jobs.raises, 1)) == [(run, workers.LOST_TWICE)]
    assert "ValueError: nobody catches this" in capfd.readouterr().err


def test_workers_that_never_get_ready_are_an_error(jobs, monkeypatch):
    monkeypatch.setattr(workers, "serve", os._exit)
    with pytest.raises(RunError, match="worker processes die as they start"):
        list(workers.pool([jobs.Number(0)], jobs.double, 1))
    assert multiprocessing.active_children() == []


def test_only_the_run_over_the_limit_is_ended(jobs):
    runs = [jobs.Number(value) for value in range(4)]
    answers = {run.value: answer for run, answer in workers.pool(runs, jobs.nap, 2, limit=2)}
    assert answers == {0: 0, 1: "took longer than the limit of 2 seconds", 2: 4, 3: 6}


def test_leaving_early_ends_the_workers_in_the_middle_of_their_runs(jobs):
    answers = workers.pool([jobs.Number(value) for value in range(3)], jobs.nap, 2)
    assert next(answers)[0].value != 1
    assert len(multiprocessing.active_children()) == 2
    answers.close()
    assert multiprocessing.active_children() == []
