"""1x1 convolutions: one and the same matrix product at every pixel."""

import numpy as np
import torch
from torch.nn import functional as F

from nbhelpers.lesson.listings import table
from nbhelpers.streams import stream


def matrix_difference(side: int = 32, width_in: int = 10, width_out: int = 4, seed: int = 0) -> float:
    """The largest difference between a 1x1 convolution and a matrix product at each pixel, in float64."""
    draws = stream(seed, "lesson/pointwise")
    image = torch.from_numpy(draws.standard_normal((width_in, side, side)))
    matrix = torch.from_numpy(draws.standard_normal((width_out, width_in)))
    convolved = F.conv2d(image[None], matrix[:, :, None, None])[0]
    product = torch.einsum("oi,ihw->ohw", matrix, image)
    return float((convolved - product).abs().max())


def cost(side: int, width_in: int, width_out: int, kernel: int = 1) -> dict:
    """Output (side, side, channels), weights and multiply-accumulates of one convolution, padded to keep the side."""
    layers = ([f"pad {kernel // 2}"] if kernel > 1 else []) + [f"conv {kernel}x{kernel} {width_out}"]
    last = table(layers, (width_in, side, side)).iloc[-1]
    output = [int(last["side"]), int(last["side"]), int(last["channels"])]
    return {"output": output, "weights": int(last["weights"]), "multiply_accumulates": int(last["macs"])}


def noise_shares(probes: dict) -> tuple[float, float]:
    """The share (per cent) of the last input channel, the noise, in the absolute weights of the 1x1 convolution that
    the probe `background_channel` trained: before and after the training.
    """
    measured = probes["background_channel@1"]["initial"]
    before, after = (np.abs(measured[when]) for when in ("before", "after"))
    return tuple(float(100 * w[:, -1].sum() / w.sum()) for w in (before, after))


def suppressed(probes: dict) -> float:
    """By how many per cent that share fell."""
    before, after = noise_shares(probes)
    return 100 * (1 - after / before)
