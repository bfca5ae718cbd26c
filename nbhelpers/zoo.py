"""The zoo of activations: what each is, and its properties, computed from the function itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbhelpers import places
from nbhelpers.errors import InputError
from nbhelpers.models.families import KIN
from nbhelpers.spec import suggestion

GRID = 10.0  # properties are those on [-GRID, GRID], and far outside of it
FAR = 1e6


@dataclass(frozen=True)
class Activation:
    """title: as arXiv:2109.14545 writes it. name: in `models.layers.ACTIVATIONS`. range: at the initial values of
    what is learnable. year: of the paper in `source`, as first published."""

    title: str
    name: str
    formula: str
    range: str
    source: str
    year: int


ZOO = {
    made.title: made
    for made in (
        Activation("Sigmoid", "sigmoid", "1 / (1 + exp(−x))", "(0, 1)", "Rumelhart, Hinton, Williams", 1986),
        Activation("Tanh", "tanh", "tanh(x)", "(−1, 1)", "LeCun, Bottou, Orr, Müller", 1998),
        Activation("Elliott", "elliott", "x / (2 (1 + |x|)) + 1/2", "(0, 1)", "Elliott", 1993),
        Activation("ReLU", "relu", "max(0, x)", "[0, ∞)", "Nair, Hinton", 2010),
        Activation("LReLU", "leaky_relu", "max(0, x) + 0.01 min(0, x)", "ℝ", "Maas, Hannun, Ng", 2013),
        Activation("PReLU", "prelu", "max(0, x) + a min(0, x), a learnable from 1/4", "ℝ", "arXiv:1502.01852", 2015),
        Activation("ELU", "elu", "x above 0, else exp(x) − 1", "(−1, ∞)", "arXiv:1511.07289", 2015),
        Activation("SELU", "selu", "λx above 0, else λα (exp(x) − 1); λ = 1.0507, α = 1.6733", "(−1.758, ∞)",
                   "arXiv:1706.02515", 2017),
        Activation("GELU", "gelu", "x Φ(x), Φ the normal distribution", "[−0.170, ∞)", "arXiv:1606.08415", 2016),
        Activation("CELU", "celu", "x above 0, else α (exp(x / α) − 1); α = 1", "(−1, ∞)", "arXiv:1704.07483", 2017),
        Activation("Softplus", "softplus", "ln(1 + exp(x))", "(0, ∞)", "Dugas et al., NIPS", 2000),
        Activation("Swish", "swish", "x sigmoid(βx), β learnable from 1", "[−0.278, ∞)", "arXiv:1710.05941", 2017),
        Activation("ABReLU", "abrelu", "max(0, x − mean of the image's x)", "[0, ∞)", "arXiv:1804.02051", 2018),
        Activation("LiSHT", "lisht", "x tanh(x)", "[0, ∞)", "arXiv:1901.05894", 2019),
        Activation("SRS", "srs", "x / (x/α + exp(−x/β)), learnable from α = 5, β = 3", "[−1.416, 5)",
                   "arXiv:2003.00547", 2020),
        Activation("Mish", "mish", "x tanh(softplus(x))", "[−0.309, ∞)", "arXiv:1908.08681", 2019),
        Activation("PAU", "pau", "(a₀ + … + a₅x⁵) / (1 + |b₁x + … + b₄x⁴|), learnable from a leaky ReLU's fit", "ℝ",
                   "arXiv:1907.06732", 2019),
        Activation("PDELU", "pdelu", "x above 0, else α (max(0, 1 + x/10)¹⁰ − 1), α learnable from 1", "[−1, ∞)",
                   "Cheng et al., Neural Networks 125", 2020),
        Activation("SReLU", "srelu", "x + (a − 1) max(0, x − t) + (1 − b) max(0, s − x), learnable from a leaky ReLU",
                   "ℝ", "arXiv:1512.07030", 2015),
    )
}  # fmt: skip


def title_of(spec: str | dict[str, Any]) -> str:
    """The title of a checked `models.layers.Activation`; its text where arguments or the name are not the zoo's."""
    return next((one.title for one in ZOO.values() if one.name == spec), str(spec))


def activation(title: str) -> Activation:
    """The activation of that title. InputError for an unknown one, naming those there are."""
    if title not in ZOO:
        raise InputError(f"activations: {title!r} is unknown{suggestion(title, ZOO)}")
    return ZOO[title]


def sheet(titles: Sequence[str]):
    """A row per activation as a DataFrame of text: formula, range, source, learnable numbers."""
    import pandas as pd

    rows = []
    for one in map(activation, titles):
        learnable = sum(p.numel() for p in module(one.title).parameters())
        row = {"activation": one.title, "f(x)": one.formula, "range": one.range, "learnable": learnable}
        rows.append(row | {"source": f"{one.source}, {one.year}"})
    return pd.DataFrame(rows)


def module(title: str):
    """A new module of the activation, in double precision."""
    from nbhelpers.models import layers

    return layers.activation(activation(title).name, inplace=False).double()


def curve(title: str, x):
    """f(x) for a NumPy array x of one dimension, all of it one image: what `mean(x)` in ABReLU is taken over."""
    import torch

    with torch.no_grad():
        return module(title)(torch.from_numpy(x)[None]).numpy()[0]


@lru_cache(maxsize=64)
def _properties(title: str) -> dict[str, Any]:
    import numpy as np

    x = np.linspace(-GRID, GRID, 20001)
    step, y = x[1] - x[0], curve(title, x)
    ends = curve(title, np.array([-FAR, FAR]))
    values, below, above = np.concatenate([y, ends]), *np.diff(curve(title, np.array([-1e-6, 0.0, 1e-6]))) / 1e-6
    slopes = np.diff(y) / step
    rises, falls = (slopes > 1e-9).any() or ends[1] > y[-1], (slopes < -1e-9).any()
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return {
        "lowest": -math.inf if values.min() < -1e3 else float(values.min()),
        "highest": math.inf if values.max() > 1e3 else float(values.max()),
        "monotone": not (rises and falls),
        "smooth": _smooth(y, step),
        "mean for normal x": float((y * density).sum() * step),
        "slope left of 0": float(below),
        "slope right of 0": float(above),
    }


def _smooth(y, step: float) -> bool:
    """Whether the derivative has no jump: on a grid ten times as fine its largest change is clearly smaller."""
    import numpy as np

    coarse, fine = (np.abs(np.diff(y[::every], 2)).max() / (every * step) for every in (10, 1))
    return bool(fine < 1e-6 or fine < coarse / 2)


def properties(titles: Sequence[str]):
    """A row per activation: range, monotone, smooth (a continuous derivative), bounded, zero-centred, slope at 0.

    All computed from values in double precision on a grid over [-10, 10] and at ±10⁶, at the initial values of what is
    learnable. "mean for normal x" is the mean of f(x) for standard normal x: zero-centred where it is 0. The slope is
    that of both sides where they differ.
    """
    import pandas as pd

    rows = []
    for title in titles:
        found = _properties(title)
        left, right = round(found["slope left of 0"], 2) + 0.0, round(found["slope right of 0"], 2) + 0.0
        ends = [found["lowest"], found["highest"]]
        row = {"activation": title, "lowest": _number(ends[0]), "highest": _number(ends[1])}
        row |= {"monotone": _yes(found["monotone"]), "smooth": _yes(found["smooth"])}
        row |= {"bounded": _yes(all(map(math.isfinite, ends)))}
        row |= {"zero-centred": _yes(abs(found["mean for normal x"]) < 1e-6)}
        row |= {"mean for normal x": f"{found['mean for normal x']:.2f}"}
        rows.append(row | {"slope at 0": f"{left:g}" if left == right else f"{left:g}, {right:g}"})
    return pd.DataFrame(rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _number(value: float) -> str:
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.3f}".replace("-0.000", "0.000")


# What the code of the survey (github.com/shivram1987/ActivationFunctions) computes where it is not the activation that
# its tables name: CIFAR10/models at 5fb8b7d, and for PDELU, Swish, SRS and ABReLU the file of activations at ba8bd71,
# which lies beside the code for CIFAR-100: that for CIFAR-10 imports one of the same name.
AS_CODED = (
    ("PDELU", "all", "ReLU", "the negative part is cut off in place, before the branch for it reads its input"),
    ("LReLU", "GoogLeNet", "x itself", "nn.LeakyReLU(True): a slope of 1 on both sides"),
    ("LReLU", "VGG16", "a slope of 64 to 512 on the left", "nn.LeakyReLU(channels)"),
    ("ELU", "VGG16", "α = 64 to 512", "nn.ELU(channels)"),
    ("CELU", "VGG16", "α = 64 to 512", "nn.CELU(channels)"),
    ("Softplus", "VGG16", "nearly ReLU: β = 64 to 512", "nn.Softplus(channels)"),
    ("Swish", "all", "x sigmoid(βx), β learnable from 1/4", "the paper starts at 1"),
    ("SRS", "SENet18", "learnable from α = β = 10", "the paper starts at 5 and 3"),
    ("ABReLU", "all", "the mean of a whole batch", "the paper takes that of an image"),
)
ANOTHER = 6  # so many of these, the first, are other functions; the rest are variants


def as_coded():
    """A row per deviation of the survey's code from the activation that its tables name."""
    import pandas as pd

    return pd.DataFrame(AS_CODED, columns=["activation", "family", "what ran", "why"])


def as_named(published):
    """The rows of the survey without the activations that were another function in some family."""
    return published[~published["activation"].isin([row[0] for row in AS_CODED[:ANOTHER]])]


def beside(results, published):
    """Results by family and activation with a column of the survey's accuracy (per cent) for the net that a family
    stands for; empty where it has none."""
    theirs = published.set_index(["family", "activation"])["value"]
    pairs = zip(results["family"].map(lambda family: KIN.get(family, family)), results["activation"], strict=True)
    return results.assign(published=[f"{theirs[pair]:.2f} ({pair[0]})" if pair in theirs else "" for pair in pairs])


def constant_units(df):
    """Units that say the same about every image, per cent: a row per activation with its families, and a sentence.

    Where there are none at all the sentence says so, and the table is empty.
    """
    import pandas as pd

    from nbhelpers import tables

    share = tables.probe(df, "constant_units@1").mean(axis=1)
    said = f"{len(share)} of {len(df)} runs have the measurement."
    if not (share > 0).any():
        return pd.DataFrame(), f"In none of them is there any such unit: not one is dead or stuck. {said}"
    units = df.assign(value=share).groupby(["activation", "family"], sort=False)["value"].mean()
    return units.unstack().map("{:.2f}".format).reset_index(), said


@lru_cache(maxsize=1)
def benchmark() -> dict[str, Any]:
    """The recorded ``benchmarks/activations.json``: machine, rounds, ReLU's milliseconds, ratios to ReLU."""
    return json.loads((places.benchmarks() / "activations.json").read_text(encoding="utf-8"))


def costs():
    """The recorded costs: a row per activation and round, with the ratios to ReLU of "forward", "backward" and of a
    training "step", the mean over the reduced families."""
    import pandas as pd

    ratios = benchmark()["ratios"]
    rows = []
    for title in ratios["forward"]:
        for number in range(benchmark()["rounds"]):
            row = {"activation": title, "round": number} | {
                q: ratios[q][title][number] for q in ("forward", "backward")
            }
            rows.append(row | {"step": sum(ratios[name][title][number] for name in KIN) / len(KIN)})
    return pd.DataFrame(rows)


def cost_of_a_step(titles: Sequence[str]):
    """The "step" of `costs` as a contrast whose rounds stand in the place of seeds: see `contrasts`."""
    found = costs()
    frame = found[found["activation"].isin(list(titles))].reset_index(drop=True)
    frame = frame.rename(columns={"round": "seed", "step": "value"})[["activation", "seed", "value"]]
    frame = frame.assign(images=None, at_chance="0")
    frame.attrs = {"labels": ["activation"], "unit": "×"}
    return frame


def newer(than: str = "GELU") -> list[str]:
    """The titles of that activation and of those first published after its year."""
    return [one.title for one in ZOO.values() if one.title == than or one.year > activation(than).year]
