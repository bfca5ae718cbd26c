"""Parameter sets: reading them, checking them, and finding out which one a notebook runs.

The declared names of a study are the keys of ``params/STUDY/demo.yaml``. A notebook's parameters cell
holds the values of that set. What papermill injected, or a reader changed in the cell, wins over the set
that ``parameter_set`` names. No torch is imported here: a mistyped parameter is refused at once.
"""

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from nbhelpers import places
from nbhelpers.errors import InputError
from nbhelpers.parameter_types import TYPES
from nbhelpers.spec import has_bool, reason, suggestion

EXECUTION: dict[str, Any] = {"device": "auto", "workers": 0, "results": "", "train": True, "weights": False}
EXECUTION |= {"compiled": "no", "processes": 1, "ray": "", "runs_per_gpu": 1, "run_limit": 0}
OURS = "ours"  # in described.yaml: the names of the values that the description does not state, and we chose


class ParameterError(InputError):
    """One line: the field, its value, and what is allowed."""


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, and no is a word: PyYAML follows YAML 1.1, where they are text and false."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass(frozen=True)
class Parameters:
    """The parameters of one execution: all values, the set they are (or start from), and the folder of its results."""

    study: str
    values: dict[str, Any]
    set_name: str
    folder_name: str

    @property
    def folder(self) -> Path:
        return places.results(self.values["results"]) / self.study / self.folder_name


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. ParameterError where it is missing, no YAML, or no mapping."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError:
        raise ParameterError(f"{path}: there is no such parameter set") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: must be a mapping of names to values, not {type(values).__name__}")
    return values


def studies() -> list[str]:
    """The names of the studies: notebooks that have parameter sets. _NAME, such as the template, is none."""
    names = (path.stem for path in places.notebooks().glob("[!_]*.ipynb"))
    return sorted(name for name in names if (places.params(name) / "demo.yaml").exists())


def sets(study: str) -> list[str]:
    """The names of a study's parameter sets, demo first. ParameterError for an unknown study."""
    found = sorted((path.stem for path in places.params(study).glob("*.yaml")), key=lambda name: (name != "demo", name))
    if "demo" not in found:
        raise ParameterError(f"{study}: there is no such study{suggestion(study, studies())}")
    return found


def load(study: str, name: str) -> dict[str, Any]:
    """All parameters of the set `name` of `study`, or of a YAML file, checked.

    Names that the set leaves out are those of demo. A null means that a description does not state the value: it
    is taken from the set "ran".
    """
    demo, known = read(places.params(study) / "demo.yaml"), sets(study)
    is_file = name.endswith((".yaml", ".yml"))
    if not is_file and name not in known:
        raise ParameterError(f"parameter_set: {name!r}: {study} has no such set{suggestion(name, known)}")
    given = read(Path(name) if is_file else places.params(study) / f"{name}.yaml")
    given = {field: value for field, value in given.items() if field != OURS}
    return check(study, {**demo, **given, "parameter_set": name}, demo)


def check(study: str, values: Mapping[str, Any], demo: Mapping[str, Any]) -> dict[str, Any]:
    """The values with nulls filled in and types made right; ParameterError for a name or value that is not allowed."""
    declared = {"parameter_set": "demo", **demo, **EXECUTION}
    for name in values:
        if name not in declared:
            raise ParameterError(f"unknown parameter {name!r} of {study}{suggestion(name, declared)}")
    missing = [name for name, value in values.items() if value is None]
    filled = read(places.params(study) / "ran.yaml") if missing else {}
    complete = {**declared, **values, **{name: filled.get(name, declared[name]) for name in missing}}
    return {name: check_value(name, value, declared[name]) for name, value in complete.items()}


def check_value(name: str, value: Any, example: Any) -> Any:
    """`value` in the type of the parameter `name`: its entry in TYPES, else the type of `example`."""
    kind = TYPES.get(name, type(example))
    if has_bool(value) and not isinstance(example, bool):
        raise ParameterError(f"{name}: {value!r}: must not be true or false, but such as {example!r}")
    try:
        checked = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        part = f" {first['input']!r}" if first["loc"] and first["type"] not in ("missing", "value_error") else ""
        raise ParameterError(f"{name}: {value!r}:{part} {reason(first)}") from None
    return list(checked) if isinstance(checked, tuple) else checked


def key_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that decide a result: all but the name of the set and those of execution."""
    return {name: value for name, value in values.items() if name not in EXECUTION and name != "parameter_set"}


def stated(study: str, name: str) -> dict[str, Any]:
    """The key values of the set `name` of `study` but for those that its entry "ours" names."""
    ours = read(places.params(study) / f"{name}.yaml").get(OURS, ())
    return {field: value for field, value in key_values(load(study, name)).items() if field not in ours}


def resolve(study: str, namespace: Mapping[str, Any]) -> Parameters:
    """The parameters of a notebook whose globals are `namespace`, when it makes its Study.

    ParameterError for a name that the parameters cell or papermill set and the study does not declare, for a
    declared name that is missing, and for a value that is not allowed.
    """
    demo = read(places.params(study) / "demo.yaml")
    declared = {"parameter_set": "demo", **demo, **EXECUTION}
    in_cell, injected = assigned(namespace.get("In", ()))
    for name in (in_cell | injected) - {OURS}:
        if name not in declared:
            raise ParameterError(f"unknown parameter {name!r} of {study}{suggestion(name, declared)}")
    for name in declared.keys() - EXECUTION.keys():
        if name not in namespace:
            raise ParameterError(f"parameter {name!r} of {study} is missing in the parameters cell")
    here = {name: namespace.get(name, default) for name, default in declared.items()}
    base = load(study, check_value("parameter_set", here["parameter_set"], "demo"))
    own = {n: v for n, v in here.items() if n in injected or (n in demo and plain(v) != plain(demo[n]))}
    own |= {name: here[name] for name in EXECUTION}
    values = check(study, {**base, **own}, demo)
    return Parameters(study, values, *which(study, values))


def which(study: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """The set that `values` are or start from, and the name of the results folder.

    The folder is that of the set whose values these are, whatever set they started from; SET~HASH8 where they
    are those of none, so that a trial never overwrites a set's results.
    """
    started, known = values["parameter_set"], sets(study)
    for name in dict.fromkeys([started, *known]):
        own_folder = name in known or Path(name).stem not in known  # a file never writes to the folder of a set
        if own_folder and plain(key_values(load(study, name))) == plain(key_values(values)):
            return name, Path(name).stem
    text = json.dumps(plain(key_values(values)), sort_keys=True)
    return started, f"{Path(started).stem}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def plain(value: Any) -> Any:
    """Tuples as lists, so that values from YAML, Python and papermill compare."""
    return json.loads(json.dumps(value))


def assigned(cells: Any) -> tuple[set[str], set[str]]:
    """The names that the parameters cell assigns, and those that papermill's injected cell does.

    `cells` are the sources that the kernel has run (IPython's ``In``). The parameters cell is the last one that
    assigns `parameter_set` and another name; papermill begins its own with "# Parameters".
    """
    in_cell, injected = set(), set()
    for source in cells:
        names = _top_level_names(source)
        if source.startswith("# Parameters\n"):
            injected = names
        elif "parameter_set" in names and len(names) > 1:
            in_cell, injected = names, set()
    return in_cell, injected


def _top_level_names(source: str) -> set[str]:
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # magics; the parameters cell has none
        return set()
    targets = [t for s in statements if isinstance(s, ast.Assign) for t in s.targets]
    targets += [s.target for s in statements if isinstance(s, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
