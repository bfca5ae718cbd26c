"""Specs of a run: the data, the model, the recipe, a seed; and the key that names its record."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from nbhelpers.models import Model
from nbhelpers.spec import Count, NonNegative, Positive, Share, Spec, arguments, named

CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
VERSION = 1  # of what a run computes: raised when the same spec would give other numbers
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "cosine": {"min_lr": 0.0},  # half a cosine from lr to min_lr over the epochs
    "steps": {"milestones": (), "factor": 0.1},  # times factor after each of these epochs
}


MIXINGS: dict[str, dict[str, Any]] = {"none": {}, "mixup": {"alpha": 0.2}, "ricap": {"beta": 0.3}}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "crop": {"padding": 4},  # as large as the image, after reflecting so many pixels at each side
    "flip": {},  # left and right, of every other image on average
    "autoaugment": {},  # the policy for CIFAR-10 of arXiv:1805.09501
    "erasing": {"share": 0.5},  # of the images, arXiv:1708.04896
    "center_crop": {"size": 22, "share": 0.1},  # the middle of that share of the images, enlarged to the whole
    "rotation": {"degrees": 15.0},  # by at most so much to either side; black comes in at the corners
}


class Data(Spec):
    """Which images a run trains and tests on.

    name: a named data set, "shapes", or "folder:PATH".
    per_class, test_per_class: images of each class, None for all; drawn at random for each seed.
    classes: the first so many, None for all. size: resized to this many pixels, None for as they are.
    mean, std: one per channel, subtracted and divided after scaling to [0, 1]; None to leave that out.
    subset_seed: draws the training subset; None takes the run's seed. The test subset is always the same.
    test_from: "train" tests on `test_per_class` images of each class of the training split, held out by the same
    draw: a validation split. "seen" tests on the training images themselves, which is a fault.
    test_mean, test_std: for the test images, where they are not those of the training images; None: the same.
    permutation_seed: the pixels of all images change places by one permutation that this draws; None leaves them.
    validation_per_class: images of each class held out of the training split by the same draw, for `Recipe.keep`.
    augment: what is done to training images, each with its own draw in every epoch.
    """

    name: Annotated[str, Field(min_length=1)]
    per_class: Count | None = None
    test_per_class: Count | None = None
    classes: Annotated[int, Field(ge=2)] | None = None
    size: Count | None = None
    mean: tuple[FiniteFloat, ...] | None = None
    std: tuple[Positive, ...] | None = None
    subset_seed: Annotated[int, Field(ge=0)] | None = None
    test_mean: tuple[FiniteFloat, ...] | None = None
    test_std: tuple[Positive, ...] | None = None
    test_from: Literal["test", "train", "seen"] = "test"
    permutation_seed: Annotated[int, Field(ge=0)] | None = None
    augment: tuple[named("augmentation", AUGMENTATIONS), ...] = ()
    validation_per_class: Count | None = None

    @model_validator(mode="after")
    def _a_split_has_a_size(self):
        if self.test_from == "train" and self.test_per_class is None:
            raise ValueError("test_per_class: None: a validation split needs a number of images of each class")
        if self.test_from == "train" and self.validation_per_class:
            raise ValueError(f"validation_per_class: {self.validation_per_class}: not with test_from train")
        return self

    @property
    def drawn_by_run(self) -> bool:
        """Whether runs with other seeds train on other images."""
        held_out = self.test_from == "train" or self.validation_per_class is not None
        return self.subset_seed is None and (self.per_class is not None or held_out)


class Recipe(Spec):
    """How a run trains.

    epochs sets the length of the schedule; stop_after ends the run earlier. The learning rate changes once an epoch;
    it first rises in a line over `warmup` epochs, and the schedule takes those that are left. steps_per_epoch makes an
    epoch so many steps, through one shuffled pass after the other, instead of one pass. shuffle: anew for each
    "epoch", "once" for all epochs, or "never": then the images come class by class.
    label_smoothing: the share of each target that is spread over all classes. mixing: of the images of a batch
    (`mixing.Mixer`). sam: the radius of sharpness-aware minimisation (`steps.moved_uphill`), 0 for none.
    distillation: the weight of a teacher's answers in the loss, at a temperature (`distillation.Teacher`).
    precision: fp32 (TF32 off), tf32, or autocast to bf16 or fp16 with evaluation in fp32.
    evaluate: on the test images at the "end", or after every "epoch" (for display: nothing is chosen by it).
    keep: the weights of the "last" epoch, or of the one that is "best" on the validation images.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive
    momentum: Share = 0.0
    nesterov: bool = False
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    schedule: named("schedule", SCHEDULES) = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0
    epochs: Count
    stop_after: Count | None = None
    steps_per_epoch: Count | None = None
    shuffle: Literal["epoch", "once", "never"] = "epoch"
    batch_size: Count
    test_batch_size: Count = 256
    label_smoothing: Share = 0.0
    mixing: named("mixing", MIXINGS) = "none"
    sam: NonNegative = 0.0
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    evaluate: Literal["end", "epoch"] = "end"
    keep: Literal["last", "best"] = "last"
    distillation: Annotated[float, Field(ge=0, le=1)] = 0.0
    temperature: Positive = 4.0

    @model_validator(mode="after")
    def _warmup_leaves_epochs(self):
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup: {self.warmup}: must be below the {self.epochs} epochs")
        return self

    @model_validator(mode="after")
    def _sam_is_in_full_precision(self):
        if self.sam and self.precision == "fp16":
            raise ValueError("sam: needs precision fp32, tf32 or bf16: its first step knows no loss scaling")
        return self

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self):
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum):
            raise ValueError("nesterov: needs optimizer sgd with momentum above 0")
        return self

    def smallest_batch(self, images: int) -> int:
        """The images in the smallest batch of an epoch on so many training images."""
        left = 0 if self.steps_per_epoch else images % self.batch_size
        return left or self.batch_size

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of `epoch` (from 0), as torch's LambdaLR, CosineAnnealingLR and MultiStepLR give it."""
        name, args = arguments(self.schedule, SCHEDULES)
        if epoch < self.warmup:
            return self.lr * (epoch + 1) / (self.warmup + 1)
        if name == "cosine":
            angle = math.pi * (epoch - self.warmup) / (self.epochs - self.warmup)
            return args["min_lr"] + (self.lr - args["min_lr"]) * (1 + math.cos(angle)) / 2
        if name == "steps":
            return self.lr * args["factor"] ** sum(epoch >= milestone for milestone in args["milestones"])
        return self.lr


class Run(Spec):
    """One arm with one seed: what is trained, recorded and cached.

    teacher: the run whose trained net is distilled into this one, or the SHA-256 of the file of its weights. labels
    (what tables and figures group by) and probes (what is measured besides) are not part of the key: the same run under
    other labels is the same run.
    """

    data: Data
    model: Model
    recipe: Recipe
    seed: Annotated[int, Field(ge=0)]
    teacher: Run | Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    labels: dict[str, Any] = Field(default_factory=dict)
    probes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_what_the_recipe_needs(self):
        if self.recipe.keep == "best" and not self.data.validation_per_class:
            raise ValueError("keep: 'best': needs validation images: validation_per_class is None")
        if self.recipe.distillation and self.teacher is None:
            raise ValueError(f"distillation: {self.recipe.distillation:g}: needs a teacher")
        return self

    def canonical(self) -> dict[str, Any]:
        everything = super().canonical()
        teacher = {"teacher": everything["teacher"]} if self.teacher else {}
        return {name: everything[name] for name in ("data", "model", "recipe")} | {"seed": self.seed} | teacher

    def model_copy(self, **changes: Any) -> Run:
        """A copy with its own key: the cached one would come along."""
        copy = super().model_copy(**changes)
        copy.__dict__.pop("key", None)
        return copy

    @cached_property
    def key(self) -> str:
        """20 hex digits of SHA-256 over the canonical form and the version of the computation."""
        return key_of(self.canonical())


def key_of(canonical: dict[str, Any], version: int = VERSION) -> str:
    """The key of a run's canonical form, as a record holds it."""
    text = CANONICAL.encode({"kind": "run", "version": version} | canonical)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
