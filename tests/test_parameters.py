"""A parameter that is mistyped is refused in one line; one that is not decides the folder of the results."""

import re
import textwrap

import pytest
import yaml

from nbhelpers import parameters, places
from nbhelpers.parameters import EXECUTION, Loader, ParameterError, assigned, check, key_values, load, resolve, which

STUDY = "Sigmoid_vs_ReLU"
NORMS, ORDERS, SCALED = "BatchNorm_vs_GroupNorm", "Conv_Activation_Norm_Position", "ImageNet_MLP_ScaledReLU"
SETS = ["demo", "described", "described_all", "full", "ran"]
EPOCHS = load(STUDY, "demo")["epochs"]
RESULT_NAMES = sorted(key_values(load(STUDY, "demo")))


@pytest.fixture(autouse=True)
def _results_in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("NBHELPERS_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def demo():
    return load(STUDY, "demo")


@pytest.fixture
def own_set(tmp_path):
    """``own_set("epochs: 3")``: the path of a YAML file with this text."""

    def make(text: str, name: str = "own.yaml") -> str:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return make


def refused(study: str = STUDY, **changes) -> str:
    """The one line with which the demo set with `changes` is refused."""
    demo = load(study, "demo")
    with pytest.raises(ParameterError) as caught:
        check(study, {**demo, **changes}, demo)
    line = str(caught.value)
    assert line and "\n" not in line
    return line


def accepted(study: str = STUDY, **changes):
    """The checked value of the one parameter that is changed."""
    demo = load(study, "demo")
    return check(study, {**demo, **changes}, demo)[next(iter(changes))]


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"epohcs": 3}, "unknown parameter 'epohcs' of Sigmoid_vs_ReLU: did you mean 'epochs'?"),
        ({"epochs": -1}, "epochs: -1: must be at least 1"),
        ({"epochs": "many"}, "epochs: 'many': must be a whole number"),
        ({"epochs": True}, f"epochs: True: must not be true or false, but such as {EPOCHS}"),
        ({"epochs": 2.5}, "epochs: 2.5: must be a whole number"),
        ({"epochs": [3]}, "epochs: [3]: must be a whole number"),
        ({"lr": 0}, "lr: 0: must be above 0"),
        ({"lr": float("nan")}, "lr: nan: must be finite"),
        ({"lr": "fast"}, "lr: 'fast': must be a number"),
        (
            {"activations": ["relu", "sgmoid"]},
            "activations: ['relu', 'sgmoid']: unknown activation 'sgmoid': did you mean 'sigmoid'?",
        ),
        ({"activations": "relu"}, "activations: 'relu': must be a list"),
        ({"activations": []}, "activations: []: needs at least 1 value(s)"),
        ({"blocks": [1, 0]}, "blocks: [1, 0]: 0 must be at least 1"),
        ({"blocks": 4}, "blocks: 4: must be a list"),
        ({"betas": [0.9, 1.5]}, "betas: [0.9, 1.5]: 1.5 must be below 1"),
        ({"std": [0, 1, 1]}, "std: [0, 1, 1]: 0 must be above 0"),
        ({"mean": [float("nan"), 0.5, 0.5]}, "mean: [nan, 0.5, 0.5]: nan must be finite"),
        ({"precision": "fp8"}, "precision: 'fp8': must be 'fp32', 'tf32', 'bf16' or 'fp16'"),
        ({"schedule": "cosin"}, "schedule: 'cosin': unknown schedule 'cosin': did you mean 'cosine'?"),
        (
            {"norm": {"name": "group", "group": 8}},
            "norm: {'name': 'group', 'group': 8}: norm group has no argument 'group' (arguments: groups, eps)",
        ),
        ({"shared_subset": "perhaps"}, "shared_subset: 'perhaps': must be true or false"),
        ({"dataset": ""}, "dataset: '': must not be empty"),
        ({"seeds": 0}, "seeds: 0: must be at least 1"),
        ({"first_seed": -1}, "first_seed: -1: must be at least 0"),
        ({"device": "gpu"}, "device: 'gpu': must be 'auto', 'cpu' or 'cuda'"),
        ({"workers": -1}, "workers: -1: must be at least 0"),
        ({"results": 3}, "results: 3: must be text"),
        ({"train": "perhaps"}, "train: 'perhaps': must be true or false"),
        ({"runs_per_gpu": 0}, "runs_per_gpu: 0: must be at least 1"),
        ({"run_limit": -1}, "run_limit: -1: must be at least 0"),
        ({"ray": 6379}, "ray: 6379: must be text"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_field_value_and_what_is_allowed(changes, line):
    assert refused(**changes) == line


ONE_IMAGE = "1 must be at least 2: BatchNorm has nothing to normalise one image with"
TWO_OR_NONE = "must be two rising numbers, or an empty list"


@pytest.mark.parametrize(
    ("study", "name", "value", "allowed"),
    [
        (NORMS, "batch_sizes", [1, 2], ONE_IMAGE),
        (NORMS, "batch_sizes", [4, 2], "must be rising numbers"),
        (NORMS, "batch_sizes", [2, 2], "must be rising numbers"),
        (NORMS, "batch_sizes", [2], "needs at least 2 value(s)"),
        (NORMS, "batch_sizes", 8, "must be a list"),
        (NORMS, "control_batch_sizes", [1, 2], ONE_IMAGE),
        (NORMS, "control_batch_sizes", [8, 2], "must be rising numbers"),
        (NORMS, "control_steps", 0, "must be at least 1"),
        (NORMS, "control_lr_at", 0, "must be at least 1"),
        (NORMS, "alone_batch_sizes", [2], TWO_OR_NONE),
        (NORMS, "alone_batch_sizes", [2, 4, 8], TWO_OR_NONE),
        (NORMS, "alone_batch_sizes", [4, 2], "must be rising numbers"),
        (NORMS, "alone_batch_sizes", [1, 2], ONE_IMAGE),
        (NORMS, "alone_epochs", [10], TWO_OR_NONE),
        (NORMS, "alone_epochs", [0, 10], "0 must be at least 1"),
        (NORMS, "published_table", "many", "must be 'baseline' or 'many_epochs'"),
        (NORMS, "channels", [8, 0, 32], "0 must be at least 1"),
        (NORMS, "channels", [], "needs at least 1 value(s)"),
        (NORMS, "pool", [2, 1], "must be rising numbers"),
        (NORMS, "head", "max", "must be 'average' or 'flatten'"),
        (NORMS, "momentum", 1, "must be below 1"),
        (NORMS, "weights", "perhaps", "must be true or false"),
        (ORDERS, "negative_slope", "steep", "must be a number"),
        (ORDERS, "negative_slope", float("inf"), "must be finite"),
        (SCALED, "r", 0, "must be at least 1"),
        (SCALED, "r", -1, "must be at least 1"),
        (SCALED, "r", 100, "must be at most 99"),
        (SCALED, "r", 2.5, "must be a whole number"),
        (SCALED, "r", True, "must not be true or false, but such as 62"),
        (SCALED, "output", "sigmoid", "must be 'logits' or 'softmax'"),
        (SCALED, "test_from", "val", "must be 'test', 'train' or 'seen'"),
        (SCALED, "evaluate", "never", "must be 'end' or 'epoch'"),
        (SCALED, "hidden", [], "needs at least 1 value(s)"),
        (SCALED, "hidden", [64, -1], "-1 must be at least 1"),
        (SCALED, "conv_channels", [0], "0 must be at least 1"),
        (SCALED, "sizes", [16], "needs at least 2 value(s)"),
        (SCALED, "sizes", [16, 8], "must be rising numbers"),
        (SCALED, "permutation", -1, "must be at least 0"),
        (SCALED, "map_r", [0, 2], "0 must be at least 1"),
        (SCALED, "map_r", [1, 2.5], "2.5 must be a whole number"),
        (SCALED, "map_lr", [0, 0.1], "0 must be above 0"),
        (SCALED, "map_lr", [0.1, 0.01], "must be rising numbers"),
        (SCALED, "map_lr", [0.1], "needs at least 2 value(s)"),
        (SCALED, "map_seeds", 0, "must be at least 1"),
    ],
)
def test_a_value_of_another_study_is_refused_with_field_value_and_what_is_allowed(study, name, value, allowed):
    assert refused(study, **{name: value}) == f"{name}: {value!r}: {allowed}"


@pytest.mark.parametrize(
    ("study", "name", "value"),
    [
        (NORMS, "control_batch_sizes", []),
        (NORMS, "alone_batch_sizes", []),
        (NORMS, "alone_epochs", [1, 100]),
        (NORMS, "groups", 4),
        (NORMS, "groups", [2, 4, 8]),
        (SCALED, "r", 1),
        (SCALED, "r", 99),
        (SCALED, "map_lr", [1e-7, 1]),
        (SCALED, "test_from", "train"),
    ],
)
def test_the_ends_of_what_is_allowed(study, name, value):
    assert accepted(study, **{name: value}) == value


@pytest.mark.parametrize(
    "changes", [{"blocks": [True, 4]}, {"mean": [True, 0.5, 0.5]}, {"betas": [False, 0.9]}], ids=str
)
def test_true_in_a_list_of_numbers_is_refused(changes):
    assert "True" in refused(**changes) or "False" in refused(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"norm": {"name": "group", "groups": True}}, {"activations": [{"name": "sigmoid", "scale": True}]}],
    ids=["whole", "real"],
)
def test_true_as_an_argument_is_refused(changes):
    assert "True" in refused(**changes)


def test_a_name_that_resembles_none_lists_the_known_ones():
    line = refused(zzz=1)
    assert line.startswith("unknown parameter 'zzz' of Sigmoid_vs_ReLU (known: parameter_set, dataset, ")
    assert all(name in line for name in (*RESULT_NAMES, *EXECUTION))


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"lr": "1e-3"}, 0.001),
        ({"lr": 1}, 1.0),
        ({"epochs": "3"}, 3),
        ({"train": "no"}, False),
        ({"epochs": 3.0}, 3),
        ({"betas": (0.9, 0.99)}, [0.9, 0.99]),
        ({"norm": {"name": "group", "groups": 8}}, {"name": "group", "groups": 8}),
        ({"norm": {"name": "batch", "momentum": 0.1}}, "batch"),
        ({"schedule": {"name": "cosine", "min_lr": 0}}, "cosine"),
        ({"rescaled_blocks": (1, 4)}, [1, 4]),
    ],
)
def test_a_value_in_another_spelling_gets_the_type_of_its_parameter(changes, value):
    found = accepted(**changes)
    assert (found, type(found)) == (value, type(value))


# ------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-3", 0.001), ("1E-3", 0.001), ("1e3", 1000.0), ("-2.5e-3", -0.0025), (".5e1", 5.0), ("1.e-2", 0.01)],
        *[
            ("0.001", 0.001),
            ("3", 3),
            ("true", True),
            ("False", False),
            ("no", "no"),
            ("null", None),
            ("1e", "1e"),
            ("e3", "e3"),
            ("fp32", "fp32"),
        ],
    ],
)
def test_yaml_numbers_with_an_exponent_are_numbers_and_no_is_a_word(text, value):
    found = yaml.load(text, Loader)
    assert (found, type(found)) == (value, type(value))


def test_a_learning_rate_with_an_exponent_works_from_a_file(own_set):
    assert load(STUDY, own_set("lr: 1e-3"))["lr"] == 0.001


@pytest.mark.parametrize(
    ("text", "kind"), [("- epochs\n- 3", "list"), ("epochs", "str"), ("", "NoneType"), ("3", "int")]
)
def test_a_file_without_a_mapping_is_refused_in_one_line(own_set, text, kind):
    path = own_set(text)
    with pytest.raises(ParameterError) as caught:
        load(STUDY, path)
    assert str(caught.value) == f"{path}: must be a mapping of names to values, not {kind}"


def test_a_file_that_is_no_yaml_is_refused_in_one_line(own_set):
    path = own_set("epochs: [1, 2\nlr: 3")
    with pytest.raises(ParameterError) as caught:
        load(STUDY, path)
    assert str(caught.value).startswith(f"{path}: is no YAML: ") and "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path):
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x00e")
    with pytest.raises(ParameterError, match=r"own.yaml: is no YAML: "):
        load(STUDY, str(tmp_path / "own.yaml"))


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path):
    path = str(tmp_path / "none.yaml")
    with pytest.raises(ParameterError) as caught:
        load(STUDY, path)
    assert str(caught.value) == f"{path}: there is no such parameter set"


def test_an_unknown_set_is_refused_with_the_nearest_or_all():
    with pytest.raises(ParameterError) as caught:
        load(STUDY, "rann")
    assert str(caught.value) == "parameter_set: 'rann': Sigmoid_vs_ReLU has no such set: did you mean 'ran'?"
    with pytest.raises(ParameterError, match="known: demo, described, described_all, full, ran"):
        load(STUDY, "smallest")


def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(ParameterError) as caught:
        parameters.sets("Sigmoid_vs_Relu")
    assert str(caught.value) == "Sigmoid_vs_Relu: there is no such study: did you mean 'Sigmoid_vs_ReLU'?"


def test_the_sets_are_listed_with_demo_first():
    assert parameters.sets(STUDY) == SETS


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_complete_and_allowed(name, demo):
    values = load(STUDY, name)
    assert set(values) == set(demo) == {"parameter_set", *RESULT_NAMES, *EXECUTION}
    assert values["parameter_set"] == name
    assert None not in values.values()
    assert {name: values[name] for name in EXECUTION} == EXECUTION


@pytest.mark.parametrize("name", ["described", "described_all"])
def test_what_the_description_does_not_state_is_what_the_notebook_ran(name):
    written = parameters.read(places.params(STUDY) / f"{name}.yaml")
    assert "seeds" in written.pop("ours")
    values, ran = load(STUDY, name), load(STUDY, "ran")
    nulls = [parameter for parameter, value in written.items() if value is None]
    assert {"lr", "weight_decay", "epochs", "batch_size", "mean", "width"} <= set(nulls)
    assert {parameter: values[parameter] for parameter in nulls} == {parameter: ran[parameter] for parameter in nulls}
    stated = {parameter: value for parameter, value in written.items() if value is not None}
    assert {parameter: values[parameter] for parameter in stated} == stated
    assert values["images_per_class"] != ran["images_per_class"]


def test_an_own_set_takes_what_it_leaves_out_from_demo(own_set, demo):
    path = own_set("epochs: 7")
    assert load(STUDY, path) == {**demo, "parameter_set": path, "epochs": 7}


# ----------------------------------------------------------------- folders


@pytest.mark.parametrize("name", SETS)
def test_the_values_of_a_set_go_to_its_folder_whatever_set_they_started_from(name, demo):
    values = load(STUDY, name)
    assert which(STUDY, values) == (name, name)
    assert which(STUDY, {**values, "parameter_set": "demo"}) == (name, name)


@pytest.mark.parametrize("name", RESULT_NAMES)
def test_one_changed_value_goes_to_a_folder_of_its_own(name):
    ran = load(STUDY, "ran")
    other = {bool: not ran[name], int: 17, float: 0.25, str: "another", list: [2]}[type(ran[name])]
    started, folder = which(STUDY, {**ran, name: other})
    assert started == "ran" and re.fullmatch(r"ran~[0-9a-f]{8}", folder)


def test_two_trials_have_two_folders_and_the_same_trial_has_one(demo):
    folders = [which(STUDY, {**demo, "epochs": epochs})[1] for epochs in (5, 6, 5)]
    assert folders[0] == folders[2] != folders[1]
    values = dict(reversed({**demo, "epochs": 5}.items()))
    assert which(STUDY, values)[1] == folders[0]


@pytest.mark.parametrize(
    "change",
    [{"device": "cpu"}, {"workers": 3}, {"results": "x"}, {"train": False}, {"weights": True}, {"run_limit": 60}],
    ids=str,
)
def test_parameters_of_execution_change_no_folder(demo, change):
    assert which(STUDY, {**demo, **change}) == ("demo", "demo")
    assert which(STUDY, {**demo, "epochs": 5, **change}) == which(STUDY, {**demo, "epochs": 5})


def test_an_own_set_goes_to_the_stem_of_its_file(own_set):
    path = own_set("epochs: 7", "slow.yaml")
    values = load(STUDY, path)
    assert which(STUDY, values) == (path, "slow")
    assert re.fullmatch(r"slow~[0-9a-f]{8}", which(STUDY, {**values, "epochs": 8})[1])


def test_an_own_set_with_the_values_of_demo_goes_to_its_own_folder(own_set):
    path = own_set(f"epochs: {EPOCHS}", "same.yaml")
    assert which(STUDY, load(STUDY, path)) == (path, "same")


def test_an_own_set_named_like_a_set_of_the_study_does_not_write_to_its_folder(own_set):
    assert which(STUDY, load(STUDY, own_set("epochs: 7", "ran.yaml")))[1] != "ran"


# ---------------------------------------------------- the namespace of a notebook

CELL = 'parameter_set = "demo"\n' + "\n".join(f"{n} = {v!r}" for n, v in {**load(STUDY, "demo"), **EXECUTION}.items())


def notebook(*sources: str) -> dict:
    """The globals of a notebook that ran these cells after its parameters cell, as IPython keeps them."""
    namespace = {}
    cells = ["", "import os", CELL, *sources]
    for source in cells:
        exec(source, namespace)
    return namespace | {"In": cells}


def injected(**values) -> str:
    """The cell that papermill adds."""
    return "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in values.items())


def edited(**values) -> str:
    """The parameters cell with changed lines, run again."""
    return "\n".join([CELL, *(f"{name} = {value!r}" for name, value in values.items())])


def test_the_cell_as_it_is_is_the_set_demo(demo):
    found = resolve(STUDY, notebook())
    assert (found.values, found.set_name, found.folder_name) == (demo, "demo", "demo")


def test_the_name_of_a_set_alone_gives_all_its_values():
    found = resolve(STUDY, notebook(edited(parameter_set="ran")))
    assert (found.values, found.folder_name) == (load(STUDY, "ran"), "ran")


def test_the_name_of_a_set_in_a_cell_of_its_own_gives_all_its_values():
    assert resolve(STUDY, notebook('parameter_set = "ran"')).values == load(STUDY, "ran")


def test_an_edited_value_wins_over_the_set():
    found = resolve(STUDY, notebook(edited(parameter_set="ran", epochs=7)))
    assert found.values == {**load(STUDY, "ran"), "epochs": 7}
    assert (found.set_name, found.folder_name[:4]) == ("ran", "ran~")


def test_an_injected_value_wins_over_the_set_even_where_it_is_that_of_demo(demo):
    ran = load(STUDY, "ran")
    assert demo["batch_size"] != ran["batch_size"]
    found = resolve(STUDY, notebook(injected(parameter_set="ran", batch_size=demo["batch_size"])))
    assert found.values == {**ran, "batch_size": demo["batch_size"]}


def test_an_injected_number_may_be_text_as_papermill_gives_it(demo):
    assert resolve(STUDY, notebook(injected(lr="1e-3"))).values == {**demo, "lr": 0.001}


def test_injecting_the_file_of_a_set_is_that_set():
    written = parameters.read(places.params(STUDY) / "described.yaml")
    found = resolve(STUDY, notebook(injected(**written)))
    assert key_values(found.values) == key_values(load(STUDY, "described"))
    assert found.folder_name == "described"


def test_the_parameters_cell_run_again_undoes_what_was_injected(demo):
    assert resolve(STUDY, notebook(injected(epochs=9), CELL)).values == demo


def test_parameters_of_execution_are_those_of_the_cell():
    found = resolve(STUDY, notebook(edited(parameter_set="ran", device="cpu", workers=2, train=False)))
    assert {name: found.values[name] for name in EXECUTION} == {**EXECUTION, "device": "cpu", "workers": 2, "train": 0}
    assert found.folder_name == "ran"


def test_a_study_that_is_made_again_has_the_same_parameters():
    namespace = notebook(edited(parameter_set="ran", epochs=7))
    first = resolve(STUDY, namespace)
    namespace.update(first.values)
    assert resolve(STUDY, namespace) == first


@pytest.mark.parametrize("source", [edited(epohcs=3), injected(epohcs=3)], ids=["in the cell", "injected"])
def test_a_mistyped_name_is_refused_with_the_right_one(source):
    with pytest.raises(ParameterError) as caught:
        resolve(STUDY, notebook(source))
    assert str(caught.value) == "unknown parameter 'epohcs' of Sigmoid_vs_ReLU: did you mean 'epochs'?"


def test_a_name_of_another_cell_is_no_parameter(demo):
    assert resolve(STUDY, notebook("epohcs = 3", "more = [1]\nparts: int = 3")).values == demo


def test_a_name_that_the_cell_lacks_is_named():
    namespace = notebook()
    del namespace["epochs"]
    with pytest.raises(ParameterError) as caught:
        resolve(STUDY, namespace)
    assert str(caught.value) == "parameter 'epochs' of Sigmoid_vs_ReLU is missing in the parameters cell"


def test_a_value_that_is_not_allowed_is_refused_in_the_notebook_too():
    with pytest.raises(ParameterError, match=r"^epochs: 'many': must be a whole number$"):
        resolve(STUDY, notebook(edited(epochs="many")))
    with pytest.raises(ParameterError, match="did you mean 'ran'"):
        resolve(STUDY, notebook(edited(parameter_set="rann")))


TWO = "parameter_set = 1\na = 2"


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([], (set(), set())),
        (["", "x = 1"], (set(), set())),
        (["parameter_set = 1\na = 2\nb: int = 3"], ({"parameter_set", "a", "b"}, set())),
        ([TWO, "# Parameters\na = 3"], ({"parameter_set", "a"}, {"a"})),
        ([TWO, "# Parameters\na = 3", "parameter_set = 1\nb = 2"], ({"parameter_set", "b"}, set())),
        ([TWO, "%matplotlib inline", "parameter_set = 2"], ({"parameter_set", "a"}, set())),
        (["# a comment\nparameter_set = 1\na = 2"], ({"parameter_set", "a"}, set())),
    ],
)
def test_the_names_that_the_parameters_cell_and_papermill_assign(cells, found):
    assert assigned(cells) == found
