"""What each parameter of the studies may be: its type, its range, and what is said where it is not."""

import importlib.util
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from nbhelpers.errors import NO_RAY
from nbhelpers.models.layers import Activation, Norm
from nbhelpers.models.resnet import NAMED
from nbhelpers.run import Data, Recipe
from nbhelpers.spec import Count, Positive

RAY = r"|local|auto|(ray://)?[^\s:/]+:[0-9]{1,5}|(ray://)?\[[0-9a-fA-F:.]+\]:[0-9]{1,5}"  # addresses; "" for none
Whole = Annotated[int, Field(ge=0)]
Batch = Annotated[int, AfterValidator(lambda value: _batch(value))]
COMPARISONS = (  # of ResNet_CIFAR10: what a net is trained without, or with
    "shortcuts", "dropout", "weight decay", "crop and flip", "cosine", "steps", "custom widths", "epochs",
    "described recipe", "SAM", "squeeze-excitation", "AutoAugment", "RICAP", "distillation", "compound scaling",
)  # fmt: skip
TYPES: dict[str, Any] = {
    **{name: Annotated[field.annotation, *field.metadata, None] for name, field in Recipe.model_fields.items()},
    "parameter_set": str,
    "dataset": Annotated[str, Field(min_length=1), AfterValidator(lambda name: _known_dataset(name))],
    "images_per_class": Count,
    "test_images_per_class": Count,
    "validation_images_per_class": Whole,
    "augment": Data.model_fields["augment"].annotation,
    "stop_after": Whole,
    "nets": Annotated[
        list[tuple[Literal[tuple(NAMED)], Count]],
        Field(min_length=1),
        AfterValidator(lambda pairs: [list(pair) for pair in pairs]),
    ],
    "compared_net": Literal[tuple(NAMED)],
    "compared_epochs": Count,
    "comparisons": list[Literal[COMPARISONS]],
    "other_datasets": Annotated[list[str], AfterValidator(lambda names: [_known_dataset(name) for name in names])],
    "shared_subset": bool,
    "classes": Annotated[int, Field(ge=2)],
    "size": Count,
    "mean": Data.model_fields["mean"].annotation,
    "std": Data.model_fields["std"].annotation,
    "blocks": Annotated[list[Count], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "rescaled_blocks": Annotated[list[Count], Field(min_length=1), AfterValidator(lambda values: _rising(values))],
    "width": Count,
    "share_of_width": Annotated[float, Field(gt=0, le=1)],
    "kernel": Count,
    "activation": Activation,
    "activations": Annotated[list[Activation], Field(min_length=1)],
    "families": Annotated[list[Annotated[str, AfterValidator(lambda name: _known_family(name))]], Field(min_length=1)],
    "target_error": Annotated[float, Field(gt=0, lt=100)],
    "norm": Norm,
    "channels": Annotated[list[Count], Field(min_length=1)],
    "pool": Annotated[list[Count], AfterValidator(lambda values: _rising(values))],
    "head": Literal["average", "flatten"],
    "groups": Annotated[Any, AfterValidator(lambda value: _groups(value))],
    "negative_slope": FiniteFloat,
    "batch_sizes": Annotated[list[Batch], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "control_batch_sizes": Annotated[list[Batch], AfterValidator(lambda values: _rising(values))],
    "control_steps": Count,
    "control_lr_at": Count,
    "alone_batch_sizes": Annotated[list[Batch], AfterValidator(lambda values: _none_or_two(values))],
    "alone_epochs": Annotated[list[Count], AfterValidator(lambda values: _none_or_two(values))],
    "published_table": Literal["baseline", "many_epochs"],
    "r": Annotated[int, Field(ge=1, le=99)],
    "hidden": Annotated[list[Count], Field(min_length=1)],
    "output": Literal["logits", "softmax"],
    "test_from": Data.model_fields["test_from"].annotation,
    "permutation": Whole,
    "sizes": Annotated[list[Count], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "conv_channels": Annotated[list[Count], Field(min_length=1)],
    "extra_images_per_class": Count,
    "other_images_per_class": Count,
    "extra_epochs": Count,
    "map_r": Annotated[list[Count], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "map_lr": Annotated[list[Positive], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "map_seeds": Count,
    **dict.fromkeys(["assignment_images_per_class", "assignment_test_images_per_class"], Whole),
    **dict.fromkeys(["crop", "fault_images_per_class", "fault_epochs", "fault_flat", "position_width"], Count),
    **dict.fromkeys(["small_epochs", "small_steps", "small_batch_size"], Count),
    **dict.fromkeys(["rotation", "fault_lr", "small_lr"], Positive),
    "crop_share": Recipe.model_fields["momentum"].annotation,
    "fault_mean": Data.model_fields["mean"].annotation,
    "fault_std": Data.model_fields["std"].annotation,
    "images": Annotated[list[Count], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "kernels": Annotated[list[Count], Field(min_length=2), AfterValidator(lambda values: _rising(values))],
    "block_widths": Annotated[list[Count], Field(min_length=4, max_length=4)],
    "seeds": Count,
    "extra_seeds": Count,
    "first_seed": Whole,
    "device": Literal["auto", "cpu", "cuda"],
    "workers": Whole,
    "results": str,
    "train": bool,
    "weights": bool,
    "compiled": Literal["no", "default", "cuda-graphs", "both"],
    "processes": Count,
    "ray": Annotated[str, AfterValidator(lambda address: _with_ray(address))],
    "runs_per_gpu": Count,
    "run_limit": Whole,
}


def _known_dataset(name: str) -> str:
    from nbhelpers import data

    data.check(name)
    return name


def _known_family(name: str) -> str:
    from nbhelpers.models.families import family

    family(name, "relu")
    return name


def _with_ray(address: str) -> str:
    if address and importlib.util.find_spec("ray") is None:
        raise ValueError(NO_RAY)
    if not re.fullmatch(RAY, address):
        raise ValueError("must be local, auto, HOST:PORT or ray://HOST:PORT")
    return address


def _batch(value: int) -> int:
    if value < 2:
        raise ValueError(f"{value} must be at least 2: BatchNorm has nothing to normalise one image with")
    return value


def _rising(values: list) -> list:
    if sorted(set(values)) != values:
        raise ValueError("must be rising numbers")
    return values


def _groups(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if not items or any(isinstance(item, bool) or not isinstance(item, int) or item < 1 for item in items):
        raise ValueError("must be a whole number from 1, or a list of such, one for each block")
    return value


def _none_or_two(values: list) -> list:
    if len(values) not in (0, 2):
        raise ValueError("must be two rising numbers, or an empty list")
    return _rising(values)
