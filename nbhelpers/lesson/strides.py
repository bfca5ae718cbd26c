"""Strides: how often each pixel is covered, when that is even, and what grows with them."""

from collections import Counter

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from nbhelpers import published
from nbhelpers.lesson import listings


def along(side: int, kernel: int, stride: int) -> np.ndarray:
    """How many windows of a convolution without padding cover each of `side` pixels in a row: (side,)."""
    counts = np.zeros(side, int)
    for start in range(0, side - kernel + 1, stride):
        counts[start : start + kernel] += 1
    return counts


def coverage(side: int, kernel: int, stride: int) -> np.ndarray:
    """How many windows cover each pixel of a square image: (side, side)."""
    counts = along(side, kernel, stride)
    return np.outer(counts, counts)


def histogram(side: int, kernel: int, stride: int) -> dict[int, int]:
    """How many pixels are covered how often: count -> pixels, rising."""
    counts = Counter(along(side, kernel, stride).tolist())
    made = Counter()
    for a, n in counts.items():
        for b, m in counts.items():
            made[a * b] += n * m
    return dict(sorted(made.items()))


def inside(kernel: int, stride: int) -> list[int]:
    """The different counts along one axis that pixels a kernel away from the edges have, rising."""
    return sorted(set(along(kernel + 12 * stride, kernel, stride)[kernel:-kernel].tolist()))


def evenness(kernels=(2, 3, 4, 5), strides=(1, 2, 3)) -> pd.DataFrame:
    """A row per kernel and stride: the counts inside, whether they are even (all equal), and whether the stride
    divides the kernel.
    """
    rows = []
    for kernel in kernels:
        for stride in strides:
            counts = inside(kernel, stride)
            row = {"kernel": kernel, "stride": stride, "counts inside": " and ".join(map(str, counts))}
            rows.append(row | {"even": len(counts) == 1, "stride divides kernel": kernel % stride == 0})
    return pd.DataFrame(rows)


def split(cases=((2, 2), (3, 2), (3, 3), (4, 2))) -> dict[str, list[str]]:
    """Which of the (kernel, stride) cover all pixels inside equally often, and which do not, by name."""
    names = {f"kernel {kernel} stride {stride}": len(inside(kernel, stride)) == 1 for kernel, stride in cases}
    return {"even_inside": [n for n, even in names.items() if even], "uneven": [n for n, e in names.items() if not e]}


def published_rows() -> tuple[int, int]:
    """Of how many published histograms of coverage how many are those computed here: (equal, all)."""
    rows = published.table(listings.STUDY, "stride_coverage")
    same = [
        {int(count): pixels for count, pixels in row["pixels_by_coverage_count"].items()}
        == histogram(row["side"], row["kernel"], row["stride"])
        for row in rows
    ]
    return sum(same), len(same)


def maps() -> dict[str, np.ndarray]:
    """Coverage maps to look at, by name: two even and one uneven inside, and a transposed convolution."""
    cases = {"5×5, kernel 3, stride 1": (5, 3, 1), "7×7, kernel 3, stride 2": (7, 3, 2)}
    cases |= {"8×8, kernel 4, stride 2": (8, 4, 2)}
    made = {name: coverage(*case) for name, case in cases.items()}
    return made | {"transposed, kernel 3, stride 2": transposed(4, 3, 2)}


def transposed(side: int, kernel: int, stride: int) -> np.ndarray:
    """What a transposed convolution with all weights one makes of an image of ones: the checkerboard, if there is one.

    (side - 1) * stride + kernel pixels a side.
    """
    ones = torch.ones((1, 1, side, side), dtype=torch.float64)
    weight = torch.ones((1, 1, kernel, kernel), dtype=torch.float64)
    return F.conv_transpose2d(ones, weight, stride=stride)[0, 0].numpy()


def layers_to_field(target: int, every: int = 0) -> int:
    """How many 3x3 convolutions it takes to a field of at least `target` pixels.

    The last of each `every` has stride 2; every = 0: none has a stride.
    """
    field, jump, count = 1, 1, 0
    while field < target:
        count += 1
        field += 2 * jump
        jump *= 2 if every and count % every == 0 else 1
    return count


def against_one(channels: int = 32, side: int = 56, depth: int = 4) -> pd.DataFrame:
    """A stack of 3x3 convolutions with stride 1 and the same with stride 2: side, field, MACs of one image."""
    rows = []
    for stride in (1, 2):
        layers = [text for _ in range(depth) for text in ("pad 1", f"conv 3x3/{stride} {channels}")]
        made = listings.table(layers, (channels, side, side))
        last = made.iloc[-1]
        row = {"stride": stride, "layers": depth, "side": last["side"], "field": last["field"]}
        rows.append(row | {"macs": int(made.macs.sum()), "layers to a field of 400": layers_to_field(400, stride - 1)})
    return pd.DataFrame(rows)
