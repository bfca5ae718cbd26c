"""The report says what the records say, marks what is no result or out of date, and asks nothing of the network."""

import json
import re
import shutil
import threading
import urllib.request
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from nbhelpers import cli, report
from nbhelpers.report import pages
from nbhelpers.report.serve import server
from nbhelpers.report.studies import Results, Study
from nbhelpers.verdict import Verdict

COMMITTED = Path(__file__).resolve().parent.parent / "results"
STUDY, SET = "Sigmoid_vs_ReLU", "described"


@pytest.fixture
def folder(tmp_path):
    """A results folder with a committed set, the same as demo on embedded images, and as a trial."""
    kept = shutil.ignore_patterns(".lock", "*.html", "*.ipynb")
    for name in (SET, "demo", "demo~0123abcd"):
        shutil.copytree(COMMITTED / STUDY / SET, tmp_path / STUDY / name, ignore=kept)
    for name in ("demo", "demo~0123abcd"):
        summary = change(tmp_path / STUDY / name)
        summary["parameters"] |= {"dataset": "shapes"}
        change(tmp_path / STUDY / name, set="demo", folder=name, parameters=summary["parameters"])
    return tmp_path


@pytest.fixture
def executed(folder):
    """The same folder, with the executed notebooks of the set and of demo."""
    for name in (SET, "demo"):
        shutil.copy(COMMITTED / STUDY / SET / f"{STUDY}.ipynb", folder / STUDY / name)
    return folder


def change(place: Path, **values) -> dict:
    """The summary in a place, with `values` written to it."""
    path = place / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(summary), encoding="utf-8")
    return summary


def page(folder: Path) -> BeautifulSoup:
    return BeautifulSoup(report.build(str(folder)).read_text(encoding="utf-8"), "html.parser")


def part(folder: Path, name: str) -> BeautifulSoup:
    """The part of the page that is about one set of the study."""
    return page(folder).find(id=f"{STUDY}-{name}")


def test_the_design_says_steps_precision_and_where_a_run_stops(folder):
    place = folder / STUDY / SET
    given = change(place)["parameters"]
    assert ", 10 epochs, " in Results(STUDY, place).design
    change(place, parameters=given | {"steps_per_epoch": 20, "stop_after": 3, "precision": "bf16"})
    assert ", 10 epochs of 20 steps, stopped after 3 epochs, bf16, " in Results(STUDY, place).design
    assert " of training in bf16 on one core" in report.readme(folder)


def test_the_committed_page_is_what_the_command_would_write():
    written = (COMMITTED / "README.md").read_text(encoding="utf-8")
    assert written == report.readme(COMMITTED)


def test_the_files_that_the_committed_page_links_to_exist():
    links = re.findall(r"\]\(([^)#]+)\)", (COMMITTED / "README.md").read_text(encoding="utf-8"))
    assert links and [link for link in links if not (COMMITTED / link).exists()] == []


def test_the_committed_page_leaves_out_demo_and_trials(folder):
    report.build(str(folder))
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{STUDY}/{SET}/" in text and f"{STUDY}/demo" not in text and "Embedded" not in text


def test_every_claim_stands_with_verdict_effect_interval_region_and_margin(folder):
    rows = part(folder, SET).select("table.claims tbody tr")
    verdicts = Results(STUDY, folder / STUDY / SET).verdicts
    assert len(rows) == len(verdicts) > 0
    for row, verdict in zip(rows, verdicts, strict=True):
        text = row.get_text(" ", strip=True)
        said = (
            verdict.text,
            verdict.verdict,
            verdict.effect,
            verdict.interval,
            verdict.region_text,
            verdict.margin_text,
        )
        assert all(word in text for word in said), text
        assert row["data-verdict"] == verdict.verdict


def test_the_parts_of_a_verdict_are_those_of_its_sentence():
    for path in COMMITTED.glob("*/*/summary.json"):
        for written in json.loads(path.read_text(encoding="utf-8"))["verdicts"]:
            verdict = Verdict.from_dict(written)
            assert verdict.sentence == written["sentence"]
            assert all(word in verdict.sentence for word in (verdict.effect, verdict.interval, verdict.margin_text))


def test_a_set_has_its_question_figure_table_and_facts(folder):
    study, shown = page(folder).find("section", class_="study"), part(folder, SET)
    summary = change(folder / STUDY / SET)
    assert all(words in page(folder).get_text() for words in ("as depth grows", "does ReLU stay stable?")) and study
    image = shown.find("img")
    assert image["src"].startswith("data:image/png;base64,") and image["alt"] == summary["figures"]["accuracy.png"]
    headings = [cell.get_text(strip=True) for cell in shown.select("table.result th")]
    assert headings == summary["result"]["columns"] and "published" in headings
    cells = [cell.get_text() for cell in shown.select("table.result tbody tr")[0].select("td")]
    assert cells == summary["result"]["rows"][0]
    facts = shown.find("dl").get_text(" ", strip=True)
    known = (*summary["hardware"], *summary["commits"], *summary["torch"], summary["finished"][:10], "runs 27")
    assert all(fact in facts for fact in known)


def test_every_figure_has_a_text_for_those_who_do_not_see_it(executed):
    index = page(executed)
    found = [index, *(BeautifulSoup(path.read_text(), "html.parser") for path in executed.glob("*/*/*.html"))]
    images = [image for document in found for image in document.find_all("img")]
    assert len(images) > 10 and [image for image in images if not image.get("alt")] == []


def test_embedded_images_have_a_banner_and_results_have_none(executed):
    assert "Embedded images" in part(executed, "demo").get_text()
    assert "Embedded images" not in part(executed, SET).get_text()
    own = {name: (executed / STUDY / name / f"{STUDY}.html").read_text(encoding="utf-8") for name in (SET, "demo")}
    assert "Embedded images" in BeautifulSoup(own["demo"], "html.parser").find(class_="banner").get_text()
    assert BeautifulSoup(own[SET], "html.parser").find(class_="banner") is None


def test_a_trial_is_closed_and_says_what_it_changes(folder):
    shown = part(folder, "demo~0123abcd")
    assert not shown.has_attr("open") and "A trial: demo with " in shown.get_text()
    assert part(folder, SET).has_attr("open")


def test_results_without_their_records_or_of_another_recipe_are_stale(folder):
    assert part(folder, SET).find(class_="stale") is None
    record = next((folder / STUDY / SET / "runs").glob("*.json"))
    content = record.read_text(encoding="utf-8")
    record.unlink()
    assert "other records" in part(folder, SET).find(class_="stale").get_text()
    assert "Stale: " in (folder / "README.md").read_text(encoding="utf-8")
    record.write_text(content, encoding="utf-8")
    assert part(folder, SET).find(class_="stale") is None
    change(folder / STUDY / SET, version=0)
    assert "version 0" in part(folder, SET).find(class_="stale").get_text()


def test_an_unfinished_set_is_interim(folder):
    summary = change(folder / STUDY / SET)
    change(folder / STUDY / SET, runs={"planned": 30, "recorded": summary["runs"]["recorded"]})
    assert "3 of 30 planned runs are not recorded yet" in part(folder, SET).get_text()


def test_a_set_without_figures_tables_or_executed_notebook_is_shown_all_the_same(folder):
    change(folder / STUDY / SET, result={}, figures={})
    shown = part(folder, SET)
    assert shown.select("table.claims tbody tr") and not shown.find("img") and "no executed copy" in shown.get_text()


def test_a_damaged_summary_is_as_none(folder):
    (folder / STUDY / SET / "summary.json").write_text("{", encoding="utf-8")
    assert part(folder, SET) is None and part(folder, "demo")


def test_a_summary_of_an_older_version_that_lacks_what_is_shown_is_as_none(folder):
    summary = change(folder / STUDY / SET)
    [verdict.pop("margin") for verdict in summary["verdicts"]]
    change(folder / STUDY / SET, verdicts=summary["verdicts"])
    assert part(folder, SET) is None and part(folder, "demo")
    (folder / STUDY / SET / "summary.json").write_text('{"study": "x", "verdicts": []}', encoding="utf-8")
    assert part(folder, SET) is None


def test_the_overview_has_every_study_with_its_question_and_the_claims_of_its_first_set(folder):
    rows = {row.find("a").get_text(): row for row in page(folder).select("table.overview tbody tr")}
    studies = report.gather(folder)
    assert list(rows) == [study.title for study in studies]
    for study in studies:
        said = [item.get_text(" ", strip=True) for item in rows[study.title].select("li")]
        first = study.results[0].verdicts if study.results else []
        assert said == [f"{report.MARKS[v.verdict]} {v.verdict} {v.text}" for v in first]
        assert study.results or "no results yet" in rows[study.title].get_text()
    assert "does ReLU stay stable?" in rows["Sigmoid against ReLU as depth grows"].get_text()
    table = (folder / "README.md").read_text(encoding="utf-8")
    assert all(study.results or f"| {study.title} | no results yet |" in table for study in studies)


def test_a_study_without_results_says_how_to_make_them(tmp_path):
    text = page(tmp_path).get_text()
    assert f"nbhelpers run {STUDY}" in text


def test_nothing_is_fetched_and_links_resolve(executed):
    index = report.build(str(executed))
    for path in [index, *executed.glob("*/*/*.html")]:
        found = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        fetched = [
            tag[name] for name in ("src", "data", "srcset", "poster") for tag in found.find_all(attrs={name: True})
        ]
        fetched += [tag["href"] for tag in found.find_all("link")]
        assert [address[:60] for address in fetched if not address.startswith("data:")] == [], path
        assert "@import" not in str(found.find("style")) and "url(" not in str(found.find("style"))
        for link in found.find_all("a", href=True):
            target, _, anchor = link["href"].partition("#")
            if not target.startswith("http"):
                other = (path.parent / target).resolve() if target else path
                assert other.exists(), link
                assert not anchor or BeautifulSoup(other.read_text(encoding="utf-8"), "html.parser").find(id=anchor)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"slope $\sigma'(z) \le 1/4$ here", ["<math", "&#x003C3;", "&#x02264;"]),
        (r"$$\frac{a}{b}$$", ['display="block"', "<mfrac>"]),
        ("costs `$5` or $x$", ["<code>$5</code>", "<math"]),
    ],
)
def test_formulas_are_rendered(text, parts):
    made = pages.markdown(text)
    assert all(part in made for part in parts)
    assert "$" not in re.sub(r"<code>.*?</code>", "", made)


def test_the_formulas_of_all_notebooks_are_rendered():
    """What MathML lacks would stand there as TeX."""
    for study in report.gather(COMMITTED):
        made = re.sub(r"<(code|pre)>.*?</\1>", "", pages.markdown(study.text), flags=re.DOTALL)
        assert not re.search(r"\$|\\[a-z]", made), study.name


def test_an_image_of_another_server_is_its_text():
    assert pages.inline("[![Open & run](https://example.org/a.svg)](x)") == '<a href="x">Open &amp; run</a>'


def test_text_from_a_study_cannot_become_markup(folder):
    summary = change(folder / STUDY / SET)
    summary["verdicts"][0]["text"] = "<script>alert(1)</script> & more"
    change(folder / STUDY / SET, verdicts=summary["verdicts"])
    assert "<script>alert" not in report.build(str(folder)).read_text(encoding="utf-8")
    assert "<script>alert" not in (folder / "README.md").read_text(encoding="utf-8")


def test_what_the_notebook_says_is_found_by_its_leads_and_headings():
    study = Study(STUDY, ())
    assert study.title == "Sigmoid against ReLU as depth grows" and study.question.startswith(
        "Does a convolutional net"
    )
    assert study.paragraph("Limitations").startswith("One width") and study.paragraph("No such lead") == ""
    assert study.section("What to take home").count("\n- ") == 2 and "Limitations" not in study.section(
        "What to take home"
    )


def test_sets_stand_in_the_order_of_reading(folder):
    shutil.copytree(folder / STUDY / SET, folder / STUDY / "ran")
    study = next(study for study in report.gather(folder) if study.name == STUDY)
    assert [one.name for one in study.results] == ["ran", "described", "demo", "demo~0123abcd"]


def test_the_command_writes_the_page_and_says_where(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(["report", "--results", str(folder)]) == 0
    assert capsys.readouterr().out == "Open:\n  index.html\n" and (folder / "index.html").exists()
    before = (folder / "index.html").stat().st_mtime_ns
    assert cli.main(["report", "--results", str(folder)]) == 0
    assert (folder / "index.html").stat().st_mtime_ns == before


def test_the_server_listens_on_this_machine_alone(folder):
    report.build(str(folder))
    with server(folder) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        assert running.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{running.server_port}/index.html") as answer:
            assert answer.status == 200 and b"run again" in answer.read()
        running.shutdown()


def test_a_port_that_is_taken_is_one_line(folder, capsys):
    with server(folder) as running:
        assert cli.main(["report", "--results", str(folder), "--serve", str(running.server_port)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
