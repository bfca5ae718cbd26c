"""Nets as specs that build themselves. No torch is imported until one is built."""

from typing import Annotated

from pydantic import Field

from nbhelpers.models.convnet import ConvNet
from nbhelpers.models.custom import Custom
from nbhelpers.models.families import BlockNet, LibraryNet
from nbhelpers.models.mlp import MLP
from nbhelpers.models.resnet import ResNet
from nbhelpers.models.stack import Stack

Model = Annotated[ConvNet | MLP | ResNet | BlockNet | LibraryNet | Stack | Custom, Field(discriminator="kind")]

__all__ = ["MLP", "BlockNet", "ConvNet", "Custom", "LibraryNet", "Model", "ResNet", "Stack"]
