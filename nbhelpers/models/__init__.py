"""Nets as specs that build themselves. No torch is imported until one is built."""

from typing import Annotated

from pydantic import Field

from nbhelpers.models.convnet import ConvNet
from nbhelpers.models.custom import Custom
from nbhelpers.models.mlp import MLP
from nbhelpers.models.resnet import ResNet
from nbhelpers.models.stack import Stack

Model = Annotated[ConvNet | MLP | ResNet | Stack | Custom, Field(discriminator="kind")]

__all__ = ["MLP", "ConvNet", "Custom", "Model", "ResNet", "Stack"]
