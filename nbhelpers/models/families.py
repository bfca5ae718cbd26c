"""Families of convolutional nets for small images that differ in their block, each with any activation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nbhelpers.errors import InputError
from nbhelpers.models import layers
from nbhelpers.models.resnet import ResNet
from nbhelpers.spec import Count, Spec, suggestion

Stage = Annotated[tuple[Count, ...], Field(min_length=1)]


class BlockNet(Spec):
    """A 3x3 stem, stages of blocks of one kind, global average pooling, a linear layer to the logits.

    block: "depthwise" (a 3x3 convolution of each channel by itself, then a 1x1: MobileNet, arXiv:1704.04861),
    "inception" (1x1, 3x3, two 3x3 and pooled branches side by side: arXiv:1409.4842), or "dense" (1x1 and 3x3, whose
    output is put beside the input: arXiv:1608.06993). widths: stage by stage the output channels of each block, for
    "dense" what a block adds. Every stage but the first halves the image, and so does a `stem_stride` of 2.
    BatchNorm stands between every convolution and its activation, for "dense" before both.
    """

    kind: Literal["blocknet"] = "blocknet"
    block: Literal["depthwise", "inception", "dense"]
    stem: Count
    stem_stride: Literal[1, 2] = 1
    widths: Annotated[tuple[Stage, ...], Field(min_length=1)]
    activation: layers.Activation = "relu"

    @model_validator(mode="after")
    def _branches_have_whole_widths(self):
        for width in (width for stage in self.widths for width in stage):
            if self.block == "inception" and width % 16:
                raise ValueError(f"widths: {width}: must be a multiple of 16, which inception's branches share")
        return self

    def check(self, shape: tuple[int, int, int], batch_size: int) -> None:
        """Raise InputError where the net cannot be built for images of `shape` or trained on such batches."""
        _check_size(f"widths: {len(self.widths)} stages", shape, batch_size, len(self.widths) - 2 + self.stem_stride)

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from nbhelpers.models.blocks import block_net

        return block_net(self, shape[0], classes)


class LibraryNet(Spec):
    """A net of torchvision without weights, adapted to small images, with its rectifiers exchanged.

    name: "vgg16" (with BatchNorm), "googlenet" (without auxiliary heads) or "densenet121". Stems lose their stride and
    pooling, VGG's head is global average pooling and one linear layer, and there is no dropout.
    """

    kind: Literal["library"] = "library"
    name: Literal["vgg16", "googlenet", "densenet121"]
    activation: layers.Activation = "relu"

    def check(self, shape: tuple[int, int, int], batch_size: int) -> None:
        """Raise InputError where the net cannot be built for images of `shape` or trained on such batches."""
        _check_size(f"name: {self.name}", shape, batch_size, {"vgg16": 4, "googlenet": 2, "densenet121": 3}[self.name])
        if self.name == "vgg16" and min(shape[1:]) < 32:
            raise InputError(f"name: {self.name}: nothing is left of {shape[1]}x{shape[2]} pixels after five poolings")

    def build(self, shape: tuple[int, int, int], classes: int):
        """The net for images of `shape` (channels, height, width); its input is (N, *shape)."""
        from nbhelpers.models.library import library_net

        return library_net(self, shape[0], classes)


def _check_size(what: str, shape: tuple[int, int, int], batch_size: int, halvings: int) -> None:
    """Raise InputError where BatchNorm after `halvings` of the image has no pixel, or a single value."""
    if not min(shape[1:]) >> halvings:
        raise InputError(f"{what}: nothing is left of {shape[1]}x{shape[2]} pixels")
    layers.check_values("batch", batch_size, -(-shape[1] // 2**halvings) * -(-shape[2] // 2**halvings))


RESIDUAL = {"stem": 64, "widths": (64, 128, 256, 512)}
MOBILE = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))  # MobileNet, for images of 32 pixels
FAMILIES: dict[str, Spec] = {  # the reduced ones first, each named after its block
    "depthwise": BlockNet(block="depthwise", stem=32, stem_stride=2, widths=((64,), (128, 128), (256,))),
    "inception": BlockNet(block="inception", stem=32, stem_stride=2, widths=((64,), (128,), (192,))),
    "dense": BlockNet(block="dense", stem=24, stem_stride=2, widths=((12, 12, 12), (12, 12, 12), (12, 12, 12))),
    "MobileNet": BlockNet(block="depthwise", stem=32, widths=MOBILE),
    "VGG16": LibraryNet(name="vgg16"),
    "GoogLeNet": LibraryNet(name="googlenet"),
    "ResNet50": ResNet(block="bottleneck", blocks=(3, 4, 6, 3), **RESIDUAL),
    "SENet18": ResNet(blocks=(2, 2, 2, 2), attention="se", **RESIDUAL),
    "DenseNet121": LibraryNet(name="densenet121"),
}
KIN = {"depthwise": "MobileNet", "inception": "GoogLeNet", "dense": "DenseNet121"}  # reduced -> what it is reduced from


def family(name: str, activation: str | dict) -> Spec:
    """The net of the family `name` with `activation` in all its places. InputError for an unknown one, naming those
    there are."""
    if name not in FAMILIES:
        raise InputError(f"families: {name!r} is unknown{suggestion(name, FAMILIES)}")
    spec = FAMILIES[name]
    return type(spec)(**spec.model_dump() | {"activation": activation})
