"""Weights files: a trained net with what it takes to use it. safetensors, or a foreign state dict; no pickle runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from nbhelpers import records
from nbhelpers.errors import InputError
from nbhelpers.models import Model
from nbhelpers.models.resnet import NAMED

HEAD = "nbhelpers weights"  # the entry of the file's metadata


@dataclass(frozen=True)
class Trained:
    """A net in evaluation mode, and what it is for.

    about: model (its spec in canonical form), shape (C, H, W) of an image, class_names, mean, std, data, seed, epoch,
    kept ("last" or "best"), and the accuracies that were recorded.
    """

    net: nn.Module
    about: dict[str, Any]
    path: Path
    note: str = ""  # what the reader should know of how the file was found or read
    given: tuple[str, ...] = ()  # what of `about` is not the file's but the user's


def save(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights and buffers with `about`; a crash leaves the file before, or none."""
    from safetensors.torch import save as packed

    plain = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in weights.items()}
    records.write(path, packed(plain, {HEAD: json.dumps(about)}))


def find(path: Path) -> tuple[Path, str]:
    """The file meant by `path`, and a line where it has another name: NAME_best is NAME_last where none was chosen.

    InputError where there is neither.
    """
    if path.is_file():
        return path, ""
    last = path.with_name(re.sub(r"_best(?=\.\w+$)", "_last", path.name))
    if last != path and last.is_file():
        return last, f"{path.name}: no epoch was chosen on validation images; this is {last.name}"
    raise InputError(f"{path}: there is no such file")


def load(path: Path, model: str = "") -> Trained:
    """The net in a file that `save` wrote, or in a state dict (.pth, .pt) of the net named `model`.

    InputError, one line: for a file that is damaged, holds code, is of another model, or is no weights.
    """
    path, note = find(Path(path))
    if model and model not in NAMED:
        raise InputError(f"model: {model!r}: must be one of {', '.join(NAMED)}")
    if path.suffix == ".safetensors":
        weights, about = _ours(path)
        if model and model != about.get("name"):
            raise InputError(f"{path}: holds {about.get('name', 'another model')}, not {model}")
    else:
        weights, about, said = _foreign(path, model)
        note = "; ".join(filter(None, (note, said)))
    net = _net(path, about)
    try:
        net.load_state_dict(weights)
    except RuntimeError:
        name = model or about.get("name", "its model")
        raise InputError(f"{path}: these are not the weights of {name}: {_difference(net, weights)}") from None
    if not finite(weights):
        raise InputError(f"{path}: holds numbers that are not finite: the training diverged, or the file is damaged")
    return Trained(net.eval(), about, path, note)


def _net(path: Path, about: Mapping[str, Any]) -> nn.Module:
    """The net that `about` describes. A custom one is refused: to build it is to call what the file names."""
    try:
        if about["model"]["kind"] == "custom":
            raise InputError(f"{path}: is of a custom net, and names code to build it: that is not run")
        spec = TypeAdapter(Model).validate_python(about["model"])
        return spec.build(tuple(about["shape"]), len(about["class_names"]))
    except (KeyError, TypeError, ValueError) as error:  # a ValidationError is a ValueError, and so is an InputError
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: does not say which net it is of") from None


def finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether all numbers are."""
    return all(bool(tensor.isfinite().all()) for tensor in weights.values())


def _difference(net: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """The first thing in which the names and shapes of `weights` are not those of `net`."""
    own = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in own:
        if name not in given:
            return f"{name} is missing"
        if own[name] != given[name]:
            return f"{name} has the shape {given[name]}, not {own[name]}"
    return f"{next(iter(given.keys() - own.keys()), '')} is too many"


def _ours(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            head = file.metadata() or {}
            if HEAD not in head:
                state = "nbhelpers" in head
                kind = "the state of a training that --resume goes on from" if state else "no weights of nbhelpers"
                raise InputError(f"{path}: is {kind}")
            names, about = file.keys(), json.loads(head[HEAD])  # the open file cannot be iterated over
            if not isinstance(about, dict):
                raise InputError(f"{path}: does not say which net it is of")
            return {name: file.get_tensor(name) for name in names}, about
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: is damaged, or no weights of nbhelpers ({' '.join(str(error).split())})") from None


def _foreign(path: Path, model: str) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """A state dict that torch saved. Only tensors and plain containers are read: nothing in the file runs."""
    import pickle
    import warnings

    from nbhelpers import parameters, readers

    if not model:
        raise InputError(f"{path}: does not say which net it is of: give --model, one of {', '.join(NAMED)}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle protocol that torch does not write itself
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        kind = f"asks for {asked[1]}, which is not run" if asked else "is damaged, or no state dict of torch"
        raise InputError(f"{path}: {kind}") from None
    for wrapper in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: holds no state dict: names with tensors")
    ran = parameters.load("ResNet_CIFAR10", "ran")
    about = {"name": model, "model": NAMED[model].canonical(), "shape": [3, 32, 32], "mean": ran["mean"]}
    about |= {"std": ran["std"], "class_names": list(readers.CIFAR10), "data": {"name": "cifar10"}}
    said = f"{path.name}: taken as {model} for CIFAR-10"
    return _own_names(found), about, said


def _own_names(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a usual ResNet under our names.

    What a block has beside its convolutions, norms and shortcut is taken for the two layers of a squeeze-excitation,
    which have many usual names (se.fc.0, fc1, se.conv1 ...): the one with fewer outputs than inputs is the first. They
    may be linear, or 1x1 convolutions.
    """
    named = {_renamed(name): tensor for name, tensor in found.items()}
    gates = {}
    for name, tensor in named.items():
        block = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)\.weight", name)
        if block and tensor.ndim in (2, 4) and tensor.shape[2:].numel() == 1:
            part = "reduce" if tensor.shape[0] < tensor.shape[1] else "expand"
            gates[name.removesuffix(".weight")] = f"stage{block[1]}.{block[2]}.branch.attention.{part}"
    if len(set(gates.values())) < len(gates):  # a block has more than these two layers: no such net of ours
        return named
    own = {}
    for name, tensor in named.items():
        path, _, kind = name.rpartition(".")
        own[f"{gates[path]}.{kind}" if path in gates else name] = (
            tensor.flatten(1) if path in gates and tensor.ndim == 4 else tensor
        )
    return own


LAYERS = {"conv1": "stem.conv", "bn1": "stem.norm", "fc": "linear"}


def _renamed(name: str) -> str:
    """Our name of a weight that has the usual name of a ResNet's (conv1, layer2.0.bn1, ... downsample or shortcut)."""
    name = name.removeprefix("module.")
    block = re.fullmatch(r"layer(\d+)\.(\d+)\.(\w+)\.(.+)", name)
    if not block:
        layer, _, rest = name.partition(".")
        return f"{LAYERS.get(layer, layer)}.{rest}" if rest else name
    stage, number, layer, rest = block.groups()
    if part := re.fullmatch(r"(conv|bn)(\d)", layer):
        kind = {"conv": "conv", "bn": "norm"}[part[1]]
        return f"stage{stage}.{number}.branch.{kind}{part[2]}.{rest}"
    if layer in ("shortcut", "downsample"):
        place, _, rest = rest.partition(".")
        return f"stage{stage}.{number}.shortcut.{ {'0': 'conv', '1': 'norm'}.get(place, place) }.{rest}"
    return name
