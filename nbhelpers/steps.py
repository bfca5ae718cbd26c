"""One training step: the gradient of a batch, the move of sharpness-aware minimisation, the optimizer, the sums."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbhelpers.distillation import Teacher
from nbhelpers.distributed import World
from nbhelpers.mixing import Targets
from nbhelpers.run import Recipe


class Step:
    """What training does with each batch: it moves the weights, and adds the batch to the sums of the epoch.

    called: the model as it is called, where it is compiled or data parallel. loss_sum: of the mean loss of each batch
    times its images, a float64 scalar on the device. hits: how many images were classified rightly, int64; float64
    where images are mixed.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        recipe: Recipe,
        device: torch.device,
        *,
        called: nn.Module | None = None,
        teacher: Teacher | None = None,
        world: World | None = None,
    ):
        self.model, self.optimizer, self.scaler, self.recipe = model, optimizer, scaler, recipe
        self.called = model if called is None else called
        self.teacher, self.world = teacher, world
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        counted = torch.int64 if recipe.mixing == "none" else torch.float64
        self.hits = torch.zeros((), dtype=counted, device=device)

    def begin(self, loss_sum: float = 0.0, hits: float = 0.0) -> None:
        """Start an epoch, or go on in one whose sums are these."""
        self.loss_sum.fill_(loss_sum)
        self.hits.fill_(hits)

    def __call__(self, x: Tensor, target: Tensor | Targets) -> None:
        """x: images (B, C, H, W) of a batch. target: labels (B,), or the targets of mixed images."""
        share = self.world.weight(len(x)) if self.world else 1.0
        count = len(x)  # of the whole batch, whatever part of it this process takes
        x, target = self.world.part(x, target) if self.world else (x, target)
        taught = (self.scaler, self.recipe, self.teacher, share)
        logits, loss = gradient(self.called, x, target, self.optimizer, *taught)
        if self.recipe.sam:
            with moved_uphill(self.model, self.recipe.sam):
                gradient(self.called, x, target, self.optimizer, *taught)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # Summed where they are: reading a number back would make a GPU wait at every step.
        self.loss_sum += loss * count
        self.hits += target.hits(logits) if isinstance(target, Targets) else (logits.argmax(1) == target).sum()

    def sums(self) -> tuple[float, float]:
        """Loss and hits so far, of this process."""
        return self.loss_sum.item(), self.hits.item()


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


def make_optimizer(model: nn.Module, recipe: Recipe, captured: bool = False) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters, in torch's fused implementation.

    captured: its steps become part of a CUDA graph, which reads the learning rate anew from the GPU's memory.
    """
    lr = torch.tensor(recipe.lr, device=next(model.parameters()).device) if captured else recipe.lr
    common = {"lr": lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(model.parameters(), betas=recipe.betas, eps=recipe.eps, capturable=captured, **common)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """For all its parameters, where the rate lies in memory too."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def autocast(precision: str, device: torch.device):
    """Autocast for "bf16" and "fp16"; nothing for the others."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=kind) if kind else nullcontext()
