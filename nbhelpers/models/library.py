"""Nets of torchvision, adapted to small images; and the helper that exchanges their activations."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models.densenet import DenseNet
from torchvision.models.googlenet import GoogLeNet, Inception, InceptionAux
from torchvision.models.vgg import cfgs, make_layers

from nbhelpers.models import layers
from nbhelpers.spec import Spec


def exchange(net: nn.Module, make: Callable[[], nn.Module], kind: type[nn.Module] = nn.ReLU) -> int:
    """Put what `make` returns in the place of every module of `kind` in `net`, anew for each; return how many."""
    places = [(parent, name) for parent in net.modules() for name, layer in parent.named_children()
              if isinstance(layer, kind)]  # fmt: skip
    for parent, name in places:
        setattr(parent, name, make())
    return len(places)


class Unit(nn.Sequential):
    """GoogLeNet's convolution, BatchNorm and rectifier, all modules: torchvision's own calls a function at last."""

    def __init__(self, width_in: int, width: int, **options: Any):
        conv = nn.Conv2d(width_in, width, bias=False, **options)
        super().__init__(OrderedDict(conv=conv, bn=nn.BatchNorm2d(width, eps=0.001), relu=nn.ReLU(inplace=True)))


def vgg16(channels: int, classes: int) -> nn.Module:
    """Thirteen 3x3 convolutions with BatchNorm in five stages, then global average pooling and a linear layer."""
    features = make_layers(cfgs["D"], batch_norm=True)
    features[0] = nn.Conv2d(channels, 64, 3, padding=1)
    return nn.Sequential(
        OrderedDict(
            features=features, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(512, classes)
        )
    )


def googlenet(channels: int, classes: int) -> nn.Module:
    """GoogLeNet without auxiliary heads and dropout; its stem keeps the image size."""
    blocks = [Unit, lambda *widths: Inception(*widths, conv_block=Unit), InceptionAux]
    net = GoogLeNet(classes, aux_logits=False, init_weights=False, blocks=blocks, dropout=0.0)
    net.conv1 = Unit(channels, 64, kernel_size=3, padding=1)
    net.maxpool1, net.maxpool2 = nn.Identity(), nn.Identity()
    return net


def densenet121(channels: int, classes: int) -> nn.Module:
    """DenseNet-121 whose stem keeps the image size; its last rectifier is a module: torchvision calls a function."""
    net = DenseNet(num_classes=classes)
    net.features.conv0 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    net.features.pool0 = nn.Identity()
    head = OrderedDict(relu5=nn.ReLU(inplace=True), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    return nn.Sequential(OrderedDict(features=net.features, **head, classifier=net.classifier))


def library_net(spec: Spec, channels: int, classes: int) -> nn.Module:
    """The net of a `LibraryNet` spec for images with `channels` channels: (N, channels, H, W) to (N, classes).

    Its attribute `exchanged` is the number of activations that were put in.
    """
    net = {"vgg16": vgg16, "googlenet": googlenet, "densenet121": densenet121}[spec.name](channels, classes)
    net.exchanged = exchange(net, lambda: layers.activation(spec.activation))
    return net
