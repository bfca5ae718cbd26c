"""The published series are the published numbers, in our labels."""

import pytest

from nbhelpers import parameters, published
from nbhelpers.run import Recipe

STUDY = "Sigmoid_vs_ReLU"
# blocks | Sigmoid: five repeats, mean | ReLU: five repeats, mean | gap | parameters, as they were published
TABLE = """
1 | 20.29 18.91 18.49 21.03 16.30 | 19.004 | 23.88 21.63 24.09 23.15 22.29 | 23.008 |  4.004 |  1290
2 | 21.42 20.46 21.69 23.34 21.83 | 21.748 | 29.90 28.89 30.01 26.13 31.01 | 29.188 |  7.440 | 10602
3 | 22.04 21.53 20.77 23.81 21.86 | 22.002 | 32.82 33.84 33.49 30.74 32.27 | 32.632 | 10.630 | 19914
4 | 22.77 24.91 20.65 23.75 22.69 | 22.954 | 32.75 36.78 33.65 36.28 36.46 | 35.184 | 12.230 | 29226
5 | 24.96 21.72 21.55 19.78 21.64 | 21.930 | 34.11 33.76 35.36 37.24 35.44 | 35.182 | 13.252 | 38538
6 | 23.68 23.20 24.45 21.10 20.30 | 22.546 | 36.33 36.89 35.27 38.46 34.03 | 36.196 | 13.650 | 47850
7 | 16.90 20.60 23.64 21.50 23.28 | 21.184 | 38.52 38.43 36.67 37.38 36.43 | 37.486 | 16.302 | 57162
8 | 18.87 19.00 15.63 19.50 19.94 | 18.588 | 42.19 35.46 38.76 32.96 38.69 | 37.612 | 19.024 | 66474
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


def column(i: int) -> dict[int, float]:
    """Blocks -> the number in column `i`."""
    return {int(row[0]): float(row[i]) for row in ROWS}


def rows(name: str, *columns: str) -> list[tuple]:
    """The series as plain tuples, in a fixed order."""
    return sorted(published.series(STUDY, name)[list(columns)].itertuples(index=False, name=None))


def test_the_16_means():
    expected = [(blocks, "sigmoid", value) for blocks, value in column(2).items()]
    expected += [(blocks, "relu", value) for blocks, value in column(4).items()]
    found = rows("accuracy", "blocks", "activation", "value")
    assert len(found) == 16 and found == sorted(expected)


def test_the_80_repeats():
    expected = [
        (int(row[0]), activation, repeat, float(value))
        for row in ROWS
        for activation, cell in (("sigmoid", row[1]), ("relu", row[3]))
        for repeat, value in enumerate(cell.split(), 1)
    ]
    found = rows("repeats", "blocks", "activation", "repeat", "value")
    assert len(found) == 80 and found == sorted(expected)


def test_the_8_gaps():
    assert rows("gap", "blocks", "value") == list(column(5).items())


def test_the_8_parameter_counts():
    found = rows("parameters", "blocks", "value")
    assert found == list(column(6).items()) == [(n, 1290 + 9312 * (n - 1)) for n in range(1, 9)]


def test_the_means_are_those_of_their_repeats():
    means = published.series(STUDY, "accuracy").set_index(["blocks", "activation"])["value"]
    repeats = published.series(STUDY, "repeats").groupby(["blocks", "activation"])["value"].mean()
    assert (means - repeats).abs().max() < 0.0006  # they were printed with three decimals
    assert len(means) == len(repeats) == 16


def test_the_gaps_are_the_differences_of_the_means():
    means = published.series(STUDY, "accuracy").pivot(index="blocks", columns="activation", values="value")
    gaps = published.series(STUDY, "gap").set_index("blocks")["value"]
    assert (means["relu"] - means["sigmoid"] - gaps).abs().max() < 0.0006


# batch size | baseline: batch, group norm | many epochs: batch, group norm
NORMS = """
  2 | 10.01 | 30.89 | 39.93 | 55.53
  4 | 33.81 | 40.46 | 56.67 | 59.33
  8 | 44.55 | 44.27 | 57.72 | 59.61
 16 | 49.68 | 48.85 | 60.41 | 59.32
 32 | 52.16 | 50.65 | 60.88 | 59.80
 64 | 53.18 | 51.37 | 60.77 | 59.10
128 | 52.05 | 50.09 | 60.30 | 58.85
"""
# batch size | baseline losses at epochs 1, 5 and 10: batch, group norm | many epochs, at 1, 10, 50 and 100: likewise
NORM_LOSSES = """
  2 | 2.506 2.321 2.308 | 2.395 2.071 1.898 | 2.191 1.930 1.482  0.919  | 2.160 1.418 0.439  0.0057
  4 | 2.519 1.965 1.705 | 2.362 1.863 1.458 | 2.085 1.082 0.139  0.0086 | 2.043 0.915 0.0038 0.0053
  8 | 2.553 1.631 1.212 | 2.400 1.599 1.036 | 2.044 0.737 0.0113 0.0075 | 2.027 0.735 0.0061 0.0054
 16 | 2.564 1.340 0.772 | 2.314 1.370 0.737 | 2.023 0.601 0.0084 0.0069 | 1.975 0.631 0.0057 0.0053
 32 | 2.542 1.143 0.591 | 2.374 1.348 0.788 | 2.036 0.581 0.0078 0.0064 | 1.962 0.652 0.0061 0.0054
 64 | 2.419 1.061 0.538 | 2.259 1.292 0.679 | 1.925 0.579 0.0119 0.0077 | 1.946 0.685 0.0078 0.0062
128 | 2.267 1.092 0.534 | 2.314 1.407 0.820 | 1.893 0.742 0.0205 0.0134 | 2.023 0.886 0.0162 0.0103
"""
# seed | accuracy of the three orders | losses at epochs 1, 10, 20, 30 and 50, of each
ORDERS = ("conv-BN-ReLU", "conv-ReLU-BN", "conv-LeakyReLU-BN")
ORDER_TABLE = """
99584 | 62.32 59.56 60.97 | 1.980 0.519 0.0277 0.0030 0.0022 | 1.989 0.760 0.176 0.0095 0.0054 | 2.004 0.687 0.113  0.0073 0.0045
88351 | 62.23 56.54 59.87 | 2.001 0.570 0.0307 0.0033 0.0023 | 2.031 0.806 0.167 0.0096 0.0056 | 2.066 0.720 0.0498 0.0049 0.0032
97531 | 63.38 59.39 59.42 | 2.009 0.558 0.0159 0.0030 0.0023 | 1.952 0.740 0.188 0.0103 0.0061 | 1.964 0.740 0.111  0.0075 0.0046
"""  # noqa: E501 (a line is a row of the published table)
# epoch | ReLU: training loss, training and test accuracy | scaled ReLU: likewise
MLP_TABLE = """
 1 | 4.2143  3.94  5.49 | 733191780139.9618 1.36 1.39
 2 | 3.8842  8.13  9.88 | 4.2778 1.34 1.39
 3 | 3.6919 11.04 12.53 | 4.2777 1.32 1.39
 4 | 3.5763 13.07 13.92 | 4.2775 1.31 1.39
 5 | 3.4923 14.78 15.31 | 4.2774 1.28 1.39
 6 | 3.4297 16.09 16.08 | 4.2773 1.32 1.39
 7 | 3.3795 17.06 17.38 | 4.2773 1.32 1.39
 8 | 3.3356 18.11 17.21 | 4.2772 1.32 1.39
 9 | 3.2954 19.20 18.10 | 4.2771 1.28 1.39
10 | 3.2598 19.85 19.44 | 4.2771 1.29 1.39
11 | 3.2278 20.77 20.47 | 4.2770 1.34 1.39
12 | 3.1951 21.33 20.67 | 4.2770 1.24 1.39
13 | 3.1678 21.79 21.08 | 4.2769 1.36 1.39
14 | 3.1386 22.43 21.99 | 4.2769 1.26 1.39
15 | 3.1125 22.93 22.81 | 4.2769 1.27 1.39
16 | 3.0900 23.49 21.86 | 4.2769 1.24 1.39
17 | 3.0630 23.72 22.92 | 4.2768 1.34 1.39
18 | 3.0426 24.48 22.60 | 4.2768 1.22 1.39
19 | 3.0191 24.88 23.39 | 4.2768 1.31 1.39
20 | 2.9976 25.26 24.28 | 4.2768 1.22 1.39
"""


def cells(table: str) -> list[list[list[str]]]:
    """The lines of a table, as cells of numbers as they were printed."""
    return [[cell.split() for cell in line.split("|")] for line in table.strip().splitlines()]


def printed(study: str, name: str, expected: dict[tuple, str], *labels: str):
    """Assert that the series, rounded as it was printed, has these numbers; return the whole."""
    frame = published.series(study, name)
    values = frame.set_index(list(labels))["value"]
    assert values.index.is_unique
    decimals = {key: len(text.partition(".")[2]) for key, text in expected.items()}
    assert {key: f"{values[key]:.{decimals[key]}f}" for key in expected} == expected
    return frame


@pytest.mark.parametrize("name, first", [("baseline", 1), ("many_epochs", 3)])
def test_the_14_accuracies_of_the_norms(name, first):
    expected = {
        (int(row[0][0]), norm): row[first + i][0] for row in cells(NORMS) for i, norm in enumerate(("batch", "group"))
    }
    assert len(printed("BatchNorm_vs_GroupNorm", name, expected, "batch_size", "norm")) == len(expected) == 14


@pytest.mark.parametrize(
    "name, first, epochs", [("baseline_loss", 1, (1, 5, 10)), ("many_epochs_loss", 3, (1, 10, 50, 100))]
)
def test_the_losses_of_the_norms(name, first, epochs):
    expected = {
        (int(row[0][0]), norm, epoch): text
        for row in cells(NORM_LOSSES)
        for i, norm in enumerate(("batch", "group"))
        for epoch, text in zip(epochs, row[first + i], strict=True)
    }
    frame = printed("BatchNorm_vs_GroupNorm", name, expected, "batch_size", "norm", "epoch")
    assert len(expected) == 14 * len(epochs) and len(frame) == 14 * epochs[-1]


def test_the_9_accuracies_of_the_orders_and_their_means():
    study, table = "Conv_Activation_Norm_Position", cells(ORDER_TABLE)
    expected = {(int(row[0][0]), order): row[1][i] for row in table for i, order in enumerate(ORDERS)}
    repeats = printed(study, "repeats", expected, "repeat", "order")
    assert len(repeats) == len(expected) == 9
    means = published.series(study, "accuracy").set_index("order")["value"]
    assert means.to_dict() == pytest.approx(dict(zip(ORDERS, (62.643333, 58.496667, 60.086667), strict=True)), abs=5e-5)
    assert (means - repeats.groupby("order")["value"].mean()).abs().max() < 5e-5


def test_the_losses_of_the_orders():
    expected = {
        (int(row[0][0]), order, epoch): text
        for row in cells(ORDER_TABLE)
        for i, order in enumerate(ORDERS)
        for epoch, text in zip((1, 10, 20, 30, 50), row[2 + i], strict=True)
    }
    frame = printed("Conv_Activation_Norm_Position", "train_loss", expected, "repeat", "order", "epoch")
    assert len(expected) == 45 and len(frame) == 9 * 50


@pytest.mark.parametrize("i, name", [(0, "train_loss"), (1, "train_accuracy"), (2, "test_accuracy")])
def test_the_40_epochs_of_the_perceptrons(i, name):
    expected = {
        (arm, int(row[0][0])): row[1 + j][i]
        for row in cells(MLP_TABLE)
        for j, arm in enumerate(("ReLU", "scaled ReLU"))
    }
    assert len(printed("ImageNet_MLP_ScaledReLU", name, expected, "arm", "epoch")) == len(expected) == 40


@pytest.mark.parametrize(
    "study, name, unit, n, file",
    [
        ("BatchNorm_vs_GroupNorm", "baseline", "%", 1, "BatchNorm_vs_GroupNorm.ipynb"),
        ("BatchNorm_vs_GroupNorm", "baseline_loss", "nats", 1, "BatchNorm_vs_GroupNorm.ipynb"),
        ("BatchNorm_vs_GroupNorm", "many_epochs", "%", 1, "BatchNorm_vs_GroupNorm - Many Epochs.ipynb"),
        ("BatchNorm_vs_GroupNorm", "many_epochs_loss", "nats", 1, "BatchNorm_vs_GroupNorm - Many Epochs.ipynb"),
        ("Conv_Activation_Norm_Position", "accuracy", "%", 3, "Conv_Activation_Norm_Position.ipynb"),
        ("Conv_Activation_Norm_Position", "repeats", "%", 1, "Conv_Activation_Norm_Position.ipynb"),
        ("Conv_Activation_Norm_Position", "train_loss", "nats", 1, "Conv_Activation_Norm_Position.ipynb"),
        ("ImageNet_MLP_ScaledReLU", "train_loss", "nats", 1, "ImageNet_MLP_ScaledReLU_Roll62.ipynb"),
        ("ImageNet_MLP_ScaledReLU", "test_accuracy", "%", 1, "ImageNet_MLP_ScaledReLU_Roll62.ipynb"),
    ],
)
def test_every_series_says_its_unit_its_repeats_and_the_notebook_it_is_from(study, name, unit, n, file):
    repository = "Lemon-Farm/AI-Experiments" if "ImageNet" not in study else "Sreyz03/ImageNet_MLP_Scaled_ReLu"
    for _ in range(2):  # also when it is read again
        frame = published.series(study, name)
        assert (set(frame["unit"]), set(frame["n"])) == ({unit}, {n})
        assert set(frame["source"]) == {f"{repository}, {file}"} and "file" not in frame


@pytest.mark.parametrize(
    ("name", "unit", "n"), [("accuracy", "%", 5), ("repeats", "%", 1), ("gap", "points", 5), ("parameters", None, 1)]
)
def test_every_row_says_its_unit_its_repeats_and_its_source(name, unit, n):
    frame = published.series(STUDY, name)
    assert set(frame["unit"]) == {unit or "parameters"} and set(frame["n"]) == {n}
    assert set(frame["source"]) == {"Lemon-Farm/AI-Experiments, Sigmoid_vs_ReLU.ipynb"}


@pytest.mark.parametrize(
    ("study", "set_name", "entry", "table", "last"),
    [
        ("BatchNorm_vs_GroupNorm", "ran", "batchnorm_vs_groupnorm", "baseline_train_loss", 0.003),
        ("BatchNorm_vs_GroupNorm", "ran_many_epochs", "batchnorm_vs_groupnorm", "many_epochs_train_loss", 0.0005),
        ("Conv_Activation_Norm_Position", "ran", "conv_activation_norm_position", "train_loss", 0.000195),
    ],
)
def test_the_learning_rates_of_our_sets_are_the_published_ones(study, set_name, entry, table, last):
    values = parameters.load(study, set_name)
    fields = {"batch_size": 2} | {name: values[name] for name in Recipe.model_fields if name in values}
    recipe = Recipe(**fields)
    rows = published.table(entry, table)
    assert {row["epoch"] for row in rows} == set(range(1, recipe.epochs + 1))
    for row in rows:  # what is listed after an epoch is the rate of the next, which is counted from 0 here
        assert recipe.learning_rate(row["epoch"]) == pytest.approx(row["lr_after_epoch"], rel=1e-12)
    assert recipe.learning_rate(0) == recipe.lr
    assert recipe.learning_rate(recipe.epochs) == pytest.approx(last, rel=1e-12)


# activation | accuracy, sd on MobileNet, VGG16, GoogLeNet, ResNet50, SENet18, DenseNet121 | training times, as printed
ZOO_TABLE = """
Sigmoid | 88.60 0.17 87.69 0.49 87.33 2.48 80.13 3.33 90.29 0.29 89.92 1.96 | 1995 2956 17754 12963 4394 15144
ReLU    | 90.10 0.22 92.84 0.19 93.43 0.48 93.74 0.34 93.70 0.16 93.96 0.51 | 1882 2839 17710 12750 4533 15306
GELU    | 90.71 0.20 92.42 0.09 93.16 0.61 93.81 0.46 93.72 0.18 93.90 0.41 | 1783 2842 17753 12752 4412 15086
PDELU   | 90.18 0.19 92.80 0.13 93.49 0.30 93.42 0.71 93.71 0.07 93.96 0.59 | 19418 14515 123720 132528 30760 181380
"""
NETS = ("MobileNet", "VGG16", "GoogLeNet", "ResNet50", "SENet18", "DenseNet121")


def test_the_survey_of_18_activations_on_six_nets():
    means, deviations, seconds = {}, {}, {}
    for (name,), values, times in cells(ZOO_TABLE):
        for i, net in enumerate(NETS):
            means[name, net], deviations[name, net] = values[2 * i : 2 * i + 2]
            seconds[name, net] = times[i]
    accuracy = printed("Activation_Zoo", "accuracy", means, "activation", "family")
    assert len(accuracy) == len(printed("Activation_Zoo", "seconds", seconds, "activation", "family")) == 18 * 6
    sd = accuracy.set_index(["activation", "family"])["sd"]
    assert {key: f"{sd[key]:.2f}" for key in deviations} == deviations
    assert accuracy["n"].isna().all()  # the number of repeats is not stated
    assert set(accuracy["source"]) == {"shivram1987/ActivationFunctions, arXiv:2109.14545"}
    assert published.places_of(published.origin("Activation_Zoo")) == ["arXiv:2109.14545"]


def test_the_errors_of_gelus_paper_and_the_factor_for_tanh():
    rows = {"CIFAR-10": "7.89 8.16 8.41 3", "CIFAR-100": "20.74 21.77 22.98 3", "TIMIT": "29.30 29.50 29.66 5"}
    rows["Twitter POS tagging"] = "12.57 12.67 12.91 5"
    frame = published.series("Activation_Zoo", "error")
    found = frame.set_index(["data", "activation"])["value"]
    ns = frame.groupby("data")["n"].first()
    said = {d: " ".join([*(f"{found[d, a]:.2f}" for a in ("GELU", "ReLU", "ELU")), str(ns[d])]) for d in rows}
    assert said == rows and len(frame) == 12 and set(frame["source"]) == {"arXiv:1606.08415"}
    factor = published.series("Activation_Zoo", "factor")
    assert factor["value"].tolist() == [6] and "ERA V2" in factor["source"].item()


def test_an_unknown_series_lists_the_known_ones():
    with pytest.raises(ValueError) as caught:
        published.series(STUDY, "losses")
    assert str(caught.value) == "published: 'losses': Sigmoid_vs_ReLU has accuracy, repeats, gap, parameters"


def test_a_study_of_ones_own_has_no_published_numbers():
    with pytest.raises(ValueError, match=r"^published: 'accuracy': Mine has no published numbers$"):
        published.series("Mine", "accuracy")


def test_changing_a_series_changes_no_later_one():
    frame = published.series(STUDY, "gap")
    frame["value"] = 0
    assert rows("gap", "blocks", "value") == list(column(5).items())


def test_the_origin_names_the_repository_and_the_file():
    origin = published.origin(STUDY)
    assert (origin["repository"], origin["file"]) == ("Lemon-Farm/AI-Experiments", "Sigmoid_vs_ReLU.ipynb")
