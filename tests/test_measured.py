"""Probes arranged for a question."""

import math

import pandas as pd
import pytest

from nbhelpers import contrasts, measured


def runs(probes):
    frame = pd.DataFrame([{"arm": arm, "seed": seed, "probes": found} for arm, seed, found in probes])
    frame.attrs["labels"] = ["arm"]
    return frame


def test_reach_is_the_log_of_first_over_last_convolution():
    plain = {"stem.conv": 0.01, "stage1.shortcut.conv": 7.0, "stage1.conv": 1.0, "linear": 50.0}
    bare = {"stem.conv": 1e-4, "stage1.conv": 1.0, "linear": 3.0}
    df = runs(
        [
            (a, s, {"gradient_norms@1": {"initial": m, "final": m}})
            for a, m in (("with", plain), ("without", bare))
            for s in (0, 1)
        ]
    )
    found = measured.reach(df)
    assert found.groupby("arm")["value"].first().to_dict() == pytest.approx({"with": -2, "without": -4})
    gap = contrasts.difference(found, "arm", "with", "without")
    assert gap["value"].tolist() == pytest.approx([2, 2]) and math.isfinite(gap["value"].sum())


def test_shifts_are_rows_with_kind_and_severity():
    probe = {
        "shifted_accuracy@1": {"final": {"none 0": 90.0, "blur 1": 80.0, "blur 2": 70.0, "other normalisation": 60.0}}
    }
    found = measured.shifts(runs([("a", 0, probe), ("a", 1, {})]))
    rows = found.set_index(["shift", "severity"])["value"].to_dict()
    assert rows == {("none", 0): 90, ("blur", 1): 80, ("blur", 2): 70, ("other normalisation", 1): 60}
    assert set(found["seed"]) == {0} and list(found.columns) == ["arm", "seed", "shift", "value", "severity"]


def test_joined_contrasts_keep_their_seeds_and_are_told_apart():
    one = pd.DataFrame(
        {"net": ["x", "x"], "seed": [0, 1], "value": [1.0, 2.0], "images": [None] * 2, "at_chance": ["0"] * 2}
    )
    both = contrasts.joined({"a": one, "b": one.drop(columns="net")}, "change")
    assert both[["change", "seed", "value"]].values.tolist() == [["a", 0, 1], ["a", 1, 2], ["b", 0, 1], ["b", 1, 2]]
    assert both.attrs["labels"] == ["change"]


def test_what_was_published_of_other_epochs_stands_beside_the_net():
    published = pd.DataFrame({"net": ["a", "a", "b"], "epochs": [200, 100, 300], "value": [95.12, 91, 90.5]})
    found = measured.elsewhere(pd.DataFrame({"net": ["a", "c"]}), published)
    assert list(found["published, of the whole net"]) == ["95.12 (200 epochs), 91.00 (100 epochs)", ""]
