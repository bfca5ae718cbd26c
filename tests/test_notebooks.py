"""Every notebook has the same skeleton, says nothing that is not computed, and can be read in one sitting."""

import ast
import builtins
import json
import re
from pathlib import Path

import pytest

from nbhelpers import parameters, published
from nbhelpers.parameters import EXECUTION
from nbhelpers.study import Study

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb") if not path.stem.startswith("_"))
ALL = [*NAMES, "_template"]  # what `nbhelpers new` starts from is held to the same
HEADINGS = ["Parameters", "Arms", "The data", "Inside the net", "The runs", "Result", "Why", "Claims"]
MOST_CELLS = {"Building_First_Neural_Networks": 60}  # a lesson of many small parts
MOST_LINES = {"ResNet_CIFAR10": 157, "Building_First_Neural_Networks": 200}  # of code, where there is more to compare
HEADINGS += ["Where description and notebook differ", "What to take home", "Exercises", "Provenance"]


@pytest.fixture(params=ALL)
def notebook(request):
    """The notebook as JSON, with its name."""
    made = json.loads((FOLDER / f"{request.param}.ipynb").read_text(encoding="utf-8"))
    return made | {"name": request.param}


def cells(notebook: dict, kind: str = "code") -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tree(cell: dict) -> ast.Module:
    """The cell's statements; a magic counts as `pass`."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source(cell), flags=re.MULTILINE))


def tagged(notebook: dict) -> list[dict]:
    return [cell for cell in cells(notebook) if "parameters" in cell["metadata"].get("tags", [])]


def in_cell(notebook: dict) -> dict:
    """What the parameters cell assigns."""
    return {s.targets[0].id: ast.literal_eval(s.value) for s in tree(tagged(notebook)[0]).body}


def outside_functions(node: ast.AST):
    """All nodes below `node` but those in functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield from outside_functions(child)


def test_there_are_notebooks():
    assert "Sigmoid_vs_ReLU" in NAMES


def test_every_notebook_is_a_study_and_every_study_a_notebook():
    assert parameters.studies() == NAMES


def test_one_cell_is_tagged_parameters(notebook):
    assert len(tagged(notebook)) == 1


def test_the_kernel_is_python3(notebook):
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)


def test_cells_have_names_of_their_own(notebook):
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in ids)


def test_the_source_has_no_outputs_and_no_traces_of_an_execution(notebook):
    for cell in cells(notebook):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        assert not {"papermill", "execution", "collapsed"} & cell["metadata"].keys()
    assert notebook["metadata"].keys() <= {"kernelspec", "language_info"}


def test_no_class_is_defined_and_nothing_is_looped_over(notebook):
    for cell in cells(notebook):
        assert not [node for node in ast.walk(tree(cell)) if isinstance(node, ast.ClassDef)], cell["id"]
        loops = [node for node in outside_functions(tree(cell)) if isinstance(node, (ast.For, ast.While))]
        assert not loops, cell["id"]


def test_no_cell_trains_by_itself(notebook):
    for cell in cells(notebook):
        called = {node.attr for node in ast.walk(tree(cell)) if isinstance(node, ast.Attribute)}
        assert not called & {"backward", "zero_grad", "step", "cuda"}, cell["id"]


def test_it_is_short(notebook):
    own = [cell for cell in cells(notebook) if cell not in tagged(notebook) and cell["id"] != "bootstrap"]
    code = [line for cell in own for line in source(cell).splitlines() if line.strip()]
    assert len(notebook["cells"]) <= MOST_CELLS.get(notebook["name"], 40)
    assert len(code) <= MOST_LINES.get(notebook["name"], 121)


def test_its_sections_are_those_of_all_notebooks_in_their_order(notebook):
    found = re.findall(r"^## (.+)$", "\n".join(map(source, cells(notebook, "markdown"))), flags=re.MULTILINE)
    repeats = notebook["name"] in published.SERIES  # else there is no description that it could differ from
    expected = [name for name in HEADINGS if repeats or name != "Where description and notebook differ"]
    assert [heading for heading in found if heading in HEADINGS] == expected


def test_it_begins_with_a_title_a_badge_of_its_own_and_the_question(notebook):
    first = source(notebook["cells"][0])
    assert first.startswith("# ") and f"/notebooks/{notebook['name']}.ipynb)" in first
    assert "**Question.**" in first and "**What was published.**" in first


def test_it_makes_the_study_of_its_own_name_right_after_the_parameters(notebook):
    code = cells(notebook)
    after = code[code.index(tagged(notebook)[0]) + 1]
    assert source(after) == f'study = nb.Study("{notebook["name"]}", globals())'


def test_the_parameters_cell_is_flat_literals_equal_to_demo(notebook):
    statements = tree(tagged(notebook)[0]).body
    assert all(isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) for s in statements)
    demo = parameters.read(parameters.places.params(notebook["name"]) / "demo.yaml")
    expected = {"parameter_set": "demo", **demo, **EXECUTION}
    found = in_cell(notebook)
    assert found == expected and list(found) == list(expected)
    assert {n: type(v) for n, v in found.items()} == {n: type(v) for n, v in expected.items()}


def test_mocks_are_allowed_values_of_parameters(notebook):
    mock = tagged(notebook)[0]["metadata"]["nbmake"]["mock"]
    demo = parameters.load(notebook["name"], "demo")
    assert mock and set(mock) <= set(demo)
    assert parameters.check(notebook["name"], {**demo, **mock}, demo) == {**demo, **mock}


@pytest.mark.parametrize(("study", "name"), [(study, name) for study in ALL for name in parameters.sets(study)])
def test_every_set_is_allowed_and_goes_to_its_own_folder(study, name):
    values = parameters.load(study, name)
    assert parameters.which(study, values) == (name, name)


WITHOUT_A_NOTEBOOK = {"Activation_Zoo": "cpu"}  # no original notebook ran it; what we run instead


@pytest.mark.parametrize("study", ALL)
def test_the_usual_sets_are_there(study):
    repeats = {"described", WITHOUT_A_NOTEBOOK.get(study, "ran")} if study in published.SERIES else set()
    assert {"demo", "full"} | repeats <= set(parameters.sets(study))


@pytest.mark.parametrize(("study", "name"), [(study, name) for study in ALL for name in parameters.sets(study)])
def test_a_set_names_every_parameter_and_null_is_for_what_a_description_does_not_state(study, name):
    folder = parameters.places.params(study)
    written, demo = (parameters.read(folder / f"{n}.yaml") for n in (name, "demo"))
    ours = written.pop("ours", [])
    assert set(ours) <= set(written) and all(written[parameter] is not None for parameter in ours)
    assert list(written) == list(demo)
    assert name.startswith("described") or None not in written.values()


class Asked(dict):
    """A dict that remembers what it was asked for."""

    def __init__(self, values: dict):
        super().__init__(values)
        self.names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)

    def __or__(self, other):
        made = Asked({**self, **other})
        made.names = self.names  # what is asked of the copy is asked of this
        return made


def test_every_declared_parameter_is_used(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path))
    study = Study(notebook["name"], dict(parameters.load(notebook["name"], "demo")))
    study.values = Asked(study.values)
    study.data()
    study.recipe(**{name: 2 for name in ("batch_size", "epochs") if name not in study.values})
    used = study.values.names | EXECUTION.keys() | {"parameter_set", "first_seed"}
    for cell in cells(notebook):
        if cell not in tagged(notebook):
            used |= {n.id for n in ast.walk(tree(cell)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            used |= {
                node.attr
                for node in ast.walk(tree(cell))
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "study"
            }
    assert set(in_cell(notebook)) - used == set()


def test_every_name_that_a_cell_uses_was_set_before(notebook):
    known = {*dir(builtins), "nb"}
    for cell in cells(notebook):
        nodes = list(ast.walk(tree(cell)))
        known |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        known |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
        loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert loaded <= known, cell["id"]


def test_the_four_exercises_change_a_parameter_to_an_allowed_value(notebook):
    text = next(text for cell in cells(notebook, "markdown") if (text := source(cell)).startswith("## Exercises"))
    exercises = re.findall(r"^\d\. `(\w+) = (.+?)`", text, flags=re.MULTILINE)
    assert len(exercises) == len(re.findall(r"^\d\. ", text, flags=re.MULTILINE)) == 4
    demo = parameters.load(notebook["name"], "demo")
    for name, value in exercises:
        changed = parameters.check(notebook["name"], {**demo, name: ast.literal_eval(value)}, demo)
        assert changed != demo


def test_prose_holds_no_result(notebook):
    for cell in cells(notebook, "markdown"):
        prose = re.sub(r"`[^`]*`|\(https?:[^)]*\)|arXiv:[\d.]+|95%", "", source(cell))
        assert not re.search(r"\d\s?%|\d\.\d", prose), cell["id"]
