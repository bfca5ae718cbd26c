"""The table of verified sets: which sets, how much of each, and what is said of them."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks are not installed

from benchmarks import quoted, verify, written
from nbhelpers import outputs, records, sweep

BENCHMARKS = Path(verify.__file__).parent


@pytest.fixture
def results(tmp_path, monkeypatch, make_run):
    """A study with three sets: `ran`, and demo and a trial, which are not committed."""
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path))
    runs = [make_run(seed=seed) for seed in range(2)]
    for name in ("demo", "ran", "ran~12345678"):
        list(sweep.execute(runs, records.Store(tmp_path / "X" / name), workers=1, device="cpu"))
        found = list(records.Store(tmp_path / "X" / name).load_all(run.key for run in runs).values())
        outputs.write_plan(tmp_path / "X" / name, {"study": "X"}, runs)
        outputs.write_summary(tmp_path / "X" / name, {"study": "X", "set": name}, len(runs), found, [], {})
    return tmp_path


def change(path: Path, **provenance) -> None:
    record = json.loads(path.read_text())
    record["provenance"] |= provenance
    path.write_text(records.dump(record))


def test_the_committed_table_is_what_its_file_says():
    found = json.loads((BENCHMARKS / "verify.json").read_text(encoding="utf-8"))
    assert (BENCHMARKS / "verify.md").read_text(encoding="utf-8") == verify.text(found)


def test_every_committed_set_is_in_the_table():
    found = json.loads((BENCHMARKS / "verify.json").read_text(encoding="utf-8"))
    kept = {verify.name_of(path.parent) for path in (BENCHMARKS.parent / "results").glob("*/*/runs")}
    assert {row["set"] for row in found["sets"]} == {name for name in kept if not re.search(" demo$|~", name)}


def test_a_changed_number_changes_what_the_readme_quotes(tmp_path):
    found = json.loads((BENCHMARKS / "verify.json").read_text(encoding="utf-8"))
    found["sets"][0] |= {"records": 1234, "whole": 1000, "findings": ["x.json: was edited"]}
    (tmp_path / "verify.json").write_text(json.dumps(found))
    others = [sum(row[name] for row in found["sets"][1:]) for name in ("whole", "records")]
    findings = sum(len(row["findings"]) for row in found["sets"])
    said = quoted.sentences(tmp_path)
    assert f"**Records**: {1000 + others[0]} of {1234 + others[1]} in " in said
    assert f"not as recorded: {findings}." in said
    derived = sum(row.get("derived", False) for row in found["sets"])
    assert f"verdicts and tables of {derived} sets came out as recorded" in said


def test_committed_sets_are_verified_and_the_table_says_so(results, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["verify", "--out", str(tmp_path)])
    assert verify.main() == 0
    found = json.loads((tmp_path / "verify.json").read_text())
    assert [row["set"] for row in found["sets"]] == ["X ran"]
    assert (found["sets"][0]["records"], found["sets"][0]["whole"], len(found["sets"][0]["again"])) == (2, 2, 2)
    assert found["sets"][0]["derived"] is False  # no notebook is called X
    assert "| X ran | 2 | 2 | – | 2 | all | bit for bit | " in (tmp_path / "verify.md").read_text()


@pytest.mark.parametrize(("wrong", "said"), [("", "as recorded"), ("says verdict fails", "–")])
def test_verdicts_that_follow_from_the_records_are_said_to(results, monkeypatch, wrong, said):
    monkeypatch.setattr(verify.verify.rederive, "known", lambda summary: True)
    monkeypatch.setattr(verify.verify.rederive, "rederive", lambda *_: wrong)
    row = verify.verified(results / "X" / "ran")
    assert verify.cells(row)[3] == said and row["findings"] == [f"summary.json: {wrong}"] * bool(wrong)


def test_a_set_verified_alone_stands_beside_the_others_with_its_own_machine(results, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["verify", "--out", str(tmp_path)])
    (results / "X" / "ran").rename(results / "X" / "described")
    assert verify.main() == 0
    monkeypatch.setattr(written, "machine", lambda: {"processor": "Z", "cores": 2, "date": "2000-01-01T00:00:00"})
    shutil.copytree(results / "X" / "described", results / "X" / "ran")
    monkeypatch.setattr(sys, "argv", ["verify", "--only", "X ran", "--out", str(tmp_path)])
    assert verify.main() == 0
    rows = json.loads((tmp_path / "verify.json").read_text())["sets"]
    assert [(row["set"], row["machine"]["processor"] == "Z") for row in rows] == [
        ("X described", False),
        ("X ran", True),
    ]
    assert "| Z, 2000-01-01 | " in (tmp_path / "verify.md").read_text().splitlines()[-len(verify.FOOT.splitlines()) - 2]


def test_what_is_wrong_is_in_the_table_and_in_the_exit_code(results, tmp_path, monkeypatch):
    path = sorted((results / "X" / "ran" / "runs").glob("*.json"))[0]
    path.write_text("{")
    monkeypatch.setattr(sys, "argv", ["verify", "--out", str(tmp_path)])
    assert verify.main() == 1
    row = json.loads((tmp_path / "verify.json").read_text())["sets"][0]
    assert (row["records"], row["whole"]) == (2, 1)
    assert f"{path.name}: is damaged, or no record" in written.row(verify.cells(row))


def test_long_runs_are_done_again_for_one_epoch(results):
    folder = results / "X" / "ran"
    assert verify.how_much(folder) == {}
    for path in (folder / "runs").glob("*.json"):
        change(path, wall_seconds=301.0)
    assert verify.how_much(folder) == {"runs": 1, "epochs": 1}
    assert verify.cells(verify.verified(folder))[3:7] == ["–", 1, "1 of 2 epochs", "bit for bit"]


def test_what_took_a_gpu_seconds_is_long_where_there_is_none(results, monkeypatch):
    folder = results / "X" / "ran"
    for path in (folder / "runs").glob("*.json"):
        change(path, wall_seconds=1.0, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert verify.how_much(folder) == {"runs": 1, "epochs": 1}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert verify.how_much(folder) == {}
