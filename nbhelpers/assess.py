"""How good a trained net is on labelled images: accuracy by class, confusion, calibration, mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbhelpers import stats

BINS = 15  # of confidence, as in arXiv:1706.04599


@dataclass(frozen=True)
class Assessment:
    """What a net answers to N images of K classes.

    labels, predicted: (N,) int64. confidence: (N,) the probability that it gives its answer. loss: mean cross-entropy
    in nats.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    class_names: tuple[str, ...]
    loss: float

    @property
    def accuracy(self) -> stats.Interval:
        """Share of right answers with its 95% interval (Wilson)."""
        return stats.wilson(int((self.labels == self.predicted).sum()), len(self.labels))

    def by_class(self) -> pd.DataFrame:
        """A row per class that has images: n, share of right answers and its 95% interval, in per cent; precision."""
        rows = []
        for label, name in enumerate(self.class_names):
            own, named = self.labels == label, self.predicted == label
            if not own.any():
                continue
            right = int((own & named).sum())
            share = stats.wilson(right, int(own.sum()))
            row = {"class": name, "n": int(own.sum()), "right %": 100 * share.mean}
            row |= {"from": 100 * share.low, "to": 100 * share.high}
            rows.append(row | {"precision %": 100 * right / named.sum() if named.any() else np.nan})
        return pd.DataFrame(rows)

    def confusion(self) -> pd.DataFrame:
        """Counts (K, K): a row per true class, a column per answer."""
        count = len(self.class_names)
        counts = np.bincount(self.labels * count + self.predicted, minlength=count**2).reshape(count, count)
        return pd.DataFrame(counts, index=list(self.class_names), columns=list(self.class_names))

    def calibration(self) -> pd.DataFrame:
        """A row per bin of confidence (equally wide): its ends, n, mean confidence, share of right answers with
        its 95% interval (Wilson); bins without images have n = 0."""
        right = self.labels == self.predicted
        place = np.minimum((self.confidence * BINS).astype(int), BINS - 1)
        rows = []
        for number in range(BINS):
            own = place == number
            row: dict[str, Any] = {"from": number / BINS, "to": (number + 1) / BINS, "n": int(own.sum())}
            if own.any():
                share = stats.wilson(int(right[own].sum()), int(own.sum()))
                row |= {"confidence": self.confidence[own].mean(), "accuracy": share.mean}
                row |= {"low": share.low, "high": share.high}
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al., arXiv:1706.04599): mean over images of |accuracy - confidence| of
        the image's bin, from 0 to 1."""
        bins = self.calibration()
        apart = (bins["accuracy"] - bins["confidence"]).abs()
        return float((apart * bins["n"]).sum() / len(self.labels))

    def mistakes(self, count: int) -> np.ndarray:
        """Positions of the wrong answers given with the most confidence, at most `count`."""
        wrong = np.flatnonzero(self.labels != self.predicted)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]


@torch.inference_mode()
def logits(net: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Answers (N, K) of `net` in evaluation mode and fp32 to normalised images (N, C, H, W), on the CPU."""
    place = next(net.parameters()).device
    net.eval()
    return torch.cat([net(part.to(place).clone()).float().cpu() for part in images.split(batch_size)])


def assess(answers: Tensor, labels: np.ndarray, class_names: tuple[str, ...]) -> Assessment:
    """What logits (N, K) are worth beside the true labels (N,)."""
    confidence, predicted = torch.softmax(answers.double(), 1).max(1)
    loss = F.cross_entropy(answers.double(), torch.from_numpy(labels)).item()
    return Assessment(labels, predicted.numpy(), confidence.numpy(), tuple(class_names), loss)
