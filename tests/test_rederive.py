"""What summary.json tells is derived again from the records: what was forged there is found."""

import shutil
from pathlib import Path

import pytest

from nbhelpers import papermill_run, records, rederive, verify
from nbhelpers.errors import RunError

SET = Path(__file__).resolve().parent.parent / "results" / "Conv_Activation_Norm_Position" / "ran"
OTHERWISE = "says something else in its {} than the records do"


@pytest.fixture
def copied(tmp_path):
    """A committed set under another name and in another place."""
    ignore = shutil.ignore_patterns("demo*", "*~*", ".lock", "*.ipynb")
    return Path(shutil.copytree(SET, tmp_path / "moved", ignore=ignore))


def forge(folder, change) -> dict:
    """The set's summary after `change`, written back; what is forged has no other trace."""
    summary = records.read(folder / "summary.json")
    change(summary)
    (folder / "summary.json").write_text(records.dump(summary), encoding="utf-8")
    return summary


def opposite(summary):
    summary["verdicts"][0]["verdict"] = "fails"


@pytest.fixture
def notebook(monkeypatch):
    """In place of the notebook's execution: one that tells what the committed set does."""

    def run(study, base, changes, out):
        folder = next((Path(changes["results"]) / study).iterdir())
        assert (study, base, changes["train"], folder.name) == (SET.parent.name, "ran", False, "ran")
        assert not list(folder.glob("*.ipynb")) and len(list(folder.glob("runs/*.json"))) == 40
        shutil.copy(SET / "summary.json", folder)

    monkeypatch.setattr(papermill_run, "run", run)


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda summary: None, opposite], ids=["whole", "forged"])
def test_a_verdict_is_what_the_notebook_says_of_the_records(copied, change):
    said = []
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    if change is opposite:
        forge(copied, change)
    found = verify.verify(copied, runs=0, say=said.append)
    assert [(finding.what, finding.how) for finding in found] == [("summary.json", verify.DERIVED)]
    forged = "says verdict fails of 'conv-BN-ReLU beats both other published orders', from the records it is holds"
    assert found[0].wrong == (forged if change is opposite else "")
    assert said[-1] == "40 of 40 records are whole"
    changed = {path.name for path in copied.rglob("*") if before.get(path) != path.stat().st_mtime_ns}
    assert changed <= {"summary.json"} and (change is opposite or not changed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: None, ""),
        (opposite, "says verdict fails of 'conv-BN-ReLU beats both"),
        (lambda s: s["verdicts"][1].update(low=4.0), "says low 4.0 of 'The differences are modest"),
        (lambda s: s["verdicts"].pop(), OTHERWISE.format("verdicts")),
        (lambda s: s["verdicts"][0].update(text="Another claim"), OTHERWISE.format("verdicts")),
        (
            lambda s: s["result"]["rows"][0].__setitem__(2, "99.99"),
            "says test accuracy, mean 99.99 in the row conv-BN-ReLU, 10, from the records it is ",
        ),
        (lambda s: s["result"]["rows"].pop(), OTHERWISE.format("result")),
        (lambda s: s["result"].update(note="all hold"), OTHERWISE.format("result")),
        (lambda s: s["runs"].update(recorded=999), OTHERWISE.format("runs")),
        (lambda s: s["figures"].update({"accuracy.png": "conv-ReLU leads"}), OTHERWISE.format("figures")),
        (lambda s: s.update(hardware={"Cray-1": 40}), OTHERWISE.format("hardware")),
        (lambda s: s.update(statements={"1": {"verdict": "holds"}}), OTHERWISE.format("statements")),
        (lambda s: s["verdicts"].__setitem__(0, "holds"), OTHERWISE.format("verdicts")),
        (lambda s: s.pop("parameters"), "does not say its parameters"),
        (lambda s: s.update(parameters=3, verdicts="all hold"), "does not say its parameters, verdicts"),
        (lambda s: s["parameters"].update(epohcs=1), "cannot be derived again: unknown parameter 'epohcs'"),
    ],
)
def test_each_part_that_is_told_is_compared(copied, notebook, change, reason):
    found = rederive.rederive(copied, forge(copied, change))
    assert found.startswith(reason) and bool(found) == bool(reason)


def test_a_notebook_that_tells_nothing_is_a_finding(copied, monkeypatch):
    monkeypatch.setattr(papermill_run, "run", lambda *_, **__: None)
    found = verify.verify(copied, runs=0, say=lambda line: None)
    assert [finding.wrong for finding in found] == ["cannot be derived again: the notebook ended without one"]


def test_a_notebook_that_fails_is_a_finding(copied, monkeypatch):
    def run(*_, **__):
        raise RunError("Kernel died")

    monkeypatch.setattr(papermill_run, "run", run)
    found = verify.verify(copied, runs=0, say=lambda line: None)
    assert [finding.wrong for finding in found] == ["cannot be derived again: Kernel died"]


def test_a_summary_of_other_records_or_of_no_notebook_is_not_derived(copied, monkeypatch):
    monkeypatch.setattr(papermill_run, "run", lambda *_, **__: pytest.fail("nothing is to be derived"))
    said, plan = [], copied / "plan.json"
    forge(copied, lambda s: s.update(study="Gone"))
    (finding,) = verify.verify(copied, runs=0, say=said.append)
    assert finding.wrong == f"is of study 'Gone', plan.json of '{SET.parent.name}'"
    plan.write_text(plan.read_text().replace(SET.parent.name, "Gone"))
    assert verify.verify(copied, runs=0, say=said.append) == []
    assert "summary.json: not derived again, as there is no notebook of 'Gone'" in said
    plan.write_text(plan.read_text().replace("Gone", SET.parent.name))
    forge(copied, lambda s: s.update(study=SET.parent.name, records="0" * 16))
    assert "was not made from these records" in verify.verify(copied, runs=0, say=lambda line: None)[0].wrong
