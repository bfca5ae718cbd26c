"""Parameters as specs: the Data and the Recipe that the values of a parameter set name. No torch is imported here."""

from collections.abc import Mapping
from typing import Any

from nbhelpers import data as datasets
from nbhelpers import parameters
from nbhelpers.errors import InputError
from nbhelpers.models.resnet import NAMED
from nbhelpers.run import Data, Recipe

NETS = "ResNet_CIFAR10"  # the study whose parameter sets train a single net

NAMES = {  # fields of Data whose parameters have other names
    "name": "dataset",
    "per_class": "images_per_class",
    "test_per_class": "test_images_per_class",
    "validation_per_class": "validation_images_per_class",
}


def data(values: Mapping[str, Any]) -> Data:
    """The Data of the parameters `values` (dataset, images_per_class, size, mean, std ...).

    A size or a number of images that is all there is means the same as none, so that the run is the same too; so do
    0 validation images. Raises DataError for a data set that is unknown or has too few classes or images.
    """
    name, number = values["dataset"], values.get("classes")
    datasets.check(name, values.get("size"), number)
    shape, classes = datasets.describe(name)
    everything = dict(zip(("per_class", "test_per_class"), datasets.per_class(name), strict=True))
    everything |= {"size": shape[1], "classes": classes}
    given = {f: values.get(NAMES.get(f, f), d.get_default()) for f, d in Data.model_fields.items()}
    if given["test_from"] == "train":  # then neither number is all there is
        everything = {field: value for field, value in everything.items() if not field.endswith("per_class")}
    if given["test_from"] == "test":
        for field, most in everything.items():
            if field.endswith("per_class") and most and (given[field] or 0) > most:
                raise datasets.DataError(f"{NAMES[field]}: {given[field]}: {name} has {most} images of each class")
    if held_out := given["validation_per_class"] or None:
        everything["per_class"] = everything["per_class"] and everything["per_class"] - held_out
    given |= {field: None for field, value in everything.items() if given[field] == value}
    return Data(**given | {"validation_per_class": held_out, "subset_seed": 0 if values.get("shared_subset") else None})


def recipe(values: Mapping[str, Any]) -> Recipe:
    """The Recipe whose fields are the parameters of the same names; a `stop_after` of 0 is none."""
    given = {name: values[name] for name in Recipe.model_fields if name in values}
    return Recipe(**given | {"stop_after": given.get("stop_after") or None})


def of_net(model: str, set_name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a set of NETS, with `changes`, to train `model` with.

    InputError for a net that is not in `models.resnet.NAMED`, a set, and a parameter's name or value.
    """
    if model not in NAMED:
        raise InputError(f"model: {model!r}: must be one of {', '.join(NAMED)}")
    return parameters.check(NETS, parameters.load(NETS, set_name) | dict(changes), parameters.load(NETS, "demo"))
