"""Accuracy, confusion and calibration beside their definitions, on answers made by hand."""

import numpy as np
import pytest
import torch

from nbhelpers import assess, stats
from nbhelpers.plots import assessment

NAMES = ("cat", "dog", "ship")


def sure(rows) -> torch.Tensor:
    """Logits whose softmax are these probabilities."""
    return torch.tensor(rows, dtype=torch.float64).log()


@pytest.fixture(scope="module")
def found():
    rows = [[0.9, 0.05, 0.05], [0.9, 0.08, 0.02], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.55, 0.35]]
    return assess.assess(sure(rows), np.array([0, 1, 0, 1, 1]), NAMES)


def test_accuracy_has_wilsons_interval(found):
    assert found.accuracy == stats.wilson(4, 5)
    assert found.predicted.tolist() == [0, 0, 0, 1, 1] and found.confidence == pytest.approx([0.9, 0.9, 0.6, 0.7, 0.55])
    assert found.loss == pytest.approx(-np.log([0.9, 0.08, 0.6, 0.7, 0.55]).mean())


def test_confusion_and_classes_are_counts_of_these_answers(found):
    assert found.confusion().to_numpy().tolist() == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]
    rows = found.by_class().set_index("class")
    assert list(rows.index) == ["cat", "dog"]  # no image of the third
    assert rows.loc["dog", ["n", "right %", "precision %"]].tolist() == pytest.approx([3, 200 / 3, 100])
    assert rows.loc["cat", "precision %"] == pytest.approx(200 / 3)
    assert rows.loc["dog", "from"] == pytest.approx(100 * stats.wilson(2, 3).low)


def test_the_calibration_error_is_the_mean_gap_of_the_bins(found):
    # Two answers at 0.9, of which one is right; the others, at 0.55, 0.6 and 0.7, are right and in bins of their own.
    expected = (2 * abs(0.5 - 0.9) + (1 - 0.55) + (1 - 0.6) + (1 - 0.7)) / 5
    bins = found.calibration()
    assert found.calibration_error == pytest.approx(expected)
    assert len(bins) == 15 and bins["n"].sum() == 5


def test_a_net_that_is_as_right_as_confident_has_no_calibration_error():
    draws = np.random.RandomState(0)
    confidence = draws.uniform(0.5, 1, 200_000)
    labels = (draws.uniform(size=len(confidence)) > confidence).astype(np.int64)
    found = assess.assess(sure(np.stack([confidence, 1 - confidence], 1).tolist()), labels, NAMES[:2])
    assert found.calibration_error < 0.005


def test_certainty_falls_in_the_last_bin():
    found = assess.assess(torch.tensor([[200.0, 0.0]]), np.array([0]), NAMES[:2])
    assert found.calibration()["n"].iloc[-1] == 1 and found.calibration_error == pytest.approx(0)


def test_mistakes_come_with_the_most_confident_first(found):
    more = assess.assess(sure([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([1, 1, 1, 1]), NAMES[:2])
    assert more.mistakes(2).tolist() == [1, 3] and more.mistakes(9).tolist() == [1, 3, 0]
    assert found.mistakes(9).tolist() == [1]


def test_the_pictures_say_what_is_found(found):
    images = np.zeros((5, 8, 8, 3), np.uint8)
    assert assessment.confusion(found)._suptitle.get_text().endswith("33.3% of dog are called cat")
    assert "Calibration error" in assessment.reliability(found)._suptitle.get_text()
    assert assessment.mistakes(images, found)._suptitle.get_text() == "The most confident of 1 mistakes among 5 images"
    titles = [axis.get_title() for axis in assessment.mistakes(images, found).axes if axis.get_title()]
    assert titles == ["cat 90%\ntrue: dog"]


def test_a_net_without_mistakes_can_be_drawn():
    found = assess.assess(sure([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), NAMES[:2])
    assert assessment.mistakes(np.zeros((2, 8, 8, 1), np.uint8), found) and assessment.confusion(found)
