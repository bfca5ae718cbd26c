"""Trade-offs against their definition, on numbers made by hand."""

import pandas as pd
import pytest

from nbhelpers import fronts


def runs(rows):
    made = [
        {"arm": arm, "seed": seed, "test_accuracy": accuracy, "parameters": parameters, "seconds": seconds}
        | {"status": "done", "classes": 10, "test_images": 1000, "train_loss": 1.0}
        for arm, seed, accuracy, parameters, seconds in rows
    ]
    frame = pd.DataFrame(made)
    frame.attrs["labels"] = ["arm"]
    return frame


def test_an_arm_is_dominated_by_one_that_is_as_good_at_no_more_of_any_cost():
    df = runs([("a", 0, 80, 5, 9), ("b", 0, 80, 5, 9), ("a", 1, 80, 5, 9), ("b", 1, 81, 6, 1),
               ("a", 2, 80, 5, 9), ("b", 2, 79, 1, 1), ("a", 3, 80, 5, 9), ("b", 3, 90, 4, 8)])  # fmt: skip
    found = fronts.undominated(df, "a", ["parameters", "seconds"])
    assert found.set_index("seed")["value"].to_dict() == {0: False, 1: True, 2: True, 3: False}
    with pytest.raises(ValueError, match="no run has arm=c"):
        fronts.undominated(df, "c", ["parameters"])


def test_arms_of_other_seeds_do_not_dominate():
    df = runs([("a", 0, 50, 5, 9), ("b", 1, 99, 1, 1)])
    assert fronts.undominated(df, "a", ["parameters"])["value"].tolist() == [True]


def test_the_front_joins_what_nothing_equals_at_less_cost():
    means = pd.DataFrame({"accuracy": [70, 80, 75, 80, 90], "cost": [1, 2, 3, 4, 9]}, index=list("abcde"))
    assert fronts.front(means, "accuracy", "cost") == ["a", "b", "e"]
    same = pd.DataFrame({"accuracy": [70, 80], "cost": [1, 1]}, index=list("ab"))
    assert fronts.front(same, "accuracy", "cost") == ["b"]
