"""The assignment's faults that stop the code: each tried for itself, with what it says."""

from collections.abc import Callable

import pandas as pd
import torch
from torch import nn


def _no_device() -> None:
    exec('data = torch.zeros(1).to(device)\ndevice = torch.device("cpu")', {"torch": torch})


def _wrong_reshape(features: int, given: int) -> None:
    torch.zeros((512, features)).view(-1, given)


def _wrong_linear(features: int, given: int) -> None:
    nn.Linear(given, 50)(torch.zeros((512, features)))


def _no_reduction() -> None:
    nn.CrossEntropyLoss()(torch.zeros((2, 10)), torch.zeros(2, dtype=torch.int64), reduction="sum")


def stopping(features: int, given: int = 320) -> pd.DataFrame:
    """The faults that end in an error, with its type and first sentence.

    features: the numbers that the first linear layer really receives; given: those that the published code says.
    """
    tried: dict[str, Callable[[], None]] = {
        "the device is used before it is defined": _no_device,
        f"the maps are reshaped to rows of {given}": lambda: _wrong_reshape(features, given),
        f"the first linear layer takes {given} numbers": lambda: _wrong_linear(features, given),
        "the loss is an object, called with reduction": _no_reduction,
    }
    return pd.DataFrame({"fault": name, "what happens": _said(function)} for name, function in tried.items())


def _said(function: Callable[[], None]) -> str:
    try:
        function()
    except (NameError, RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "it runs"


def loss_difference(count: int = 1000, classes: int = 10) -> float:
    """The largest difference between cross-entropy on log-probabilities and negative log-likelihood, in float64."""
    from nbhelpers.streams import stream

    draws = stream(0, "lesson/loss")
    scores = torch.from_numpy(5 * draws.standard_normal((count, classes)))
    labels, logs = torch.from_numpy(draws.randint(0, classes, count)), scores.log_softmax(1)
    both = [
        function(logs, labels, reduction="none") for function in (nn.functional.cross_entropy, nn.functional.nll_loss)
    ]
    return float((both[0] - both[1]).abs().max())


def flat(layers: pd.DataFrame) -> int:
    """The numbers that come out of a net's flattening layer: the first output without ×, of `Study.layers`."""
    return int(next(text for text in layers["output"] if text and "×" not in text))
