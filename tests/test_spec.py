"""Specs refuse what they do not know, and have one canonical form."""

import pytest
from pydantic import ValidationError

from nbhelpers.errors import InputError
from nbhelpers.models import MLP, ConvNet
from nbhelpers.run import SCHEDULES, Data, Recipe
from nbhelpers.spec import Spec, arguments, plain, suggestion

RECIPE = {"lr": 0.1, "epochs": 2, "batch_size": 8}


def error_of(spec: type[Spec], **fields) -> str:
    with pytest.raises(InputError) as caught:
        spec(**fields)
    return str(caught.value)


class Old(Spec):
    width: int = 1


class New(Old):
    depth: int = 2


def test_a_field_added_later_leaves_the_canonical_form_alone():
    assert New(width=3).canonical() == Old(width=3).canonical() == {"width": 3}
    assert New(width=3, depth=4).canonical() == {"width": 3, "depth": 4}


def test_specs_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Old().width = 2


@pytest.mark.parametrize(
    "spec, fields",
    [
        (Recipe, RECIPE | {"lr": True}),
        (Recipe, RECIPE | {"epochs": True}),
        (Recipe, RECIPE | {"momentum": False}),
        (Recipe, RECIPE | {"betas": [0.9, True]}),
        (Data, {"name": "shapes", "per_class": True}),
        (Data, {"name": "shapes", "mean": (0.5, False, 0.5)}),
        (ConvNet, {"channels": [8, True]}),
        (MLP, {"hidden": [True]}),
    ],
)
def test_a_bool_is_no_number(spec, fields):
    assert "true and false are no numbers" in error_of(spec, **fields)


@pytest.mark.parametrize(
    "spec, fields",
    [
        (ConvNet, {"channels": [4], "activation": {"name": "relu", "slope": True}}),
        (ConvNet, {"channels": [4], "norm": {"name": "group", "groups": True}}),
        (ConvNet, {"channels": [4], "norm": {"name": "group", "groups": 0}}),
        (ConvNet, {"channels": [4], "norm": {"name": "group", "groups": ["a"]}}),
        (ConvNet, {"channels": [4], "activation": {"name": "relu", "slope": "nan"}}),
        (Recipe, RECIPE | {"schedule": {"name": "steps", "milestones": 20}}),
        (Recipe, RECIPE | {"schedule": {"name": "steps", "milestones": ["x"]}}),
        (Recipe, RECIPE | {"schedule": {"name": ["cosine"]}}),
    ],
)
def test_an_argument_of_a_wrong_kind_is_refused(spec, fields):
    with pytest.raises(InputError):
        spec(**fields)


def test_true_and_false_are_what_a_switch_takes():
    assert ConvNet(channels=[4], bias=False).bias is False
    assert Recipe(**RECIPE, momentum=0.9, nesterov=True).nesterov is True


def test_text_from_yaml_counts_as_the_number_it_spells():
    assert Recipe(**RECIPE | {"lr": "1e-3"}).lr == 0.001
    assert ConvNet(channels=[4], activation={"name": "relu", "slope": "1e1"}).activation == {
        "name": "relu",
        "slope": 10,
    }


@pytest.mark.parametrize(
    "spec, fields, start, allowed",
    [
        (Recipe, RECIPE | {"epohcs": 3}, "epohcs: ", "no such field"),
        (Recipe, {"lr": 0.1, "epochs": 2}, "batch_size: ", "is missing"),
        (Recipe, RECIPE | {"lr": -1}, "lr: -1: ", "must be above 0"),
        (Recipe, RECIPE | {"lr": "fast"}, "lr: 'fast': ", "must be a number"),
        (Recipe, RECIPE | {"epochs": "many"}, "epochs: 'many': ", "must be a whole number"),
        (Recipe, RECIPE | {"epochs": 1.5}, "epochs: 1.5: ", "must be a whole number"),
        (Recipe, RECIPE | {"momentum": 1}, "momentum: 1: ", "must be below 1"),
        (Recipe, RECIPE | {"optimizer": "sdg"}, "optimizer: 'sdg': ", "'sgd', 'adam' or 'adamw'"),
        (Recipe, RECIPE | {"precision": "fp8"}, "precision: 'fp8': ", "'fp32', 'tf32', 'bf16' or 'fp16'"),
        (Recipe, RECIPE | {"nesterov": True}, "nesterov: ", "needs optimizer sgd with momentum above 0"),
        (Data, {"name": "shapes", "per_class": 0}, "per_class: 0: ", "must be at least 1"),
        (ConvNet, {"channels": [8, 0]}, "channels.1: 0: ", "must be at least 1"),
        (ConvNet, {"channels": []}, "channels: []: ", "at least 1"),
        (ConvNet, {"channels": [8], "kernel": 2}, "kernel: 2: ", "must be odd"),
        (ConvNet, {"channels": [8], "pool": [2]}, "pool: [2]: ", "must be rising, from 1 to 1"),
        (
            ConvNet,
            {"channels": [8], "order": "conv-norm"},
            "order: 'conv-norm': ",
            "conv, norm and activation once each",
        ),
    ],
)
def test_an_error_is_one_line_with_field_value_and_what_is_allowed(spec, fields, start, allowed):
    message = error_of(spec, **fields)
    assert message.startswith(start)
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_learning_rate_is_finite(value):
    assert "finite" in error_of(Recipe, **RECIPE | {"lr": value})


@pytest.mark.parametrize(
    "value, words",
    [
        ("rellu", ["unknown activation 'rellu'", "did you mean 'relu'?"]),
        ("xyz", ["unknown activation 'xyz'", "known: relu, leaky_relu, sigmoid"]),
        ({"name": "relu", "slop": 2}, ["activation relu has no argument 'slop'", "arguments: slope"]),
        ({"name": "tanh", "slope": 2}, ["activation tanh has no argument 'slope'", "arguments: none"]),
        ({"name": "relu", "slope": "steep"}, ["activation relu: slope: 'steep': must be a number"]),
        ({"slope": 2}, ["unknown activation"]),
        (None, ["unknown activation"]),
    ],
)
def test_a_wrong_name_or_argument_is_told(value, words):
    message = error_of(ConvNet, channels=[4], activation=value)
    assert message.startswith("activation: ")
    assert [word for word in words if word not in message] == []


def test_a_whole_number_is_asked_for_where_one_is_meant():
    message = error_of(ConvNet, channels=[4], norm={"name": "group", "groups": "four"})
    assert "norm group: groups: 'four': must be a whole number from 1" in message


@pytest.mark.parametrize(
    "field, spellings",
    [
        ("activation", ["relu", {"name": "relu"}, {"name": "relu", "slope": 1}, {"name": "relu", "slope": 1.0}]),
        ("norm", ["batch", {"name": "batch"}, {"name": "batch", "momentum": "0.1", "eps": 1e-5}]),
    ],
)
def test_all_spellings_of_a_default_are_the_default(field, spellings):
    default = ConvNet(channels=[4])
    for spelling in spellings:
        assert ConvNet(channels=[4], **{field: spelling}) == default
        assert ConvNet(channels=[4], **{field: spelling}).canonical() == {"kind": "convnet", "channels": [4]}


def test_whole_numbers_and_floats_are_one_value():
    as_int = ConvNet(channels=(4,), activation={"name": "relu", "slope": 62})
    as_float = ConvNet(channels=[4], activation={"name": "relu", "slope": 62.0})
    assert as_int == as_float
    assert repr(as_int.canonical()) == repr(as_float.canonical())
    assert repr(Recipe(**RECIPE | {"lr": 1}).canonical()) == repr(Recipe(**RECIPE | {"lr": 1.0}).canonical())


def test_groups_as_tuple_and_as_list_are_one_value():
    specs = [ConvNet(channels=[4, 8], norm={"name": "group", "groups": groups}) for groups in ((4, 8), [4, 8])]
    assert specs[0] == specs[1]


def test_a_schedule_keeps_what_differs_from_its_defaults():
    given = {"name": "steps", "milestones": (3, 5), "factor": 0.1}
    recipe = Recipe(**RECIPE, schedule=given)
    assert recipe.schedule == {"name": "steps", "milestones": [3, 5]}
    assert arguments(recipe.schedule, SCHEDULES) == ("steps", {"milestones": [3, 5], "factor": 0.1})


def test_plain_gives_json_types_only():
    value = {"a": (1, [2.5, None]), "b": Old(width=3), "c": {"d": ("x",)}}
    assert plain(value) == {"a": [1, [2.5, None]], "b": {"width": 3}, "c": {"d": ["x"]}}


def test_a_suggestion_is_the_nearest_name_or_the_list():
    assert suggestion("cosin", ["constant", "cosine"]) == ": did you mean 'cosine'?"
    assert suggestion("zzz", ["constant", "cosine"]) == " (known: constant, cosine)"
