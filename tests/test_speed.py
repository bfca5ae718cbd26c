"""How soon a run gets somewhere is counted in steps to an error that both runs reach."""

import pandas as pd
import pytest

from nbhelpers import claims, contrasts, speed

CURVES = {  # training accuracy after each epoch
    ("x", "ReLU"): [30, 60, 70, 80],
    ("x", "Tanh"): [10, 20, 30, 60],
    ("y", "ReLU"): [20, 30, 35, 40],
    ("y", "Tanh"): [10, 15, 25, 25],
}


def frame(seeds=1) -> pd.DataFrame:
    rows = [
        {"family": family, "activation": arm, "seed": seed}
        | {"history": [{"epoch": i + 1, "train_accuracy": value} for i, value in enumerate(curve)]}
        for (family, arm), curve in CURVES.items()
        for seed in range(seeds)
    ]
    made = pd.DataFrame(rows)
    made.attrs["labels"] = ["family", "activation"]
    return made


def test_the_ratio_is_of_the_steps_to_the_given_error_or_to_the_lowest_that_both_reach():
    found = speed.ratio(frame(), "activation", "Tanh", "ReLU", error=50).set_index("family")
    assert found["value"].to_dict() == {"x": 4 / 2, "y": 3 / 2}  # y: 75 %, which Tanh has first after epoch 3
    assert found["reached"].to_dict() == {"x": True, "y": False}


def test_the_other_way_round_it_is_the_inverse():
    one, other = (speed.ratio(frame(), "activation", *arms, error=50) for arms in (("Tanh", "ReLU"), ("ReLU", "Tanh")))
    assert (one["value"] * other["value"]).tolist() == pytest.approx([1, 1])


def test_a_claim_can_be_made_of_it():
    found = contrasts.each(speed.ratio(frame(seeds=3), "activation", "Tanh", "ReLU", error=50), "family")
    assert claims.claim("t", found, above=1).verdict == "holds"
    assert claims.claim("t", found, above=6).verdict == "fails"


def test_runs_that_never_get_there_are_counted():
    assert speed.never(frame(), "activation", 50).to_dict() == {"ReLU": 1, "Tanh": 1}
    assert speed.never(frame(), "activation", 35).to_dict() == {"ReLU": 1, "Tanh": 2}


def test_no_common_seed_is_told():
    df = frame()
    df.loc[df.activation == "Tanh", "seed"] = 9
    with pytest.raises(ValueError, match="no seed has both activation=Tanh and activation=ReLU"):
        speed.ratio(df, "activation", "Tanh", "ReLU", error=50)
