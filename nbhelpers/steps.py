"""One training step: the gradient of a batch, the move of sharpness-aware minimisation, the optimizer."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbhelpers.distillation import Teacher
from nbhelpers.mixing import Targets
from nbhelpers.run import Recipe


def gradient(
    model: nn.Module,
    x: Tensor,
    target: Tensor | Targets,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    recipe: Recipe,
    teacher: Teacher | None = None,
    share: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Put the gradient of the mean loss of a batch in the model's parameters; logits and loss, without their graph.

    x: (B, C, H, W). target: labels (B,), or the targets of mixed images. share: what the loss is multiplied by, where
    the batch is a part of a larger one.
    """
    taught = teacher.logits(x) if teacher else None
    optimizer.zero_grad(set_to_none=True)
    with autocast(recipe.precision, x.device):
        logits = model(x)
        if isinstance(target, Targets):
            loss = target.loss(logits, recipe.label_smoothing)
        else:
            loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
        loss = teacher.loss(loss, logits, taught) if teacher else loss
        loss = loss * share if share != 1 else loss
    scaler.scale(loss).backward()
    return logits.detach(), loss.detach()


@contextmanager
def moved_uphill(model: nn.Module, radius: float) -> Iterator[None]:
    """The weights moved by `radius` along their gradient, and moved back at the end: w + radius * g / |g|.

    The gradient at that point is what sharpness-aware minimisation steps along (SAM, arXiv:2010.01412). The norm is
    over all parameters. The pass there draws a dropout mask of its own, and BatchNorm's running averages see the batch
    a second time.
    """
    weights = [p for p in model.parameters() if p.grad is not None]
    kept = [p.detach().clone() for p in weights]
    norm = torch.stack([p.grad.norm() for p in weights]).norm()
    with torch.no_grad():
        torch._foreach_add_(weights, [p.grad * (radius / (norm + 1e-12)) for p in weights])
    yield
    with torch.no_grad():
        torch._foreach_copy_(weights, kept)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters, in torch's fused implementation."""
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(model.parameters(), betas=recipe.betas, eps=recipe.eps, **common)


def autocast(precision: str, device: torch.device):
    """Autocast for "bf16" and "fp16"; nothing for the others."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=kind) if kind else nullcontext()
