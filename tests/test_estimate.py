"""Layers, multiply-accumulates and seconds of a run are known before it is started."""

import pytest
import torch

from nbhelpers import data, estimate, parameters, published
from nbhelpers.models import MLP, ConvNet
from nbhelpers.run import Data, Recipe, Run

FIRST = 3 * 3 * 3 * 32 * 32 * 32  # multiply-accumulates of a 3x3 convolution from 3 to 32 channels, 32x32 pixels
NEXT = 3 * 3 * 32 * 32 * 32 * 32  # from 32 to 32
LAST = 32 * 10
LAYERS, OUTPUTS = 6, 3 * 32 * 32 * 32 + 32 + 32 + 10  # of the net with one such convolution


def run(model=None, seed: int = 0, **changes) -> Run:
    """Ten images of each of CIFAR-10's classes, five to test on, two epochs; the names are fields of Data or Recipe."""
    fields = {
        "name": "cifar10",
        "per_class": 10,
        "test_per_class": 5,
        "lr": 0.1,
        "epochs": 2,
        "batch_size": 25,
    } | changes
    parts = [{k: v for k, v in fields.items() if k in kind.model_fields} for kind in (Data, Recipe)]
    return Run(data=Data(**parts[0]), recipe=Recipe(**parts[1]), model=model or ConvNet(channels=[32]), seed=seed)


@pytest.mark.parametrize(("blocks", "parameters"), [(1, 1290), (4, 29226), (8, 66474)])
def test_layers_of_a_convolutional_net_by_hand(blocks, parameters):
    rows = estimate.layer_rows(ConvNet(channels=[32] * blocks), (3, 32, 32), 10)
    assert sum(row["parameters"] for row in rows) == parameters
    assert sum(row["macs"] for row in rows) == FIRST + (blocks - 1) * NEXT + LAST
    assert rows[0] == {
        "layer": "block1.conv",
        "type": "Conv2d",
        "output": (32, 32, 32),
        "parameters": 3 * 3 * 3 * 32 + 32,
        "macs": FIRST,
    }
    assert [row["macs"] for row in rows if row["type"] in ("BatchNorm2d", "ReLU")] == [0] * 2 * blocks
    assert (rows[-1]["layer"], rows[-1]["output"]) == ("linear", (10,))


def test_layers_of_a_perceptron_by_hand():
    rows = estimate.layer_rows(MLP(hidden=(64, 128)), (3, 8, 8), 3)
    linear = [row for row in rows if row["type"] == "Linear"]
    assert [row["macs"] for row in linear] == [192 * 64, 64 * 128, 128 * 3]
    assert [row["parameters"] for row in linear] == [192 * 64 + 64, 64 * 128 + 128, 128 * 3 + 3]


def test_a_net_too_large_for_any_memory_has_layers_all_the_same():
    rows = estimate.layer_rows(MLP(hidden=(10**7, 10**7)), (3, 32, 32), 10)
    assert sum(row["macs"] for row in rows) == 3072 * 10**7 + 10**14 + 10**8


def test_counting_layers_draws_no_random_number():
    before = torch.get_rng_state()
    estimate.layer_rows(ConvNet(channels=[3, 5]), (3, 9, 9), 4)
    assert torch.equal(before, torch.get_rng_state())


def test_changing_the_rows_changes_no_later_ones():
    net = ConvNet(channels=[4])
    estimate.layer_rows(net, (3, 8, 8), 3)[0]["macs"] = 0
    assert estimate.layer_rows(net, (3, 8, 8), 3)[0]["macs"] == 27 * 4 * 64


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 3 * 100 * 2 + 50),
        ({"evaluate": "epoch"}, 3 * 100 * 2 + 50 * 2),
        ({"epochs": 5, "stop_after": 3}, 3 * 100 * 3 + 50),
        ({"classes": 4}, 3 * 40 * 2 + 20),
        ({"steps_per_epoch": 3}, 3 * 3 * 25 * 2 + 50),
        ({"steps_per_epoch": 9, "per_class": None}, 3 * 9 * 25 * 2 + 50),
        ({"per_class": None, "test_per_class": None}, 3 * 50000 * 2 + 10000),
    ],
    ids=str,
)
def test_macs_of_a_run_are_three_passes_for_training_and_one_for_testing(changes, passes):
    classes = changes.get("classes", 10)
    assert estimate.macs(run(**changes)) == (FIRST + 32 * classes) * passes


def test_the_size_of_the_images_counts():
    whole, same, half = (estimate.macs(run(size=size)) for size in (None, 32, 16))
    assert whole == same == (FIRST + LAST) * 650
    assert half == (FIRST / 4 + LAST) * 650


def test_seconds_are_start_layers_macs_and_outputs():
    def by_hand(steps, images):
        return 0.5 + 150e-6 * LAYERS * steps + ((FIRST + LAST) / 100e9 + OUTPUTS / 1e9) * images

    assert estimate.seconds(run()) == pytest.approx(by_hand(2 * 100 / 25, 650))
    assert estimate.seconds(run(steps_per_epoch=9)) == pytest.approx(by_hand(2 * 9, 3 * 9 * 25 * 2 + 50))
    assert estimate.seconds(run()) < estimate.seconds(run(epochs=4)) < estimate.seconds(run(epochs=4, batch_size=1))


def test_sharpness_aware_minimisation_sees_each_training_image_twice():
    plain, sam = run(), run(sam=0.05)
    assert estimate.macs(sam) - estimate.macs(plain) == (FIRST + LAST) * 600
    assert estimate.seconds(sam) - 0.5 == pytest.approx(2 * (estimate.seconds(plain) - 0.5), rel=0.1)


def test_a_deep_narrow_net_takes_longer_than_a_shallow_one_of_as_many_macs():
    deep, shallow = ConvNet(channels=[8] * 40), ConvNet(channels=[32] * 3)
    many, few = (estimate.macs(run(net, size=8)) for net in (deep, shallow))
    assert many < 1.3 * few and estimate.seconds(run(deep, size=8)) - 0.5 > 4 * (
        estimate.seconds(run(shallow, size=8)) - 0.5
    )


def test_steps_are_those_of_the_recipe_or_of_whole_passes():
    assert estimate.steps(run(), 10) == 2 * 100 / 25
    assert estimate.steps(run(steps_per_epoch=9), 10) == 2 * 9
    assert estimate.steps(run(steps_per_epoch=9, epochs=5, stop_after=3), 10) == 3 * 9


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("cifar10", 5000, 1000),
        ("cifar100", 500, 100),
        ("tiny-imagenet-72", 200, 50),
        ("shapes", 1000, 200),
        ("mnist", 5000, 1000),  # this and the next do not say
        ("folder:anywhere", 5000, 1000),
    ],
)
def test_all_images_are_as_many_as_the_data_set_has_of_each_class(name, train, test):
    assert estimate.images(run(name=name, per_class=None, test_per_class=None), 7) == (7 * train, 7 * test)
    assert estimate.images(run(name=name), 7) == (70, 35)


def test_nothing_is_downloaded_for_an_estimate(monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("the data set was loaded"))
    assert estimate.seconds(run()) > 0


def test_the_counts_of_the_published_nets_are_the_published_ones():
    for row in published.series("Sigmoid_vs_ReLU", "parameters").itertuples():
        layers = estimate.layer_rows(ConvNet(channels=[32] * row.blocks), (3, 32, 32), 10)
        assert sum(layer["parameters"] for layer in layers) == row.value


def parameters_of(study: str, *models) -> list[int]:
    """The parameters of nets for the images of the study's set "ran"."""
    ran = parameters.load(study, "ran")
    classes = 10 + ran["r"] if "r" in ran else ran["classes"]
    shape, classes = data.describe(ran["dataset"], ran["size"], classes)
    return [sum(row["parameters"] for row in estimate.layer_rows(model, shape, classes)) for model in models]


def test_the_net_of_the_set_ran_has_the_published_count_with_either_norm():
    study = "BatchNorm_vs_GroupNorm"
    ran = parameters.load(study, "ran")
    own = {name: ran[name] for name in ("channels", "pool", "kernel", "head", "activation")}
    norms = ("batch", {"name": "group", "groups": ran["groups"]})
    assert parameters_of(study, *(ConvNet(**own, norm=norm) for norm in norms)) == [34_058] * 2


def test_the_net_of_the_set_ran_has_the_published_count_in_each_order():
    study = "Conv_Activation_Norm_Position"
    ran = parameters.load(study, "ran")
    own = {name: ran[name] for name in ("channels", "pool", "kernel", "head")}
    leaky = {"name": "leaky_relu", "negative_slope": ran["negative_slope"]}
    nets = [
        ConvNet(**own, order="conv-norm-activation", activation="relu", norm="batch"),
        ConvNet(**own, order="conv-activation-norm", activation="relu", norm="batch"),
        ConvNet(**own, order="conv-activation-norm", activation=leaky, norm="batch"),
    ]
    assert parameters_of(study, *nets) == [196_904] * 3


def test_the_net_of_the_set_ran_has_the_published_count_with_both_rectifiers():
    study = "ImageNet_MLP_ScaledReLU"
    ran = parameters.load(study, "ran")
    rectifiers = ("relu", {"name": "relu", "slope": float(ran["r"])})
    nets = [MLP(hidden=ran["hidden"], activation=f, output=ran["output"]) for f in rectifiers]
    reference = {
        row["quantity"]: row["value"] for row in published.table("imagenet_mlp_scaled_relu", "reference_values")
    }
    assert parameters_of(study, *nets) == [804_104] * 2 == [reference["parameters"]] * 2


def test_probes_that_train_count_as_the_trainings_that_they_are():
    plain, probed = run(), run().model_copy(update={"probes": ("fine_detail@1", "input_zeros@1")})
    training = estimate.seconds(plain) - estimate.START
    assert estimate.seconds(probed) - estimate.START == pytest.approx(4 * training)
