"""A weights file brings the net back, and nothing else: no code, no half file, no other model."""

import os
import pickle

import pytest
import torch
from torch import nn

from nbhelpers import weights
from nbhelpers.answering import normalised
from nbhelpers.errors import InputError
from nbhelpers.models.initialise import build
from nbhelpers.models.resnet import NAMED, narrowed

SPEC = narrowed(NAMED["resnet34"], 0.1)
NAMES = ["cat", "dog", "ship"]
ABOUT = {"name": "resnet34", "model": SPEC.canonical(), "shape": [3, 16, 16], "class_names": NAMES, "mean": None}


@pytest.fixture
def net():
    return build(SPEC, (3, 16, 16), 3, 4).eval()


@pytest.fixture
def kept(net, tmp_path):
    weights.save(tmp_path / "net_last.safetensors", net.state_dict(), ABOUT)
    return tmp_path / "net_last.safetensors"


def fails(path, model: str = "") -> str:
    with pytest.raises(InputError) as caught:
        weights.load(path, model)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_a_net_comes_back_with_what_is_said_of_it(net, kept):
    found = weights.load(kept)
    x = torch.rand(4, 3, 16, 16)
    assert torch.equal(found.net(x), net(x)) and not found.net.training
    assert found.about == ABOUT and found.path == kept and not found.note


def test_the_best_is_the_last_where_no_epoch_was_chosen(kept):
    found = weights.load(kept.with_name("net_best.safetensors"))
    assert found.path == kept
    assert found.note == "net_best.safetensors: no epoch was chosen on validation images; this is net_last.safetensors"
    assert fails(kept.with_name("other_best.safetensors")).endswith("other_best.safetensors: there is no such file")


def test_a_damaged_file_is_one_line(kept):
    content = kept.read_bytes()
    for damaged in (b"", b"garbage" * 20, content[: len(content) // 2]):
        kept.write_bytes(damaged)
        assert "is damaged, or no weights of nbhelpers (" in fails(kept)


def test_a_file_of_another_kind_is_one_line(kept, tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    assert fails(tmp_path / "a.safetensors").endswith("is no weights of nbhelpers")
    save_file({"a": torch.zeros(2)}, tmp_path / "s.safetensors", {"nbhelpers": "{}"})
    assert fails(tmp_path / "s.safetensors").endswith("is the state of a training that --resume goes on from")
    assert fails(kept, "resnet50").endswith("holds resnet34, not resnet50")
    with pytest.raises(InputError, match="model: 'resnet5': must be one of resnet34"):
        weights.load(kept, "resnet5")


def test_weights_that_are_not_the_models_are_named(net, tmp_path):
    state = net.state_dict()
    for change, reason in (
        ({"linear.bias": torch.zeros(7)}, r"linear.bias has the shape (7,), not (3,)"),
        ({"extra": torch.zeros(7)}, "extra is too many"),
        ({"linear.bias": None}, "linear.bias is missing"),
    ):
        path = tmp_path / "w.safetensors"
        weights.save(path, {n: t for n, t in (state | change).items() if t is not None}, ABOUT)
        assert fails(path).endswith(f"these are not the weights of resnet34: {reason}")


class Usual(nn.Module):
    """A ResNet of the CIFAR-10 study as such nets are usually written, with the usual names of its layers."""

    def __init__(self, model="resnet34", block=None):
        super().__init__()
        spec, width, block = NAMED[model], NAMED[model].stem, block or UsualBlock
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        for stage, (wide, count) in enumerate(zip(spec.widths, spec.blocks, strict=True), 1):
            blocks = []
            for i in range(count):
                blocks.append(block(width, wide, 2 if stage > 1 and i == 0 else 1))
                width = wide * block.expansion
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(width, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.linear(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class UsualBlock(nn.Module):
    expansion = 1

    def __init__(self, width, wide, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)
        same = width == wide and stride == 1
        layers = () if same else (nn.Conv2d(width, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        self.shortcut = nn.Sequential(*layers)

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class GatedBlock(UsualBlock):
    """With squeeze-excitation by 1x1 convolutions, in a module of its own."""

    def __init__(self, width, wide, stride):
        super().__init__(width, wide, stride)
        self.se = nn.Module()
        self.se.pool, self.se.fc1 = nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, wide // 16, 1)
        self.se.fc2 = nn.Conv2d(wide // 16, wide, 1)

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        gate = torch.sigmoid(self.se.fc2(torch.relu(self.se.fc1(self.se.pool(y)))))
        return torch.relu(y * gate + self.shortcut(x))


class GatedBottleneck(nn.Module):
    """With squeeze-excitation by linear layers without bias, in a row."""

    expansion = 4

    def __init__(self, width, wide, stride):
        super().__init__()
        out = 4 * wide
        self.conv1, self.bn1 = nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = nn.Conv2d(wide, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)
        layers = (nn.Linear(out, out // 16, bias=False), nn.ReLU(), nn.Linear(out // 16, out, bias=False), nn.Sigmoid())
        self.fc = nn.Sequential(*layers)
        same = width == out and stride == 1
        self.downsample = (
            None if same else nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x):
        y = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        y = y * self.fc(y.mean((2, 3)))[:, :, None, None]
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


@pytest.mark.parametrize(("model", "block"), [("resnet34_se", GatedBlock), ("resnet50_se", GatedBottleneck)])
def test_squeeze_excitation_is_read_whatever_its_layers_are_called(tmp_path, model, block):
    torch.manual_seed(0)
    usual = Usual(model, block).eval()
    assert sum(p.numel() for p in usual.parameters()) == {"resnet34_se": 4_842_061, "resnet50_se": 5_311_282}[model]
    torch.save(usual.state_dict(), tmp_path / "net.pth")
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(weights.load(tmp_path / "net.pth", model).net(x), usual(x), rtol=1e-4, atol=1e-5)
    assert "these are not the weights of " in fails(tmp_path / "net.pth", model.removesuffix("_se"))


def test_a_block_with_a_layer_too_many_is_one_line(tmp_path):
    state = Usual("resnet34_se", GatedBlock).state_dict() | {"layer1.0.se.fc3.weight": torch.zeros(2, 42)}
    torch.save(state, tmp_path / "net.pth")
    assert "these are not the weights of resnet34_se: " in fails(tmp_path / "net.pth", "resnet34_se")


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model_state_dict": s, "epoch": 300}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_with_the_usual_names_answers_as_its_own_net(tmp_path, wrap, prefix):
    torch.manual_seed(0)
    usual = Usual().eval()
    torch.save(wrap({prefix + name: tensor for name, tensor in usual.state_dict().items()}), tmp_path / "net.pth")
    found = weights.load(tmp_path / "net.pth", "resnet34")
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(found.net(x), usual(x), rtol=1e-4, atol=1e-5)
    assert "taken as resnet34 for CIFAR-10" in found.note
    assert normalised(found).endswith("std 0.247, 0.2435, 0.2616 (of the set ran)")
    assert found.about["class_names"][0] == "airplane" and len(found.about["mean"]) == 3


def test_a_foreign_file_needs_the_name_of_its_net_and_must_be_of_it(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(Usual().state_dict(), path)
    assert "does not say which net it is of: give --model, one of resnet34" in fails(path)
    assert "these are not the weights of resnet50: " in fails(path, "resnet50")
    torch.save({"weights": [1, 2]}, path)
    assert fails(path, "resnet34").endswith("holds no state dict: names with tensors")


class Planted:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_foreign_file_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    torch.save({"conv1.weight": Planted(trap)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"conv1.weight": Planted(trap)}, protocol=2))
    for name in ("zip.pth", "plain.pth"):
        fails(tmp_path / name, "resnet34")
        assert not trap.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert trap.exists()  # the plant works where pickles are trusted


@pytest.mark.parametrize("content", [b"", b"garbage" * 30, b"PK\x03\x04" + b"x" * 100])
def test_a_damaged_foreign_file_is_one_line(tmp_path, content):
    (tmp_path / "net.pth").write_bytes(content)
    assert fails(tmp_path / "net.pth", "resnet34").endswith("is damaged, or no state dict of torch")


def test_a_file_that_names_code_to_build_its_net_is_refused_and_nothing_is_called(tmp_path):
    trap = tmp_path / "trap"
    model = {"kind": "custom", "target": "os:mkdir", "kwargs": {"path": str(trap)}}
    weights.save(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, ABOUT | {"model": model})
    assert fails(tmp_path / "w.safetensors").endswith("is of a custom net, and names code to build it: that is not run")
    assert not trap.exists()


@pytest.mark.parametrize("about", [{}, [1], {"model": 3}, ABOUT | {"model": {"kind": "unknown"}}])
def test_a_file_that_does_not_say_its_net_is_one_line(tmp_path, about):
    weights.save(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, about)
    assert fails(tmp_path / "w.safetensors").endswith("does not say which net it is of")


def test_numbers_that_are_not_finite_are_refused(net, tmp_path):
    state = net.state_dict() | {"linear.bias": torch.tensor([1.0, float("nan"), 0.0])}
    weights.save(tmp_path / "w.safetensors", state, ABOUT)
    assert "holds numbers that are not finite" in fails(tmp_path / "w.safetensors")
