"""The report in a real browser, at the width of a desk and of a phone: no error, no request, sorting and filtering."""

import functools
import shutil
from pathlib import Path

import pytest

from nbhelpers import report

COMMITTED = Path(__file__).resolve().parent.parent / "results"
STUDY = "Sigmoid_vs_ReLU"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The report of all committed sets, and of one that counts as demo."""
    folder = tmp_path_factory.mktemp("results")
    kept = shutil.ignore_patterns("demo*", "*~*", ".lock", "*.html")
    for study in COMMITTED.iterdir():
        if study.is_dir():
            shutil.copytree(study, folder / study.name, ignore=kept)
    shutil.copytree(folder / STUDY / "described", folder / STUDY / "demo")
    return report.build(str(folder))


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desk", "phone"])
def browse(request, chromium):
    """``browse(path)``: a page of that file, and what it said on the console or asked for."""
    width, colours = request.param
    pages = []

    def of(path: Path):
        page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=colours)
        pages.append(page)
        said: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda asked: said.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
        page.goto(path.as_uri())
        return page, said

    yield of
    for page in pages:
        page.close()


def test_no_page_errs_asks_for_anything_or_is_wider_than_the_screen(index, browse):
    for path in [index, *index.parent.glob("*/*/*.html")]:
        page, said = browse(path)
        assert said == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)"), path


def test_formulas_are_drawn_as_formulas(index, browse):
    page, _ = browse(index.parent / STUDY / "ran" / f"{STUDY}.html")
    size = page.locator("math").first.bounding_box()
    assert size["width"] > 5 and size["height"] > 5


def test_the_link_to_a_notebook_leads_to_it_and_back(index, browse):
    page, said = browse(index)
    page.locator(f"[id='{STUDY}-described']").get_by_role("link", name="The executed notebook").click()
    assert page.url.endswith(f"{STUDY}/described/{STUDY}.html")
    assert page.locator("h1").inner_text() == "Sigmoid against ReLU as depth grows"
    page.get_by_role("link", name="All results").click()
    assert page.url.endswith(f"index.html#{STUDY}-described") and said == []


def column(table, number: int) -> list[str]:
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({number + 1})").all_inner_texts()]


def test_a_click_on_a_heading_sorts_by_it_and_another_turns_it_round(index, browse):
    page, _ = browse(index)
    table = page.locator(f"[id='{STUDY}-ran'] table.claims")
    margins = functools.partial(column, table, 6)
    before = margins()
    heading = table.locator("thead th").nth(6)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert margins() == sorted(before, key=float) != before
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert margins() == sorted(before, key=float, reverse=True)
    table.locator("thead th").nth(0).get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    names = column(table, 0)
    assert names == sorted(names, key=str.casefold)


def test_numbers_with_a_thousands_comma_are_sorted_as_numbers_and_empty_cells_stay_last(index, browse):
    page, _ = browse(index)
    table = page.locator(f"[id='{STUDY}-ran'] table.result")
    heads = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    table.get_by_role("button", name="parameters").click()
    numbers = [int(text.replace(",", "")) for text in column(table, heads.index("parameters"))]
    assert numbers == sorted(numbers) and numbers[0] < 10_000 <= numbers[-1]
    number = heads.index("published")
    for _ in range(2):
        table.get_by_role("button", name="published", exact=True).click()
        cells = column(table, number)
        filled = [text for text in cells if text]
        assert 0 < len(filled) < len(cells) and cells == filled + [""] * (len(cells) - len(filled))


def test_the_filter_leaves_the_claims_with_that_verdict_and_the_sets_that_have_one(index, browse):
    page, _ = browse(index)
    shown = page.locator("[data-verdict]:visible")
    everything = shown.count()
    for verdict in ("holds", "fails", "undecided"):
        page.locator(f"button[data-show={verdict}]").click()
        assert 0 < shown.count() < everything
        assert {row.get_attribute("data-verdict") for row in shown.all()} == {verdict}
        assert all(part.locator("[data-verdict]:visible").count() for part in page.locator(".set[open]:visible").all())
        sets, studies = page.locator(".set:visible").count(), page.locator(".study:visible").count()
        said = page.locator("#shown").inner_text()
        assert said.startswith(f"{shown.count()} claim") and f" in {sets} set" in said and f" of {studies} stud" in said
        assert page.locator("figure:visible").count() == page.locator("table.result:visible").count() == 0
        assert page.locator(".overview li:visible").count() > 0
        assert {item.get_attribute("data-mark") for item in page.locator(".overview li:visible").all()} == {verdict}
    page.get_by_role("button", name="all", exact=True).click()
    assert shown.count() == everything and page.locator("figure:visible").count() > 0


def test_a_verdict_that_no_claim_has_is_said_and_leaves_no_study(index, browse):
    page, _ = browse(index)
    page.evaluate("document.querySelectorAll('[data-verdict=fails]').forEach((row) => row.dataset.verdict = 'holds')")
    for overview in page.locator("[data-verdicts]").all():
        overview.evaluate("(row) => row.dataset.verdicts = row.dataset.verdicts.replaceAll('fails', '')")
    assert not page.locator("#none").is_visible()
    page.locator("button[data-show=fails]").click()
    assert page.locator("#none").inner_text().startswith("No claim is found to fail at present.")
    assert page.locator(".study:visible").count() == page.locator(".overview:visible").count() == 0
    page.get_by_role("button", name="all", exact=True).click()
    assert not page.locator("#none").is_visible() and page.locator(".overview:visible").count() == 1


def test_a_table_that_is_cut_says_that_it_can_be_scrolled(index, browse):
    page, _ = browse(index)
    page.wait_for_timeout(200)
    cut = "[...document.querySelectorAll('.scroll')].map((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth)"
    hints = "[...document.querySelectorAll('.hint')].map((hint) => hint.checkVisibility())"
    assert any(page.evaluate(cut)) and page.evaluate(hints) == page.evaluate(cut)
