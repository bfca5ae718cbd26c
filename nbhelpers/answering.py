"""What a trained net answers to images of one's own: evaluation where labels are known, else predictions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nbhelpers import assess, inputs, records, tensors, weights
from nbhelpers import data as datasets
from nbhelpers import device as devices
from nbhelpers.errors import InputError
from nbhelpers.outputs import png
from nbhelpers.run import Data


def load(
    checkpoint: Path, model: str = "", mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> weights.Trained:
    """The net in a weights file (`weights.load`); `mean` and `std`, a number per channel, replace those it came with.

    InputError as there, and for a number that is not finite, a std that is not above 0, or not one for each channel.
    """
    trained = weights.load(checkpoint, model)
    channels = trained.about["shape"][0]
    given = {name: list(values) for name, values in (("mean", mean), ("std", std)) if values is not None}
    for name, values in given.items():
        least = 0.0 if name == "std" else -math.inf
        if len(values) != channels or not all(math.isfinite(value) and value > least for value in values):
            kind = "positive numbers" if name == "std" else "numbers"
            raise InputError(f"{name}: {values}: must be {channels} {kind}, one for each channel")
    return replace(trained, about=trained.about | given, given=tuple(given))


def normalised(trained: weights.Trained) -> str:
    """With which mean and std images are normalised for the net, and whence they are, as a line."""
    said, own = [], "as in training" if trained.path.suffix == ".safetensors" else "of the set ran"
    for name in ("mean", "std"):
        values, origin = trained.about[name], "given" if name in trained.given else own
        said.append(f"{name} {', '.join(f'{v:.4g}' for v in values)} ({origin})" if values else f"no {name} ({origin})")
    return "normalised with " + ", ".join(said)


def answers(trained: weights.Trained, given: inputs.Given, device: str) -> torch.Tensor:
    """Logits (N, K) of a trained net for images that a user gave, normalised as its `about` says, on the CPU."""
    mean, std = (tuple(trained.about[name]) if trained.about[name] else None for name in ("mean", "std"))
    images = tensors.normalise(torch.from_numpy(given.images.copy()).permute(0, 3, 1, 2), mean, std)
    return assess.logits(trained.net.to(devices.choose(device)), images)


def own_test(about: Mapping[str, Any]) -> inputs.Given:
    """The images that the net was tested on when it was trained."""
    spec = Data(**about["data"])
    whole = datasets.load(spec.name, size=spec.size, classes=spec.classes)
    index = tensors.subset(whole.test_labels, len(whole.class_names), spec.test_per_class, "test", 0)
    return inputs.Given(
        whole.test_images[index], whole.test_labels[index], f"{spec.name}: {len(index):,} test images, as in training"
    )


def evaluate(trained: weights.Trained, source: str, device: str, folder: Path | None) -> list[str]:
    """Test a trained net on labelled images; the lines to print. Tables and pictures are written to `folder`."""
    from nbhelpers.plots import assessment

    about = trained.about
    given = inputs.read(source, about["shape"], about["class_names"]) if source else own_test(about)
    if given.labels is None:
        raise InputError(f"{source}: has no labels to evaluate against; predict answers without them")
    found = assess.assess(answers(trained, given, device), given.labels, tuple(about["class_names"]))
    folder = folder or trained.path.with_suffix(".evaluation")
    share = found.accuracy
    summary = {
        "checkpoint": trained.path.name,
        "images": given.said,
        "mean": about["mean"],
        "std": about["std"],
        "n": share.n,
        "accuracy": 100 * share.mean,
        "interval": [100 * share.low, 100 * share.high],
        "loss": found.loss,
        "calibration_error": found.calibration_error,
        "by_class": found.by_class().round(4).to_dict("records"),
        "confusion": found.confusion().to_numpy().tolist(),
        "calibration": found.calibration().round(6).replace({float("nan"): None}).to_dict("records"),
    }
    records.write(folder / "evaluation.json", records.dump(summary))
    for name, figure in (
        ("confusion", assessment.confusion(found)),
        ("reliability", assessment.reliability(found)),
        ("mistakes", assessment.mistakes(given.images, found)),
    ):
        records.write(folder / f"{name}.png", png(figure))
    table = found.by_class().to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.2f}")
    confusion = ["confusion: a row per true class, a column per answer", found.confusion().to_string(), ""]
    interval = f"95% interval {100 * share.low:.2f} to {100 * share.high:.2f} (Wilson)"
    return [
        *filter(None, [trained.note]),
        f"{trained.path.name}: {about.get('name', 'a net')}; {given.said}",
        normalised(trained),
        f"accuracy {100 * share.mean:.2f} %, {interval}, n = {share.n:,}",
        f"loss {found.loss:.4f} nats; expected calibration error {100 * found.calibration_error:.2f} points",
        "",
        table,
        "",
        *(confusion if len(found.class_names) <= 20 else ()),
        f"written to {folder}: evaluation.json, confusion.png, reliability.png, mistakes.png",
    ]


def predict(trained: weights.Trained, source: str, device: str, output: Path) -> list[str]:
    """Answer unlabelled images with class numbers, as a CSV file with the columns ID and Labels; the lines to print."""
    given = inputs.read(source, trained.about["shape"], trained.about["class_names"])
    classes = answers(trained, given, device).argmax(1).tolist()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["ID", "Labels"])
    table.writerows(zip(given.names or range(len(classes)), classes, strict=True))  # numbered, as in the original
    records.write(output, text.getvalue())
    known = trained.about["class_names"]
    names = ", ".join(f"{i} {name}" for i, name in enumerate(known[:20])) + (" ..." if len(known) > 20 else "")
    return [
        *filter(None, [trained.note]),
        given.said,
        normalised(trained),
        f"{output}: {len(classes):,} rows; Labels are {names}",
    ]
