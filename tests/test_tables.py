"""Tables say of a handmade frame what a hand computes."""

import math

import numpy as np
import pandas as pd
import pytest
from frames import ARM, T2, frame, theirs
from scipy.stats import t as t_distribution

from nbhelpers import records, tables


def only(table: pd.DataFrame) -> dict:
    """The one row of a table."""
    assert len(table) == 1
    return table.iloc[0].to_dict()


# -------------------------------------------------------------------- runs


def record(accuracy: float, seconds=(0.25, 0.5), status="done", loss=1.5) -> dict:
    """What is recorded of a run with 8 test images."""
    return {
        "status": status,
        "final": {"test_accuracy": accuracy, "train_loss": loss, "parameters": 10, "test_images": 8, "classes": 2},
        "history": [{"seconds": s, "train_loss": loss} for s in seconds],
        "probes": {"slope@1": {"final": {"a": 1}}},
        "correct": records.pack(np.array([1, 0, 0, 0, 1, 0, 0, 1])),
        "provenance": {
            "device": "cpu",
            "hardware": "a processor",
            "commit": "abc",
            "versions": {"torch": "2.14"},
            "finished": "2030-01-02T03:04:05+00:00",
        },
    }


def test_a_run_is_a_row_of_labels_seed_and_what_its_record_holds():
    df = tables.runs([("k", {"blocks": 4, "activation": "relu"}, 7)], {"k": record(37.5)})
    row = only(df)
    assert row.pop("correct").tolist() == [1, 0, 0, 0, 1, 0, 0, 1]
    assert list(df.columns[:3]) == ["blocks", "activation", "seed"] and df.attrs["labels"] == ARM
    assert row == {
        **{"blocks": 4, "activation": "relu", "seed": 7, "key": "k", "status": "done", "seconds": 0.75},
        **{"test_accuracy": 37.5, "train_loss": 1.5, "parameters": 10, "test_images": 8, "classes": 2},
        **{"device": "cpu", "hardware": "a processor", "commit": "abc", "torch": "2.14", "finished": "2030-01-02"},
        "history": [{"seconds": 0.25, "train_loss": 1.5}, {"seconds": 0.5, "train_loss": 1.5}],
        "probes": {"slope@1": {"final": {"a": 1}}},
    }


def test_a_run_without_a_record_has_no_row():
    planned = [(key, {"blocks": 1}, seed) for seed, key in enumerate("abc")]
    assert tables.runs(planned, {"a": record(1), "c": record(2)})["seed"].tolist() == [0, 2]
    assert tables.runs(planned, {}).empty


def test_one_record_may_stand_under_two_labels_and_a_label_that_a_run_lacks_is_empty():
    df = tables.runs([("k", {"blocks": 1}, 0), ("k", {"width": 2}, 0)], {"k": record(50)})
    assert df[["blocks", "width"]].notna().values.tolist() == [[True, False], [False, True]]
    assert df["test_accuracy"].tolist() == [50, 50]


def test_a_number_that_json_lacks_is_a_number_again():
    row = only(tables.runs([("k", {}, 0)], {"k": record(10, status="diverged", loss="inf")}))
    assert row["train_loss"] == math.inf and row["status"] == "diverged"


# ----------------------------------------------------------------- results


def test_an_arm_has_its_n_mean_and_interval():
    row = only(tables.results(frame(relu=[20, 22, 24]), ARM))
    half = T2 * 2 / math.sqrt(3)
    assert row == {
        **{"blocks": 1, "activation": "relu", "n": 3, "test accuracy, mean": "22.00"},
        "95% interval": f"{22 - half:.2f} to {22 + half:.2f}",
        **{"parameters": "1,290", "seconds, median": "2.0"},
    }


def test_the_seconds_of_a_gpu_are_not_mixed_with_those_of_a_core():
    runs = frame(relu=[20, 22, 24]).assign(seconds=[100.0, 4.0, 200.0], device=["cpu", "cuda", "cpu"])
    assert only(tables.results(runs, ARM))["seconds, median"] == "150.0 (cpu), 4.0 (cuda)"
    assert only(tables.results(runs.iloc[1:2], ARM))["seconds, median"] == "4.0"


def test_what_an_arm_costs_is_said_as_in_the_table_of_results():
    runs = frame(relu=[20, 22, 24], sigmoid=[20, 22, 24])
    shown = tables.costs(runs, "activation")
    assert {name: own.to_dict() for name, own in shown.items()} == {
        "parameters": {"relu": "1,290", "sigmoid": "1,290"},
        "seconds": {"relu": "2.0", "sigmoid": "2.0"},
    }


def test_one_seed_has_a_mean_and_no_interval():
    row = only(tables.results(frame(relu=[20]), ARM))
    assert (row["n"], row["test accuracy, mean"], row["95% interval"]) == (1, "20.00", "")


def test_arms_are_in_the_order_of_the_runs():
    table = tables.results(frame(sigmoid=[20, 21], relu=[30, 31]), ARM)
    assert table["activation"].tolist() == ["sigmoid", "relu"]


def test_another_metric_has_its_name_in_the_head():
    assert only(tables.results(frame(relu=[20, 22]), ARM, "train_loss"))["train loss, mean"] == "2.00"


@pytest.mark.parametrize(
    ("value", "said"), [(22 + 9.93, "inside"), (22 - 9.93, "inside"), (22 + 9.95, "outside"), (22 - 9.95, "outside")]
)
def test_a_published_value_lies_inside_where_one_more_run_would_but_for_its_rounding(value, said):
    assert math.isclose(T2 * 2 * math.sqrt(1 + 1 / 3), 9.9366, abs_tol=1e-4)
    row = only(tables.results(frame(relu=[20, 22, 24]), ARM, published=theirs("relu", value)))
    off = f"{abs(value - 22):.2f} {'higher' if value > 22 else 'lower'}"
    assert (row["published"], row["published is"]) == (f"{value:.2f} (n = 5)", f"{off}: {said} ± 9.9")


def test_published_repeats_are_listed():
    repeats = theirs("relu", 20.5, 21, 19.25, n=1)
    row = only(tables.results(frame(relu=[20, 22]), ARM, published=theirs("relu", 20.25), repeats=repeats))
    assert row["published runs"] == "20.50  21.00  19.25"


def test_an_arm_that_was_not_published_has_empty_cells():
    options = {"published": theirs("relu", 21), "repeats": theirs("relu", 20, 22, n=1)}
    row = only(tables.results(frame(tanh=[20, 22]), ARM, **options))
    assert (row["published"], row["published runs"], row["published is"]) == ("", "", "")
    assert "published runs" not in tables.results(frame(tanh=[20, 22]), ARM, published=theirs("relu", 21))


def test_nothing_is_compared_with_fewer_than_three_seeds_or_on_other_images():
    one = only(tables.results(frame(relu=[20]), ARM, published=theirs("relu", 21)))
    two = only(tables.results(frame(relu=[20, 22]), ARM, published=theirs("relu", 21)))
    other = only(tables.results(frame(relu=[20, 22, 24]), ARM, published=theirs("relu", 21), compare=False))
    assert one["published is"] == two["published is"] == other["published is"] == ""
    assert one["published"] == two["published"] == other["published"] == "21.00 (n = 5)"


def test_an_arm_partly_at_chance_shows_a_count_and_no_mean():
    row = only(tables.results(frame(relu=[10, 40, 41]), ARM))
    assert row["test accuracy, mean"] == "1 of 3 at chance [1%, 91%]"
    assert row["95% interval"] == ""


def test_an_arm_wholly_at_chance_has_a_mean():
    assert only(tables.results(frame(relu=[10, 10.5, 11]), ARM))["test accuracy, mean"] == "10.50"


def test_agreement_counts_the_published_values_in_our_prediction_intervals():
    df = frame(relu=[20, 22, 24], sigmoid=[20, 22, 24], tanh=[20, 22, 24])
    published = pd.concat([theirs("relu", 30), theirs("sigmoid", 40)])
    assert tables.agreement(df, ARM, published) == "1 of 2 published values lie in our 95% prediction intervals."


def test_agreement_by_epoch_holds_each_epoch_against_its_own():
    df = frame(relu=[20, 22, 24])
    df["history"] = [[{"epoch": e, "train_loss": loss + e} for e in (1, 2)] for loss in (3.0, 3.1, 3.2)]
    published = pd.concat([theirs("relu", value).assign(epoch=e) for e, value in ((1, 4.1), (2, 9.0))])
    said = tables.agreement_by_epoch(df, published, "train_loss", "Loss")
    assert said == "Loss, each epoch: 1 of 2 published values lie in our 95% prediction intervals."
    assert tables.agreement_by_epoch(df, None, "train_loss", "Loss") == ""


def test_agreement_leaves_out_what_cannot_be_compared():
    df = frame(relu=[20, 22, 24], sigmoid=[22], tanh=[22, 23])
    published = pd.concat([theirs(activation, 22) for activation in ("relu", "sigmoid", "tanh")])
    assert tables.agreement(df, ARM, published) == "1 of 1 published values lie in our 95% prediction intervals."


def test_agreement_says_so_where_nothing_can_be_compared():
    assert "0 of 0" not in tables.agreement(frame(relu=[20]), ARM, theirs("relu", 22))


def with_a_diverged_run() -> pd.DataFrame:
    """Three runs with ReLU, and three with sigmoid of which the last diverged and has no accuracy."""
    df = frame(relu=[20, 22, 24], sigmoid=[20, 22, 24])
    df.loc[5, ["test_accuracy", "train_loss", "status"]] = [math.nan, math.nan, "diverged"]
    return df


def test_a_diverged_run_is_counted_at_chance_and_not_averaged():
    relu, sigmoid = tables.results(with_a_diverged_run(), ARM).to_dict("records")
    assert relu["test accuracy, mean"] == "22.00"
    assert (sigmoid["n"], sigmoid["test accuracy, mean"], sigmoid["95% interval"]) == (
        3,
        "1 of 3 at chance [1%, 91%]",
        "",
    )


def test_an_arm_that_diverged_as_a_whole_has_the_accuracy_and_the_loss_of_a_guess():
    df = with_a_diverged_run()[5:]
    df.attrs["labels"] = ARM
    assert only(tables.results(df, ARM))["test accuracy, mean"] == "10.00"
    assert only(tables.results(df, ARM, "train_loss"))["train loss, mean"] == f"{math.log(10):.2f}"


def test_where_some_seeds_are_at_chance_it_is_said_whether_the_published_value_is():
    df = with_a_diverged_run()
    limit = 100 * (0.1 + 3 * math.sqrt(0.09 / df["test_images"].iloc[-1]))
    for value, said in ((limit - 0.1, "at chance too"), (limit + 0.1, "not at chance")):
        row = tables.results(df, ARM, published=theirs("sigmoid", value)).iloc[1]
        assert row["published is"] == said
        assert tables.agreement(df, ARM, theirs("sigmoid", value)).endswith("1 arm is partly at chance, without one.")


# -------------------------------------------------------------------- part


def planned() -> pd.DataFrame:
    """A study of two parts: ReLU and tanh; and a map of two scales, of which one was tested with permuted pixels."""
    labels = [{"part": "published", "arm": arm} for arm in ("relu", "tanh")]
    labels += [{"part": "map", "r": r, "lr": lr, "permuted": r > 1} for r, lr in ((1, 0.5), (62, 0.1))]
    runs = [(f"k{i}", own, i) for i, own in enumerate(labels)]
    return tables.runs(runs, {key: record(50 + seed) for key, _, seed in runs})


def test_a_part_has_its_runs_and_its_labels_alone():
    df = planned()
    part = tables.part(df, "map", ["r", "lr", "permuted"])
    assert part.attrs == {"labels": ["r", "lr", "permuted"]}
    assert not {"part", "arm"} & set(part.columns) and part["test_accuracy"].tolist() == [52, 53]
    arms = tables.part(df, "published", ["arm"])
    assert arms["arm"].tolist() == ["relu", "tanh"] and not {"part", "r", "lr", "permuted"} & set(arms.columns)


def test_a_label_that_other_parts_lack_is_a_whole_number_again_and_truth_is_truth():
    df = planned()
    assert df["r"].dtype == float  # a column with gaps
    part = tables.part(df, "map", ["r", "lr", "permuted"])
    assert [type(v) for v in part["r"].tolist()] == [int, int] and part["r"].tolist() == [1, 62]
    assert part["lr"].tolist() == [0.5, 0.1]
    assert part["permuted"].dtype == bool and part["permuted"].tolist() == [False, True]


def test_all_runs_are_the_part_without_a_name():
    df = planned()
    whole = tables.part(df[df["part"] == "published"], None, ["arm"])
    assert whole["arm"].tolist() == ["relu", "tanh"] and whole.attrs == {"labels": ["arm"]}
    assert tables.part(df, None, ["arm"])["seed"].tolist() == [0, 1, 2, 3]


def test_taking_a_part_changes_no_frame():
    df = planned()
    before = df.copy()
    part = tables.part(df, "map", ["r", "lr", "permuted"])
    part["r"] = 0
    tables.part(df, None, ["arm"])
    pd.testing.assert_frame_equal(df, before)
    assert df.attrs == {"labels": ["part", "arm", "r", "lr", "permuted"]}


def test_a_part_without_runs_is_empty_and_has_its_labels():
    for part in (tables.part(planned(), "compared", ["arm"]), tables.part(tables.runs([], {}), "published", ["arm"])):
        assert part.empty and part.attrs == {"labels": ["arm"]}
    assert tables.side_by_side({"ran": tables.part(tables.runs([], {}), "published", ["arm"])}, ["arm"]).empty


# ------------------------------------------------------------ other tables


def test_the_largest_value_of_each_column():
    found = pd.DataFrame({"r² lr, lr": [2e-15, 1.26e-14], "lr": [0.5, -3.0], "r² lr": [1.0, math.nan]})
    assert tables.largest(found, "steps", "difference").to_dict("records") == [
        {"steps": "r² lr, lr", "difference": "1.3e-14"},
        {"steps": "lr", "difference": "0.5"},
        {"steps": "r² lr", "difference": "not finite"},
    ]


def losses(*values) -> list[dict]:
    """A history with these training losses."""
    return [{"epoch": epoch, "train_loss": value} for epoch, value in enumerate(values, 1)]


def test_runs_at_chance_are_listed_with_their_largest_and_last_training_loss():
    df = frame(relu=[10, 40], tanh=[11, 41])
    df["history"] = [losses(2.5, 1234.56, 2.30259), losses(2.0, 1.0), losses(2.31, 2.305), losses(2.0, 9.0)]
    assert tables.at_chance(df, ARM).to_dict("records") == [
        {"blocks": 1, "activation": activation, "seed": 0, "status": "done", "largest training loss": largest}
        | {"in epoch": epoch, "of": of, "last training loss": last, "ln classes": "2.3026"}
        for activation, largest, epoch, of, last in [
            ("relu", "1235", 2, 3, "2.3026"),
            ("tanh", "2.31", 1, 2, "2.3050"),
        ]
    ]


def test_below_the_runs_at_chance_of_an_arm_stands_the_published_one():
    df = frame(relu=[10, 40], tanh=[41, 42]).assign(history=[losses(2.5, 2.3)] * 4)
    published = pd.DataFrame({"activation": ["relu", "relu", "tanh"], "epoch": [1, 2, 1], "value": [7e11, 2.31, 2.0]})
    ours, published_run = tables.at_chance(df, ["activation"], published).to_dict("records")
    assert (ours["seed"], ours["status"]) == (0, "done")
    assert published_run == {"activation": "relu", "seed": "", "status": "published"} | {
        **{"largest training loss": "7e+11", "in epoch": 1, "of": 2},
        **{"last training loss": "2.3100", "ln classes": "2.3026"},
    }


def test_no_number_is_the_largest_training_loss_of_a_run_that_diverged():
    df = with_a_diverged_run()
    df["history"] = [losses(1.0)] * 5 + [losses(2.0, 1e30, "nan")]
    row = only(tables.at_chance(df, ["activation"]))
    assert (row["activation"], row["seed"], row["status"]) == ("sigmoid", 2, "diverged")
    assert (row["largest training loss"], row["in epoch"], row["of"], row["last training loss"]) == ("nan", 3, 3, "nan")


def test_where_no_run_is_at_chance_none_is_listed():
    df = frame(relu=[40, 41])
    assert tables.at_chance(df.assign(history=[losses(1.0)] * 2), ARM).empty


def test_side_by_side_has_a_column_for_each_set_that_is_recorded():
    one, two = frame(relu=[20, 22, 24], sigmoid=[20, 20, 23]), frame(relu=[30])
    two = pd.concat([two, frame(sigmoid=[31])])
    two.attrs["labels"] = ARM
    table = tables.side_by_side({"ran": one, "full": tables.runs([], {}), "described": two}, ARM)
    half = T2 * 2 / math.sqrt(3)
    assert list(table.columns) == [*ARM, "ran", "described"]
    relu = table[table["activation"] == "relu"].iloc[0]
    assert relu["ran"] == f"22.00 [{22 - half:.2f}, {22 + half:.2f}], n = 3"
    assert relu["described"] == "30.00, n = 1"
    assert table["activation"].tolist() == ["relu", "sigmoid"]


def test_side_by_side_has_published_values_first_for_the_arms_that_are_recorded():
    for rows in (ARM, ["activation"]):
        published = {"published": pd.concat([theirs("relu", 21.5), theirs("tanh", 9)])}
        table = tables.side_by_side({"ran": frame(relu=[20], sigmoid=[30])}, rows, published=published)
        assert list(table.columns) == [*rows, "published", "ran"]
        assert table["published"].tolist() == ["21.50", ""]
        assert table["ran"].tolist() == ["20.00, n = 1", "30.00, n = 1"]


def test_side_by_side_with_one_label_and_a_mixed_cell():
    table = tables.side_by_side({"ran": frame(relu=[10, 40, 41])}, ["activation"])
    assert table.values.tolist() == [["relu", "1 of 3 at chance [1%, 91%]"]]


def test_two_seeds_are_shown_as_they_are():
    row = only(tables.results(frame(relu=[20, 22]), ARM))
    assert (row["n"], row["test accuracy, mean"], row["95% interval"]) == (2, "21.00", "of 2 seeds: 20.00, 22.00")
    gap = pd.DataFrame({"blocks": [1, 1], "seed": [0, 1], "value": [1.0, -2.0]})
    (row,) = tables.means({"gap": gap}, "blocks").to_dict("records")
    assert (row["points"], row["95% interval"]) == ("-0.50", "of 2 seeds: 1.00, -2.00")
    assert tables.side_by_side({"ran": frame(relu=[20, 22])}, ["activation"])["ran"].tolist() == ["21.00, n = 2"]


def test_side_by_side_of_nothing_is_empty():
    assert tables.side_by_side({"ran": tables.runs([], {}), "full": tables.runs([], {})}, ARM).empty


def test_means_of_contrasts_by_hand():
    gap = pd.DataFrame({"blocks": [1, 1, 1, 8], "seed": [0, 1, 2, 0], "value": [1.0, 2.0, 3.0, -4.0]})
    table = tables.means({"relu − sigmoid": gap}, "blocks")
    half = T2 / math.sqrt(3)
    assert table.to_dict("records") == [
        {"difference": "relu − sigmoid", "blocks": 1, "points": "+2.00"}
        | {"95% interval": f"{2 - half:.2f} to {2 + half:.2f}", "n": 3},
        {"difference": "relu − sigmoid", "blocks": 8, "points": "-4.00", "95% interval": "", "n": 1},
    ]


def test_gaps_stand_beside_the_published_ones_of_unpaired_runs():
    df = frame(relu=[20, 22, 24], sigmoid=[15, 16, 17], tanh=[20, 21])
    published = pd.concat([theirs("relu", 21), theirs("sigmoid", 14.5), theirs("tanh", 30)])
    pairs = [("relu", "sigmoid"), ("relu", "tanh")]
    table = tables.gaps(df, "activation", pairs, "blocks", published)
    half = T2 / math.sqrt(3)
    variances = 4 * 4 / 3, 1 * 4 / 3  # of one more run of each arm
    t = t_distribution.ppf(0.975, sum(variances) ** 2 / sum(v**2 / 2 for v in variances))
    assert table.to_dict("records") == [
        {"difference": "relu − sigmoid", "blocks": 1, "points": "+6.00", "n": 3, "published": "+6.50"}
        | {"95% interval": f"{6 - half:.2f} to {6 + half:.2f}"}
        | {"published is": f"0.50 higher: inside ± {t * math.sqrt(sum(variances)):.1f}"},
        {"difference": "relu − tanh", "blocks": 1, "points": "+0.50", "n": 2, "published": "-9.00"}
        | {"95% interval": "of 2 seeds: 0.00, 1.00", "published is": ""},
    ]
    far = pd.concat([theirs("relu", 40), theirs("sigmoid", 14.5)])
    said = only(tables.gaps(df, "activation", pairs[:1], published=far))["published is"]
    assert said.startswith("19.50 higher: outside ± ")
    alone = only(tables.gaps(df, "activation", pairs[:1], published=theirs("relu", 21)))
    assert (alone["published"], alone["published is"]) == ("", "") and "blocks" not in alone
    assert "published" not in tables.gaps(df, "activation", pairs, "blocks")


def test_a_gap_of_an_arm_partly_at_chance_is_not_compared():
    df = frame(relu=[20, 22, 24], sigmoid=[10, 30, 31])
    published = pd.concat([theirs("relu", 21), theirs("sigmoid", 10)])
    row = only(tables.gaps(df, "activation", [("relu", "sigmoid")], published=published))
    assert (row["95% interval"], row["published"], row["published is"]) == ("none: partly at chance", "+11.00", "")


def test_frames_beside_each_other_have_a_row_per_value_of_either():
    one, other = (pd.DataFrame({"size": s, "value": v}) for s, v in (([2, 4], [1000, 500]), ([4, 8], [7, 3])))
    table = tables.beside({"one": one, "other": other}, "size")
    assert table.to_numpy().tolist() == [[2, "1,000", ""], [4, "500", "7"], [8, "", "3"]]


def test_where_all_seeds_are_equal_the_published_value_is_equal_or_not():
    df = frame(relu=[20, 20, 20])
    said = [only(tables.results(df, ARM, published=theirs("relu", v)))["published is"] for v in (20.0, 21.0)]
    assert said == ["as all of ours", "not as ours, all equal"]


def test_the_value_may_have_a_name_of_its_own():
    assert "validation accuracy, mean" in tables.results(frame(relu=[20, 22]), ARM, name="validation accuracy")


def test_differences_leave_out_what_is_equal_and_a_null_is_not_stated():
    described = {"epochs": 10, "lr": None, "blocks": [1, 4], "norm": "batch"}
    ran = {"epochs": 10, "lr": 0.001, "blocks": [1, 2, 4], "norm": "batch"}
    table = tables.differences(described, ran).astype(str)
    assert table.to_dict("records") == [
        {"parameter": "lr", "described": "not stated", "ran": "0.001"},
        {"parameter": "blocks", "described": "[1, 4]", "ran": "[1, 2, 4]"},
    ]
    same = tables.differences(ran, ran)
    assert same.empty and list(same.columns) == ["parameter", "described", "ran"]


def test_differences_of_two_other_sets_stand_under_their_names():
    one, other = {"ours": ["lr"], "epochs": 10, "lr": 0.001}, {"ours": ["epochs"], "epochs": 100, "lr": 0.01}
    assert tables.differences(one, other, names=("ran", "ran_many_epochs")).to_dict("records") == [
        {"parameter": "epochs", "ran": "10", "ran_many_epochs": "ours: 100"},
        {"parameter": "lr", "ran": "ours: 0.001", "ran_many_epochs": "0.01"},
    ]
    assert list(tables.differences(one, one, names=("a", "b")).columns) == ["parameter", "a", "b"]


def test_layers_end_in_their_sums():
    rows = [
        {"layer": "block1.conv", "type": "Conv2d", "output": (32, 32, 32), "parameters": 896, "macs": 884736},
        {"layer": "linear", "type": "Linear", "output": (10,), "parameters": 330, "macs": 320},
    ]
    table = tables.layers(rows)
    assert table.values.tolist() == [
        ["block1.conv", "Conv2d", "32×32×32", "896", "884,736"],
        ["linear", "Linear", "10", "330", "320"],
        ["sum", "", "", "1,226", "885,056"],
    ]
    assert rows[0]["output"] == (32, 32, 32) and len(rows) == 2


def test_layers_of_a_block_are_one_row():
    rows = [
        {"layer": "stem", "type": "Conv2d", "output": (4, 8, 8), "parameters": 10, "macs": 640},
        {"layer": "stage1.0.conv1", "type": "Conv2d", "output": (4, 8, 8), "parameters": 20, "macs": 1280},
        {"layer": "stage1.0.norm1", "type": "BatchNorm2d", "output": (4, 8, 8), "parameters": 8, "macs": 0},
        {"layer": "stage1.0.conv2", "type": "Conv2d", "output": (6, 4, 4), "parameters": 30, "macs": 480},
        {"layer": "stage1.10.conv1", "type": "Conv2d", "output": (6, 4, 4), "parameters": 40, "macs": 640},
    ]
    assert tables.layers(rows, block=r"stage\d+\.\d+").values.tolist() == [
        ["stem", "Conv2d", "4×8×8", "10", "640"],
        ["stage1.0", "2 Conv2d, 1 BatchNorm2d", "6×4×4", "58", "1,760"],
        ["stage1.10", "Conv2d", "6×4×4", "40", "640"],
        ["sum", "", "", "108", "3,040"],
    ]


def test_a_probe_has_a_row_for_each_run_that_has_it():
    probes = [
        {"slope@1": {"initial": {"a": 1, "b": 2}, "final": {"a": 3, "b": "nan"}}},
        {},
        {"slope@1": {"initial": {"a": 5, "b": 6}, "final": {"a": 7, "b": 8}}},
    ]
    df = frame(relu=[20, 21, 22]).assign(probes=probes)
    final = tables.probe(df, "slope@1")
    assert final.index.tolist() == [0, 2] and final["a"].tolist() == [3, 7]
    assert math.isnan(final["b"][0]) and final["b"][2] == 8
    assert tables.probe(df, "slope@1", "initial")["b"].tolist() == [2, 6]


def test_a_probe_by_epoch_has_a_row_for_each_run_epoch_and_layer():
    name = "slope_by_epoch@1"
    df = frame(relu=[20, 21], tanh=[22]).assign(
        probes=[
            {name: {"initial": {"a": 1, "b": 2}, "epoch": [{"a": 3, "b": 4}, {"a": 5, "b": "nan"}]}},
            {"slope@1": {"initial": {"a": 9}}},
            {name: {"initial": {"a": 6, "b": 7}, "epoch": [{"a": 8, "b": "inf"}]}},
        ]
    )
    table = tables.probe_by_epoch(df, name)
    assert list(table.columns) == [*ARM, "seed", "epoch", "layer", "value"]
    assert table.fillna(-1).values.tolist() == [
        [1, "relu", 0, epoch, layer, value]
        for epoch, values in enumerate([(1, 2), (3, 4), (5, -1)])
        for layer, value in zip("ab", values, strict=True)
    ] + [
        [1, "tanh", 0, epoch, layer, value]
        for epoch, values in enumerate([(6, 7), (8, math.inf)])
        for layer, value in zip("ab", values, strict=True)
    ]
    nothing = tables.probe_by_epoch(df, "unknown@1")
    assert nothing.empty and list(nothing.columns) == list(table.columns)


def test_a_published_series_is_a_grid():
    series = pd.DataFrame({"blocks": [1, 1, 2], "activation": ["a", "b", "a"], "value": [1.0, 2.0, 3.0]})
    table = tables.published(series, "blocks", "activation")
    assert list(table.columns) == ["blocks", "a", "b"] and table["a"].tolist() == [1, 3]


def lead(values, at_chance="00") -> pd.DataFrame:
    return pd.DataFrame({"setting": "ours", "seed": range(len(values)), "value": values, "at_chance": at_chance})


def test_a_mean_of_seeds_that_are_partly_at_chance_has_no_interval_and_says_so():
    gap = lead([5.0, 0.1, 7.0], ["00", "11", "01"])
    assert only(tables.means({"a − b": gap}, "setting"))["95% interval"] == "none: partly at chance"


def test_devices_count_each_run_once_and_name_its_commits():
    df = pd.DataFrame(
        {"key": ["a", "a", "b", "c"], "device": ["cpu", "cpu", "cpu", "cuda"], "hardware": ["x", "x", "x", "y"]}
        | {"torch": "2.14", "finished": ["2030-01-01", "2030-01-01", "2030-01-03", "2030-01-02"]}
        | {"commit": ["two", "two", "one", ""]}
    )
    assert tables.devices(df).to_dict("records") == [
        {"device": "cpu", "hardware": "x", "torch": "2.14", "runs": 2}
        | {"first": "2030-01-01", "last": "2030-01-03", "commits": "one, two"},
        {"device": "cuda", "hardware": "y", "torch": "2.14", "runs": 1}
        | {"first": "2030-01-02", "last": "2030-01-02", "commits": ""},
    ]
