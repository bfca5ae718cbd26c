"""What a run costs, before it is started: layers, multiply-accumulates and seconds."""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from nbhelpers import data as datasets
from nbhelpers.models import Model
from nbhelpers.run import Run

MACS_PER_SECOND = 25e9  # of one core of a recent server CPU in these nets; measured runs correct it
STEP, START = 0.001, 0.5  # seconds that any training step, and any run, takes


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
    """Multiply-accumulates of the run: three times the net's per training image and epoch, once per test image."""
    shape, classes = datasets.describe(run.data.name, run.data.size, run.data.classes)
    _, test = images(run, classes)
    evaluations = epochs(run) if run.recipe.evaluate == "epoch" else 1
    forward = sum(row["macs"] for row in layer_rows(run.model, shape, classes))
    return forward * (3 * steps(run, classes) * run.recipe.batch_size + test * evaluations)


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
    """About how many seconds the run takes on one core."""
    _, classes = datasets.describe(run.data.name, run.data.size, run.data.classes)
    return START + STEP * steps(run, classes) + macs(run) / MACS_PER_SECOND
