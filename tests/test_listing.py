"""The list says from files alone what is recorded, what is missing, and about how long the rest takes."""

import json

import pytest

from nbhelpers import listing, outputs, records
from nbhelpers.models import MLP
from nbhelpers.run import VERSION, Data, Recipe, Run

STUDY = "Sigmoid_vs_ReLU"


def planned(seeds: int) -> list[Run]:
    recipe = Recipe(lr=0.1, epochs=1, batch_size=10)
    data = Data(name="shapes", per_class=100, test_per_class=10)
    return [Run(data=data, model=MLP(), recipe=recipe, seed=seed, labels={"blocks": 1}) for seed in range(seeds)]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """``results(plan=4, done=1, wall_seconds=8)``: a results folder with the set ran of the study."""
    monkeypatch.delenv("NBHELPERS_RESULTS", raising=False)

    def make(plan: int = 0, done: int = 0, wall_seconds: float = 10.0, predicted: float = 10.0, name="ran") -> str:
        folder = tmp_path / STUDY / name
        (folder / "runs").mkdir(parents=True)
        runs = planned(plan)
        outputs.write_plan(folder, {"study": STUDY}, runs)
        path = folder / "plan.json"
        written = json.loads(path.read_text())
        for run in written["runs"]:
            run["predicted_seconds"] = predicted
        path.write_text(json.dumps(written))
        for run in runs[:done]:
            record = dict.fromkeys(records.PARTS) | {"key": run.key, "version": VERSION, "run": run.canonical()}
            record |= {"provenance": {"wall_seconds": wall_seconds}}
            (folder / "runs" / f"{run.key}.json").write_text(json.dumps(record))
        return str(tmp_path)

    return make


def row(results: str, name: str = "ran") -> dict[str, str]:
    return next(row for row in listing.rows(results) if (row["study"], row["set"]) == (STUDY, name))


def state(results: str) -> tuple[str, ...]:
    found = row(results)
    return found["runs"], found["recorded"], found["state"], found["left"]


def test_there_is_a_row_for_every_set_of_every_study(tmp_path):
    rows = [row for row in listing.rows(str(tmp_path)) if row["study"] == STUDY]
    assert [row["set"] for row in rows] == ["demo", "described", "described_all", "full", "ran"]
    assert {row["state"] for row in rows} == {"never started"} and {row["runs"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("plan", "done", "expected"),
    [
        (18, 0, ("18", "0", "planned", "3 min")),
        (18, 6, ("18", "6", "interim", "2 min")),
        (18, 18, ("18", "18", "complete", "")),
        (1080, 0, ("1080", "0", "planned", "3.0 h")),
    ],
)
def test_the_state_of_a_set_and_the_time_left(results, plan, done, expected):
    assert state(results(plan, done)) == expected


def test_the_time_left_is_corrected_by_what_the_recorded_runs_took(results):
    assert state(results(18, 6, wall_seconds=100.0)) == ("18", "6", "interim", "20 min")


def test_the_time_left_is_never_none_where_something_is_missing(results):
    assert row(results(2, 1))["left"] not in ("", "0 min")


def test_a_damaged_record_counts_as_missing(results, tmp_path):
    folder = results(4, 4)
    next((tmp_path / STUDY / "ran" / "runs").iterdir()).write_text("{")
    assert row(folder)["recorded"] == "3"


def test_a_record_that_is_not_planned_does_not_count(results, tmp_path):
    folder = results(4, 4)
    runs = tmp_path / STUDY / "ran" / "runs"
    plan = tmp_path / STUDY / "ran" / "plan.json"
    written = json.loads(plan.read_text())
    plan.write_text(json.dumps(written | {"runs": written["runs"][:2]}))
    assert (row(folder)["runs"], row(folder)["recorded"], len(list(runs.iterdir()))) == ("2", "2", 4)


def test_a_plan_that_is_damaged_is_as_none(results, tmp_path):
    folder = results(4, 4)
    (tmp_path / STUDY / "ran" / "plan.json").write_text("{")
    assert row(folder)["state"] == "never started"


def test_the_folder_is_that_of_the_environment_where_none_is_given(results, monkeypatch):
    monkeypatch.setenv("NBHELPERS_RESULTS", results(4, 4))
    assert row("")["state"] == "complete"


def test_the_text_is_a_table_with_aligned_columns(results):
    lines = listing.text(results(18, 6)).splitlines()
    assert lines[0].split() == ["study", "set", "runs", "recorded", "state", "left", "(one", "core)"]
    ran = next(line for line in lines if line.split()[:2] == [STUDY, "ran"])
    assert ran.split() == [STUDY, "ran", "18", "6", "interim", "2", "min"]
    assert len({len(line) for line in lines}) == 1
    assert all(line.index("never") == lines[0].index("state") for line in lines if "never" in line)


def test_a_rendering_of_other_records_is_stale(results, tmp_path):
    folder = results(4, 3)
    found = [records.Store(tmp_path / STUDY / "ran").load(run.key) for run in planned(3)]
    summary = tmp_path / STUDY / "ran" / "summary.json"
    summary.write_text(json.dumps({"version": VERSION, "records": records.digest(found)}))
    assert row(folder)["state"] == "interim"
    summary.write_text(json.dumps({"version": VERSION, "records": records.digest(found[:2])}))
    assert row(folder)["state"] == "interim, stale"
