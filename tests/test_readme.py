"""The README's code runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_of_the_readme_runs_and_prints_a_loss_and_an_accuracy(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})
        loss, accuracy = map(float, capsys.readouterr().out.split())
        assert loss > 0 and 0 <= accuracy <= 100


def test_the_files_that_the_readme_links_to_exist():
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("http", "#"))]
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        assert (README.parent / name).exists(), link
        assert not anchor or f'id="{anchor}"' in (README.parent / name).read_text(encoding="utf-8"), link


def test_the_contents_lead_to_headings():
    text = README.read_text(encoding="utf-8")
    headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^##+ (.+)$", text, re.M)}
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    assert anchors and set(anchors) <= headings
    contents = text[text.index("**Contents.**") : text.index("## The studies")]
    assert re.findall(r"^## (.+)$", text, re.M) == re.findall(r"\[([^\]]+)\]\(#", contents)
