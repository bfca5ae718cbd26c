import json
import math
from dataclasses import replace

import pytest

from nbhelpers.verdict import Verdict

PART = {"label": "", "verdict": "holds", "rule": "mean", "n": 6, "planned": None, "values": [12.0, 12.6]}
HOLDS = Verdict(
    text="ReLU beats Sigmoid",
    region="> 0",
    verdict="holds",
    n=6,
    planned=None,
    estimate=12.3,
    low=10.1,
    high=14.5,
    margin=10.1,
    on_these_images=False,
    seeds_needed=None,
    part="",
    rule="mean",
    unit="points",
    alpha=0.05,
    parts=[PART],
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "holds: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1"),
        ({"on_these_images": True}, "holds on these images: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1"),
        (
            {"estimate": 0.123, "low": 0.101, "high": 0.145, "margin": 0.1011, "unit": ""},
            "holds: +0.123 [0.101, 0.145], n = 6, region > 0, margin 0.101",
        ),
        (
            {"verdict": "undecided", "estimate": -1.25, "low": -3.5, "high": 1, "margin": 1, "seeds_needed": 21},
            "undecided: -1.2 points [-3.5, 1.0] (± 2.2), n = 6, region > 0, margin 1.0, about 21 seeds would decide",
        ),
        (
            {"unit": "%", "estimate": 70, "low": 70, "high": 70, "region": "> 50"},
            "holds: 70.0 % [70.0, 70.0], n = 6, region > 50, margin 10.1",
        ),
        (
            {"margin": 0.0043},
            "holds: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 0.004",
        ),
        (
            {"verdict": "interim", "low": None, "high": None, "margin": None, "parts": [PART | {"planned": 9}]},
            "interim: values 12, 12.6, n = 6 of 9, region > 0",
        ),
        (
            {"rule": "share", "estimate": 5 / 6, "low": 0.359, "high": 0.996, "verdict": "undecided", "margin": None},
            "undecided: in 5 of 6 seeds [36%, 100%], n = 6, region > 0 points in most seeds",
        ),
        (
            {"rule": "share", "estimate": 0.5, "low": 0.1, "high": 0.9, "verdict": "undecided", "margin": 2.71},
            "undecided: in 3 of 6 seeds [10%, 90%], n = 6, region > 0 points in most seeds, margin 2.7 points",
        ),
        (
            {"rule": "share", "estimate": 1, "low": 0.5, "high": 1, "margin": None, "region": "most seeds", "unit": ""},
            "holds: in 6 of 6 seeds [50%, 100%], n = 6, region most seeds",
        ),
        (
            {"unit": "×", "estimate": 0.56, "low": 0.32, "high": 0.79, "region": "< 5"},
            "holds: 0.56 × [0.32, 0.79], n = 6, region < 5, margin 10.10",
        ),
        (
            {"part": "blocks=1", "parts": [PART | {"label": "blocks=1"}, PART | {"label": "blocks=4"}]},
            "holds in all 2, nearest at blocks=1: +12.3 points [10.1, 14.5], n = 6, region > 0, margin 10.1",
        ),
        (
            {"part": "blocks=4", "parts": [PART, PART | {"label": "blocks=4", "n": 3}], "verdict": "fails"},
            "fails at blocks=4: +12.3 points [10.1, 14.5], n = 3, region > 0, margin 10.1",
        ),
        (
            {"part": "a - b", "rule": "spread", "parts": [PART, PART | {"label": "a - b"}], "region": "spread < 30"},
            "holds: 12.3 points [10.1, 14.5], n = 6, region spread < 30, margin 10.1",
        ),
    ],
)
def test_sentence(changes, sentence):
    assert replace(HOLDS, **changes).sentence == sentence


def test_the_level_of_an_interval_is_said_where_it_is_not_95():
    assert replace(HOLDS, level=0.95).interval == HOLDS.interval == "[10.1, 14.5]"
    assert replace(HOLDS, level=0.99).interval == "[10.1, 14.5] (at 99%)"
    assert replace(HOLDS, alpha=0.025).interval == "[10.1, 14.5] (at 97.5%)"
    share = replace(HOLDS, rule="share", estimate=0.2, low=0.02, high=0.6, level=1 - 0.05 / 7)
    assert share.interval == "[2%, 60%] (at 99.29%)"
    assert replace(HOLDS, rule="spread", level=0.975).interval == "[10.1, 14.5] (low end at 97.5%)"


def test_what_rounds_to_zero_has_no_sign():
    said = replace(HOLDS, estimate=-0.02, low=-2.04, high=2.0).sentence
    assert said.startswith("holds: 0.0 points [-2.0, 2.0]")


def test_a_verdict_that_was_written_without_a_level_is_read():
    written = HOLDS.to_dict()
    del written["level"]
    assert Verdict.from_dict(written) == HOLDS


def test_to_dict_is_plain():
    plain = HOLDS.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["sentence"] == HOLDS.sentence and plain["parts"] == [PART]
    assert math.isclose(plain["margin"], 10.1)
