"""ResNets: the published parameter counts, layer by layer, and what each argument changes."""

import itertools

import pytest
import torch
from torch import nn

from nbhelpers import train
from nbhelpers.errors import InputError
from nbhelpers.models.initialise import build
from nbhelpers.models.residual import SqueezeExcitation, ZeroPad
from nbhelpers.models.resnet import NAMED, ResNet, compound, doubling, narrowed, pyramid

SHAPE = (3, 32, 32)
PUBLISHED = {
    "resnet34": 4_348_082,
    "resnet50": 4_815_794,
    "resnet34_se": 4_842_061,
    "resnet50_se": 5_311_282,
    "resnet26": 4_196_906,
    "resnet74": 4_565_674,
    "resnet56": 853_018,
}
SMALL = {"stem": 4, "widths": (4, 6), "blocks": (1, 2)}


def on_paper(stem, widths, blocks, expansion, se=None, projection=True):
    """Parameters of all layers in their order, worked out from the published description of the net."""
    found, width_in = [3 * 9 * stem, 2 * stem], stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for i in range(count):
            out, strided = width * expansion, stage > 0 and i == 0
            shapes = [(width_in, width, 3), (width, width, 3)]
            if expansion == 4:
                shapes = [(width_in, width, 1), (width, width, 3), (width, out, 1)]
            for before, after, kernel in shapes:
                found += [before * after * kernel**2, 2 * after]
            if se == "bias":
                found += [out * (out // 16) + out // 16, out * (out // 16) + out]
            if se == "plain":
                found += [out * (out // 16)] * 2
            if projection and (strided or width_in != out):
                found += [width_in * out, 2 * out]
            width_in = out
    return [*found, 10 * width_in + 10]


COMMON = (40, (40, 80, 144, 176), (3, 4, 6, 3))
PAPER = {
    "resnet34": on_paper(*COMMON, 1),
    "resnet50": on_paper(*COMMON, 4),
    "resnet34_se": on_paper(44, (42, 84, 152, 184), (3, 4, 6, 3), 1, se="bias"),
    "resnet50_se": on_paper(*COMMON, 4, se="plain"),
    "resnet26": on_paper(32, (40, 104, 176, 192), (3, 3, 3, 3), 1),
    "resnet74": on_paper(32, (32, 64, 128), (12, 12, 12), 1, projection=False),
    "resnet56": on_paper(16, (16, 32, 64), (9, 9, 9), 1, projection=False),
}


def meta(spec: ResNet, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return spec.build(SHAPE, classes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_layer_by_layer(name):
    net = meta(NAMED[name])
    by_layer = [sum(p.numel() for p in m.parameters()) for m in net.modules() if not list(m.children())]
    assert [count for count in by_layer if count] == PAPER[name]
    assert sum(PAPER[name]) == PUBLISHED[name]


def test_the_image_is_halved_by_every_stage_but_the_first():
    net = meta(NAMED["resnet50"])
    x, found = torch.zeros((1, *SHAPE), device="meta"), []
    x = net.stem(x)
    for stage in (net.stage1, net.stage2, net.stage3, net.stage4):
        x = stage(x)
        found.append(tuple(x.shape[1:]))
    assert found == [(160, 32, 32), (320, 16, 16), (576, 8, 8), (704, 4, 4)]


def test_dropout_is_half_in_the_nets_of_the_page_that_have_it():
    assert {name for name, spec in NAMED.items() if spec.dropout == 0.5} == PUBLISHED.keys() - {"resnet74", "resnet56"}


def test_a_block_is_its_branch_plus_its_input_rectified():
    net = build(ResNet(**SMALL), SHAPE, 3, 0).eval()
    block, x = net.stage2[1], torch.randn(2, 6, 8, 8)
    assert torch.equal(block(x), torch.relu(block.branch(x) + x))
    first = net.stage2[0]
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(first(x), torch.relu(first.branch(x) + first.shortcut(x)))


def test_without_shortcuts_the_branch_is_alone_and_has_the_same_weights():
    plain = build(ResNet(shortcut="none", **SMALL), SHAPE, 3, 0)
    residual = build(ResNet(**SMALL), SHAPE, 3, 0)
    assert all(block.shortcut is None for block in [*plain.stage1, *plain.stage2])
    shared = plain.state_dict()
    assert all(torch.equal(shared[name], residual.state_dict()[name]) for name in shared)


def test_zero_padding_takes_every_second_pixel_and_puts_zeros_on_both_sides():
    x = torch.randn(2, 4, 6, 6)
    found = ZeroPad(4, 8, 2)(x)
    assert torch.equal(found[:, 2:6], x[:, :, ::2, ::2])
    assert found.shape == (2, 8, 3, 3) and not found[:, :2].any() and not found[:, 6:].any()


def test_squeeze_and_excitation_gates_each_channel_by_the_means_of_all():
    gate, x = SqueezeExcitation(8, 4, bias=True), torch.randn(2, 8, 5, 5)
    hidden = torch.relu(x.mean((2, 3)) @ gate.reduce.weight.T + gate.reduce.bias)
    scale = torch.sigmoid(hidden @ gate.expand.weight.T + gate.expand.bias)
    assert torch.allclose(gate(x), x * scale[:, :, None, None])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"block": "bottleneck"},
        {"shortcut": "zero-pad"},
        {"shortcut": "none"},
        {"attention": {"name": "se", "ratio": 2}},
        {"norm": {"name": "group", "groups": 2}},
        {"norm": "none"},
        {"activation": "gelu"},
        {"dropout": 0.3},
        {"widths": ((4,), (6, 8)), "shortcut": "zero-pad"},
    ],
    ids=str,
)
def test_every_kind_trains(random_images, changes):
    net = build(ResNet(**SMALL | changes), (3, 8, 8), 3, 0)
    history = train.fit(net, random_images(30), None, epochs=3, lr=0.05, batch_size=10)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(p.grad is not None for p in net.parameters())


def test_pyramid_widths_grow_by_equal_steps_to_the_sum():
    assert pyramid(16, 48, (2, 2, 2)) == ((24, 32), (40, 48), (56, 64))
    widths = [w for stage in pyramid(16, 84, (3, 3, 3)) for w in stage]
    assert widths[-1] == 100 and max(b - a for a, b in itertools.pairwise(widths)) <= 10
    assert ResNet(stem=16, widths=pyramid(16, 48, (2, 2, 2)), blocks=(2, 2, 2)).block_widths()[1] == [40, 48]


def test_compound_scaling_scales_depth_width_and_resolution_together():
    base = NAMED["resnet34"]
    assert compound(base, 32, 0) == (base, 32)
    scaled, size = compound(base, 32, 1)
    assert (scaled.blocks, scaled.stem, scaled.widths, size) == ((4, 5, 8, 4), 44, (44, 88, 160, 192), 36)
    assert scaled.dropout == base.dropout


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": (4,)}, "widths: 1 stages, but blocks has 2"),
        ({"widths": (4, (6, 6, 6))}, r"widths: \[6, 6, 6\]: one number is needed for each of 2 blocks"),
        ({"block": "basics"}, "block"),
        ({"attention": {"name": "se", "bias": 1}}, "bias: 1: must be true or false"),
        ({"dropout": 1.0}, "dropout: 1.0: must be below 1"),
    ],
)
def test_a_net_that_cannot_be_is_one_clear_line(fields, message):
    with pytest.raises(InputError, match=message):
        ResNet(**SMALL | fields)


def test_a_net_that_does_not_fit_the_images_or_the_batch_is_one_clear_line():
    with pytest.raises(InputError, match="blocks: 2 stages: nothing is left of 1x1 pixels"):
        ResNet(**SMALL).check((3, 1, 1), 4)
    with pytest.raises(InputError, match="groups: 4: does not divide the 6 channels"):
        ResNet(norm={"name": "group", "groups": 4}, **SMALL).check(SHAPE, 4)
    with pytest.raises(InputError, match="batch_size: a batch of 1 image, and 1 pixel"):
        ResNet(**SMALL).check((3, 2, 2), 1)
    ResNet(**SMALL).check((3, 2, 2), 2)


def test_a_narrowed_net_has_that_share_of_the_widths_in_multiples_of_4():
    net = narrowed(NAMED["resnet50"], 0.25)
    assert (net.stem, net.widths, net.blocks, net.block) == (8, (8, 20, 36, 44), (3, 4, 6, 3), "bottleneck")
    assert narrowed(NAMED["resnet34"], 1) is NAMED["resnet34"]
    assert min(narrowed(NAMED["resnet34"], 0.01).widths) == 4


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("name", ["resnet26", "resnet34", "resnet50"])
def test_doubling_widths_double_and_come_near_the_same_number_of_parameters(name, share):
    def count(spec):
        return sum(p.numel() for p in spec.build((3, 32, 32), 10).parameters())

    base = narrowed(NAMED[name], share)
    net = doubling(base, (3, 32, 32), 10)
    assert (net.stem, net.blocks) == (base.stem, base.blocks)
    assert all(abs(after - 2 * before) <= 1.5 for before, after in itertools.pairwise(net.widths))
    assert abs(count(net) / count(base) - 1) < (0.05 if share < 0.2 else 0.02)
