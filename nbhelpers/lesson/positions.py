"""Positions added to elements: plain numbers against sinusoidal codes."""

from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import nn

from nbhelpers.models.modules import Positions
from nbhelpers.streams import seed_of, stream


def codes(count: int, width: int, kind: str) -> np.ndarray:
    """What `modules.Positions` adds at positions 1 ... count to elements of `width` numbers: (count, width)."""
    return Positions(kind)(torch.zeros((1, width, 1, count), dtype=torch.float64))[0, :, 0].T.numpy()


@cache
def distortion(count: int = 40, width: int = 32, seed: int = 0) -> pd.DataFrame:
    """What adding positions does to random elements of mean 0 and sd 1: a row per kind.

    Columns: mean, sd and largest absolute value after adding; kept, the squared correlation with what was there
    before, in per cent; order, `order_matters`.
    """
    elements = stream(seed, "lesson/positions").standard_normal((count, width))
    kinds = {"none": 0.0, "counted": codes(count, width, "counted"), "waves": codes(count, width, "waves")}
    rows = []
    for kind, added in kinds.items():
        made = elements + added
        kept = 100 * float(np.corrcoef(made.ravel(), elements.ravel())[0, 1]) ** 2
        row = {"positions": kind, "mean": made.mean(), "sd": made.std(), "largest": np.abs(made).max(), "kept": kept}
        rows.append(row | {"order": order_matters(kind)})
    return pd.DataFrame(rows)


def order_matters(kind: str, count: int = 40, width: int = 32, seed: int = 0) -> float:
    """How much the mean of a layer over all elements changes when these change places: the largest difference.

    The layer is one matrix and a ReLU, the same at every place, so that without positions nothing can change but
    rounding.
    """
    draws = stream(seed, "lesson/order")
    elements, matrix = draws.standard_normal((count, width)), draws.standard_normal((width, width)) / np.sqrt(width)
    added = 0.0 if kind == "none" else codes(count, width, kind)

    def pooled(rows: np.ndarray) -> np.ndarray:
        return np.maximum((rows + added) @ matrix, 0).mean(0)

    return float(np.abs(pooled(elements) - pooled(elements[draws.permutation(count)])).max())


def found_half(kind: str, seed: int = 0, count: int = 12, width: int = 16, steps: int = 150, batch: int = 32) -> float:
    """How often (per cent) a net says in which half of `count` random elements the one with a mark is.

    The mark is one vector, added to an element anywhere. The net treats all elements alike and averages: nothing but
    the positions of `kind` ("none", "counted", "waves") can tell it where. Guessing gives 50. Adam at 0.01, new
    elements at each step, 2,000 others for the test; in float64, on one thread.
    """
    draws, threads = stream(seed, "lesson/halves"), torch.get_num_threads()
    mark = 3 * draws.standard_normal(width)

    def examples(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        elements, at = draws.standard_normal((number, count, width)), draws.randint(0, count, number)
        elements[np.arange(number), at] += mark
        return torch.from_numpy(elements).transpose(1, 2).unsqueeze(2), torch.from_numpy((at >= count // 2).astype(int))

    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed_of(seed, "lesson/halves/net"))
            alike = [nn.Conv2d(width, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU()]
            net = nn.Sequential(*alike, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)).double()
        net = net if kind == "none" else nn.Sequential(Positions(kind), net)
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(steps):
            x, y = examples(batch)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        x, y = examples(2000)
        with torch.inference_mode():
            return 100 * float((net(x).argmax(1) == y).double().mean())
    finally:
        torch.set_num_threads(threads)


def halves(kinds=("none", "counted", "waves"), seeds: int = 3) -> dict[str, list[float]]:
    """`found_half` of each kind, for seeds 0, 1 ..."""
    return {kind: [found_half(kind, seed) for seed in range(seeds)] for kind in kinds}


def come_back(found: dict[str, list[float]], least: float = 60) -> str:
    """What `halves` shows, as a sentence: of which kinds every seed is right in over `least` per cent."""
    means = ", ".join(f"{kind} {np.mean(own):.0f}% ({min(own):.0f} to {max(own):.0f})" for kind, own in found.items())
    back = [kind for kind, own in found.items() if kind != "none" and min(own) > least]
    lost = "without any the net guesses" if max(found["none"]) <= least else "without any the net knows it too"
    said = f"with {' and with '.join(back)} the place comes back" if back else "no kind brings the place back"
    return f"Which half the marked element is in, of {len(found['none'])} seeds: {means}. So {lost}; {said}."
