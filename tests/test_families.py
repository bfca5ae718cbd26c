"""The families have their published sizes, their defining blocks, and the activation in every place."""

import pytest
import torch
from torch import nn

from nbhelpers import parameters, zoo
from nbhelpers.errors import InputError
from nbhelpers.estimate import layer_rows
from nbhelpers.models import BlockNet, LibraryNet
from nbhelpers.models.families import FAMILIES, KIN, family
from nbhelpers.models.initialise import build
from nbhelpers.models.library import exchange
from nbhelpers.run import Data, Recipe, Run

REDUCED = list(KIN)
FULL = [name for name in FAMILIES if name not in KIN]
# Parameters of the published nets for 10 classes, counted from their papers' layer lists for images of 32 pixels.
SIZES = {"MobileNet": 3_217_226, "VGG16": 14_728_266, "ResNet50": 23_520_842, "DenseNet121": 6_956_426}
PLACES = {"MobileNet": 27, "VGG16": 13, "GoogLeNet": 57, "ResNet50": 49, "SENet18": 17, "DenseNet121": 121}


def rows(name, activation="relu", size=32):
    return layer_rows(family(name, activation), (3, size, size), 10)


def activations(name, activation):
    return sum(row["type"] == activation for row in rows(name, activation.lower()))


@pytest.mark.parametrize(("name", "expected"), SIZES.items())
def test_a_full_family_has_the_parameters_of_the_published_net(name, expected):
    assert sum(row["parameters"] for row in rows(name)) == expected


def test_resnet50_is_torchvisions_with_the_stem_of_small_images():
    from torchvision.models import resnet50

    with torch.device("meta"):
        theirs = resnet50(weights=None, num_classes=10)
    count = sum(p.numel() for p in theirs.parameters()) - 64 * 3 * (7 * 7 - 3 * 3)
    assert sum(row["parameters"] for row in rows("ResNet50")) == count


@pytest.mark.parametrize(("name", "places"), PLACES.items())
def test_the_activation_is_in_every_place_and_no_rectifier_is_left(name, places):
    assert activations(name, "ReLU") == places
    types = [row["type"] for row in rows(name, "gelu")]
    assert types.count("GELU") == places and "ReLU" not in types


@pytest.mark.parametrize("name", ["VGG16", "GoogLeNet", "DenseNet121"])
def test_a_net_of_the_library_says_how_many_were_exchanged(name):
    with torch.device("meta"):
        net = family(name, "prelu").build((3, 32, 32), 10)
    learnable = [layer for layer in net.modules() if isinstance(layer, nn.PReLU)]
    assert net.exchanged == PLACES[name] == len(learnable)  # each with a number of its own


def test_exchange_counts_what_it_replaces_and_leaves_the_rest():
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Tanh())
    assert exchange(net, nn.GELU) == 2
    assert [type(layer) for layer in (net[0], net[1][1], net[2])] == [nn.GELU, nn.GELU, nn.Tanh]
    assert exchange(net, nn.ReLU) == 0
    assert exchange(net, nn.ReLU, kind=nn.Tanh) == 1


@pytest.mark.parametrize("title", zoo.ZOO)
@pytest.mark.parametrize("name", REDUCED)
def test_a_reduced_family_trains_with_every_activation(name, title):
    net = build(family(name, zoo.ZOO[title].name), (3, 16, 16), 10, seed=0).train()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    loss = nn.functional.cross_entropy(net(x), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert all(layer.weight.grad.abs().sum() > 0 for layer in convolutions)


@pytest.mark.parametrize("name", ["GoogLeNet", "SENet18"])
def test_a_full_family_gives_logits_and_gradients(name):
    net = build(family(name, "mish"), (3, 8, 8), 10, seed=0).train()
    logits = net(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    logits.sum().backward()
    assert logits.shape == (2, 10) and all(p.grad is not None for p in net.parameters())


def test_depthwise_convolutions_have_one_channel_each():
    net = build(family("depthwise", "relu"), (3, 16, 16), 10, seed=0)
    grouped = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert len(grouped) == 4 and all(layer.groups == layer.in_channels for layer in grouped)


def test_inception_puts_four_branches_side_by_side():
    net = build(family("inception", "relu"), (3, 16, 16), 10, seed=0)
    block, x = net.stage1.block1.eval(), torch.randn(2, 32, 8, 8)
    parts = [branch(x) for branch in block.children()]
    assert [part.shape[1] for part in parts] == [16, 32, 8, 8]
    assert torch.equal(block(x), torch.cat(parts, 1))


def test_a_dense_block_keeps_its_input_and_adds_channels():
    net = build(family("dense", "relu"), (3, 16, 16), 10, seed=0).eval()
    x = torch.randn(2, 24, 8, 8)
    y = net.stage1.block1(x)
    assert y.shape == (2, 36, 8, 8) and torch.equal(y[:, :24], x)


def test_halvings_are_those_of_the_stages():
    sizes = {row["layer"]: row["output"][1] for row in rows("depthwise") if "conv" in row["layer"]}
    assert (sizes["stem.conv1"], sizes["stage1.block1.conv2"]) == (16, 16)
    assert (sizes["stage2.block1.conv2"], sizes["stage3.block1.conv2"]) == (8, 4)
    assert rows("inception")[-4]["output"][1:] == rows("dense")[-5]["output"][1:] == (4, 4)


def test_arms_of_a_family_start_from_the_same_weights():
    relu, pau = (dict(build(family("dense", a), (3, 16, 16), 10, seed=3).named_parameters()) for a in ("relu", "pau"))
    assert set(relu) < set(pau) and all(torch.equal(relu[name], pau[name]) for name in relu)


@pytest.mark.parametrize(
    ("spec", "shape", "batch_size", "message"),
    [
        (family("depthwise", "relu"), (3, 4, 4), 8, "widths: 3 stages: nothing is left of 4x4 pixels"),
        (family("depthwise", "relu"), (3, 8, 8), 1, "batch_size: a batch of 1 image"),
        (LibraryNet(name="vgg16"), (3, 16, 16), 8, "name: vgg16: nothing is left of 16x16 pixels"),
        (LibraryNet(name="densenet121"), (3, 4, 4), 8, "name: densenet121: nothing is left of 4x4 pixels"),
    ],
)
def test_images_that_are_too_small_are_refused(spec, shape, batch_size, message):
    with pytest.raises(InputError, match=message):
        spec.check(shape, batch_size)


@pytest.mark.parametrize("name", FAMILIES)
def test_images_of_32_pixels_pass(name):
    family(name, "relu").check((3, 32, 32), 2)


def test_inception_widths_share_evenly():
    with pytest.raises(InputError, match="widths: 40: must be a multiple of 16"):
        BlockNet(block="inception", stem=8, widths=((40,),))


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(InputError, match=r"families: 'zzz' is unknown \(known: depthwise, inception, dense, Mobile"):
        family("zzz", "relu")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_of_a_family_comes_back_from_its_record(name):
    recipe = Recipe(lr=0.1, epochs=1, batch_size=8)
    run = Run(data=Data(name="shapes"), model=family(name, "pau"), recipe=recipe, seed=0)
    assert Run(**run.canonical()).key == run.key
    assert Run(**run.canonical()) == run


KEYS = {
    "depthwise": "ce44aa8b",
    "inception": "b8901be4",
    "dense": "f70899f8",
    "MobileNet": "236e7370",
    "VGG16": "69058f5b",
    "GoogLeNet": "c48132ec",
    "ResNet50": "b5f16aa3",
    "SENet18": "8e58bf25",
    "DenseNet121": "6f10835d",
}


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_the_keys_of_the_families_are_frozen(name, key):
    recipe = Recipe(lr=0.1, epochs=1, batch_size=8)
    assert Run(data=Data(name="shapes"), model=family(name, "pau"), recipe=recipe, seed=0).key.startswith(key)


def test_a_parameter_names_families_that_there_are():
    assert parameters.check_value("families", ["dense", "VGG16"], []) == ["dense", "VGG16"]
    with pytest.raises(
        InputError, match=r"^families: \['dense', 'VGG17'\]: .*'VGG17' is unknown: did you mean 'VGG16'\?$"
    ):
        parameters.check_value("families", ["dense", "VGG17"], [])
