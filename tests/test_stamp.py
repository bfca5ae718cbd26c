"""The address of the repository stands in one place, and what is written in several files is what that place says."""

import re
import subprocess
from pathlib import Path

import pytest

import nbhelpers
from nbhelpers import stamp

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_badge_and_bootstrap_are_those_of_this_address_and_version(path):
    assert path.read_text(encoding="utf-8") == stamp.notebook(path)


def test_the_sections_of_the_readme_are_made_from_the_committed_results():
    assert (CHECKOUT / "README.md").read_text(encoding="utf-8") == stamp.readme(
        CHECKOUT / "README.md", CHECKOUT / "results"
    )


def test_the_readme_says_of_every_study_what_a_reader_asks():
    begin, end = stamp.marks("studies")
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").split(begin)[1].split(end)[0]
    studies = re.split(r"^### ", section, flags=re.MULTILINE)[1:]
    assert len(studies) == len([path for path in NOTEBOOKS if not path.stem.startswith("_")])
    for study in studies:
        leads = re.findall(r"^\*\*(\w+)\.\*\*", study, re.MULTILINE)
        assert leads == ["Objective", "Background", "Implementation", "Results", "Observation", "Limitations"]
        assert "**\n\n**" not in study, study[:40]  # none is empty


def test_the_credits_name_the_source_of_every_study():
    from nbhelpers import published, report

    rows = [line.split(" | ") for line in report.credits().splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `{study}`" for study in published.SERIES]
    assert {path.stem for path in NOTEBOOKS} - {"_template"} == set(published.SERIES)
    for (_, author, repository, places, licence), study in zip(rows, published.SERIES, strict=True):
        origin = published.origin(study)
        assert (author, repository) == (origin.get("author", "not stated"), f"`{origin['repository']}`")
        assert places == ", ".join(published.places_of(origin))
        assert licence == origin.get("licence", "not stated") + " |"


def test_the_address_stands_in_one_file_besides_what_is_stamped():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("needs git, to know which files belong to the project")  # a downloaded archive has none
    holding = []
    for name in listed.stdout.splitlines():
        path = CHECKOUT / name
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".cff", ".txt", ".yaml", ".yml", ".j2", ".js"):
            holding += [name] if nbhelpers.REPOSITORY in path.read_text(encoding="utf-8") else []
    assert holding == ["nbhelpers/__init__.py"]


def test_another_address_and_version_are_written_to_badge_and_bootstrap_and_nothing_else(monkeypatch, tmp_path):
    path = tmp_path / "Sigmoid_vs_ReLU.ipynb"
    before = (CHECKOUT / "notebooks" / path.name).read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    address, version = nbhelpers.REPOSITORY, nbhelpers.__version__
    monkeypatch.setattr(nbhelpers, "REPOSITORY", "someone/else")
    monkeypatch.setattr(nbhelpers, "__version__", "9.8.7")
    made = stamp.notebook(path)
    assert "github/someone/else/blob/v9.8.7/notebooks/Sigmoid_vs_ReLU.ipynb" in made
    assert "git+https://github.com/someone/else@v9.8.7" in made and address not in made
    assert made.replace("someone/else", address).replace("9.8.7", version) == before


def test_a_readme_without_its_marks_is_an_error(tmp_path):
    (tmp_path / "README.md").write_text("# Other\n")
    with pytest.raises(ValueError, match="needs the lines"):
        stamp.readme(tmp_path / "README.md", CHECKOUT / "results")
