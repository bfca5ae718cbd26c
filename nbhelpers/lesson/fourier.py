"""Waves: a square wave from sines, its overshoot, and the convolution theorem."""

import numpy as np
import torch
from scipy.special import sici
from torch.nn import functional as F

from nbhelpers.streams import stream


def square_wave(x: np.ndarray, terms: int) -> np.ndarray:
    """The first `terms` sines of the square wave sign(sin(x)): 4/π (sin x + sin(3x)/3 + sin(5x)/5 + ...)."""
    odd = 2 * np.arange(terms) + 1
    return 4 / np.pi * (np.sin(np.multiply.outer(x, odd)) / odd).sum(-1)


def overshoot(terms: int) -> float:
    """How far the sum of `terms` sines goes above 1, in per cent of the jump of 2. It is highest at π/(2 terms)."""
    return 50 * (float(square_wave(np.array(np.pi / (2 * terms)), terms)) - 1)


def gibbs() -> float:
    """What the overshoot tends to, in per cent of the jump: (Si(π)/π - 1/2) 100, the Gibbs phenomenon."""
    return 100 * (float(sici(np.pi)[0]) / np.pi - 0.5)


def convolution_theorem(side: int = 32, kernel: int = 5, seed: int = 0) -> float:
    """The largest difference between a convolution and its way through the Fourier transform, in float64.

    A random image (side, side) that goes on periodically is convolved with a random kernel, once by torch's conv2d
    (which slides without turning the kernel around, so it gets it turned), once as the inverse transform of the
    product of both transforms.
    """
    draws = stream(seed, "lesson/fourier")
    image, weights = draws.standard_normal((side, side)), draws.standard_normal((kernel, kernel))
    padded = np.pad(image, ((kernel - 1, 0), (kernel - 1, 0)), mode="wrap")
    turned = torch.from_numpy(weights[::-1, ::-1].copy())
    direct = F.conv2d(torch.from_numpy(padded)[None, None], turned[None, None])[0, 0].numpy()
    product = np.fft.fft2(image) * np.fft.fft2(weights, (side, side))
    return float(np.abs(direct - np.fft.ifft2(product).real).max())


def grid(points: int = 2001) -> np.ndarray:
    """`points` places from 0 to 2π, where the square wave goes up once and down once."""
    return np.linspace(0, 2 * np.pi, points)
