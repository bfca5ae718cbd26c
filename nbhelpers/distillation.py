"""Knowledge distillation: a net learns from the answers of a trained one (Hinton et al., arXiv:1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Teacher:
    """A trained net whose answers are part of the loss.

    loss = (1 - weight) * cross-entropy + weight * T^2 * KL(teacher's softmax(z / T) || the net's softmax(z / T)),
    in nats, mean over the batch. T^2 keeps the size of the gradient when the temperature T changes.
    """

    net: nn.Module
    weight: float
    temperature: float

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Its answers (B, classes) to images (B, C, H, W), in evaluation mode."""
        return self.net.eval()(x.clone())  # a first layer may work in place

    def loss(self, plain: Tensor, logits: Tensor, taught: Tensor) -> Tensor:
        """The loss for logits (B, classes), where `plain` is the cross-entropy and `taught` the teacher's logits."""
        t = self.temperature
        apart = F.kl_div(
            F.log_softmax(logits / t, 1), F.log_softmax(taught / t, 1), reduction="batchmean", log_target=True
        )
        return (1 - self.weight) * plain + self.weight * t**2 * apart
