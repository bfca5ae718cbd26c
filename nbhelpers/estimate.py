"""What a run costs, before it is started: layers, multiply-accumulates and seconds.

Seconds are those of one core of a recent server CPU that has others busy beside it: a start, then for each step and
layer what calling it takes, for each multiply-accumulate, and for each output of a layer what moving it through memory
takes. Deep narrow nets cost by their layers, wide ones by their multiply-accumulates, a single wide layer of Sigmoids
by its outputs. Fitted to the recorded runs; where a set has some, these correct it.
"""

import math
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from nbhelpers import data as datasets
from nbhelpers.models import Model
from nbhelpers.run import Run

START = 0.5  # seconds that any run takes
LAYER = 150e-6  # seconds that any layer takes in a training step, forward, backward and optimizer
TRAININGS = {"fine_detail@1": 3, "transfer@1": 3, "background_channel@1": 2}  # of probes that train, by the recipe
MACS_PER_SECOND, OUTPUTS_PER_SECOND = 100e9, 1e9


@lru_cache(maxsize=256)
def _layers(model: str, shape: tuple[int, int, int], classes: int) -> tuple[dict[str, Any], ...]:
    import torch

    from nbhelpers.models.summary import summarise

    spec = TypeAdapter(Model).validate_json(model)
    with torch.device("meta"):  # shapes only: nothing is allocated or computed
        return tuple(summarise(spec.build(shape, classes), shape))


def layer_rows(model: Model, shape: tuple[int, int, int], classes: int) -> list[dict[str, Any]]:
    """`models.summary.summarise` of a model spec, without making its weights."""
    return [dict(row) for row in _layers(model.model_dump_json(), shape, classes)]


def macs(run: Run) -> float:
    """Multiply-accumulates of the run: three times the net's per training image and epoch, once per test image.

    With sharpness-aware minimisation a training image is seen twice.
    """
    layers, passes, _ = _work(run)
    return sum(row["macs"] for row in layers) * passes


def _work(run: Run) -> tuple[list[dict[str, Any]], float, float]:
    """The net's layers, how many forward passes of an image the run's work equals, and its training steps."""
    shape, classes = datasets.describe(run.data.name, run.data.size, run.data.classes)
    _, test = images(run, classes)
    evaluations = epochs(run) if run.recipe.evaluate == "epoch" else 1
    trained = steps(run, classes) * (2 if run.recipe.sam else 1)
    passes = 3 * trained * run.recipe.batch_size + test * evaluations
    return layer_rows(run.model, shape, classes), passes, trained


def epochs(run: Run) -> int:
    """The epochs that the run trains."""
    return min(run.recipe.epochs, run.recipe.stop_after or run.recipe.epochs)


def images(run: Run, classes: int) -> tuple[int, int]:
    """How many images the run trains and tests on; 5,000 and 1,000 a class where the data set does not say."""
    train, test = datasets.per_class(run.data.name)
    held_out = run.data.test_per_class if run.data.test_from == "train" else run.data.validation_per_class
    train = run.data.per_class or (train or 5000) - (held_out or 0)
    return train * classes, (run.data.test_per_class or test or 1000) * classes


def steps(run: Run, classes: int) -> float:
    """The training steps of the run."""
    return (run.recipe.steps_per_epoch or images(run, classes)[0] / run.recipe.batch_size) * epochs(run)


def seconds(run: Run) -> float:
    """About how many seconds the run takes on one core, with what its probes train."""
    layers, passes, trained = _work(run)
    outputs = sum(math.prod(row["output"]) for row in layers)
    own = sum(row["macs"] for row in layers) / MACS_PER_SECOND + outputs / OUTPUTS_PER_SECOND
    training = LAYER * len(layers) * trained + own * passes
    return START + training * (1 + sum(TRAININGS.get(probe, 0) for probe in run.probes))
