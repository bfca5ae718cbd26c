"""The project's look: one style, and the same colour for the same arm in all notebooks."""

import math
import textwrap
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from nbhelpers import stats

COLOURS = {  # the same arm has the same colour in all notebooks
    "ReLU": "#0173b2",
    "Sigmoid": "#de8f05",
    "Tanh": "#cc78bc",
    "GELU": "#56b4e9",
    "4·sigmoid(x) − 2": "#029e73",
    "batch": "#0173b2",
    "group": "#de8f05",
    "as published": "#0173b2",
    "equal steps": "#de8f05",
    "lr ∝ batch size": "#029e73",
    "evaluation mode": "#0173b2",
    "re-estimated": "#de8f05",
    "training mode": "#029e73",
    "mean": "#0173b2",
    "mean, predicted": "#56b4e9",
    "variance": "#d55e00",
    "variance, predicted": "#de8f05",
    "conv-BN-ReLU": "#0173b2",
    "conv-ReLU-BN": "#de8f05",
    "conv-LeakyReLU-BN": "#029e73",
    "BN-conv-ReLU": "#cc78bc",
    "conv-ReLU": "#7f7f7f",
    "scaled ReLU": "#d55e00",
    "resnet26": "#029e73",
    "resnet34": "#de8f05",
    "resnet50": "#0173b2",
    "as it is": "#0173b2",
    "no shortcuts": "#de8f05",
    "MLP": "#0173b2",
    "ConvNet": "#de8f05",
    "holds": "#029e73",
    "fails": "#d55e00",
    "undecided": "#949494",
}
_BY_NAME = {name.casefold(): shade for name, shade in COLOURS.items()}
OTHERS = ["#cc78bc", "#ca9161", "#fbafe4", "#ece133", "#56b4e9", "#d55e00"]
OWN = {  # besides seaborn's theme
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "grid.linewidth": 0.6,
}
UNITS = {
    "test_accuracy": "test accuracy (%)",
    "train_accuracy": "training accuracy (%)",
    "train_loss": "training loss (nats)",
    "test_loss": "test loss (nats)",
    "new_accuracy": "test accuracy on new classes (%)",
    "mark_accuracy": "marks told apart (%)",
}


def style() -> None:
    """The project's look: set once for each figure, so that importing nbhelpers changes nobody's plots."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", rc=OWN)


def colour(label: Any, position: int = 0) -> str:
    """The colour of an arm: its own or, up to the first comma, its kind's; else by its position among the arms."""
    text = str(label).casefold()  # an activation is spelt "relu" as an arm, "ReLU" as a name
    return _BY_NAME.get(text) or _BY_NAME.get(text.split(",")[0], OTHERS[position % len(OTHERS)])


def new(width: float = 8, height: float = 4.5, columns: int = 1, rows: int = 1, **options: Any):
    """Figure and axes in the project's style, not shown by themselves."""
    style()
    with plt.ioff():
        return plt.subplots(rows, columns, figsize=(width, height), **options)


def half_width(ours: stats.Interval) -> float:
    """The length of an error bar; nan, for none, below three seeds.

    The interval of two reaches six times their distance to either side: it says nothing, and all else would be hidden.
    """
    return ours.half_width if ours.n >= stats.LEAST_SEEDS else math.nan


def note_of(counts: set[int]) -> str | None:
    """What a figure says, over its legend, of the numbers of seeds behind its means: where two have no interval."""
    if 2 not in counts:
        return None
    return "2 seeds: no interval" if max(counts) == 2 else "no interval where\nthere are 2 seeds"


def title_of(figure: Figure, text: str) -> None:
    """The finding, as a bold title in as many lines as the figure's width asks for."""
    lines = textwrap.wrap(text, max(20, int(figure.get_figwidth() / 0.112)), break_on_hyphens=False)
    figure.suptitle("\n".join(lines), fontweight="bold", fontsize=12, x=0.01, ha="left")


def plain_log_ticks(axis, of: str = "y") -> None:
    """A logarithmic axis (`of`: x or y) with plain numbers, also where it spans less than a decade."""
    axis.set(**{f"{of}scale": "log"})
    (low, high), ticks = getattr(axis, f"get_{of}lim")(), getattr(axis, f"{of}axis")
    ticks.set_major_formatter("{x:g}")
    ticks.set_minor_locator(LogLocator(subs=(2, 5)) if high / low < 50 else NullLocator())
    ticks.set_minor_formatter("{x:g}")
