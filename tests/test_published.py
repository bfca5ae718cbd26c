"""The published series are the published numbers, in our labels."""

import pytest

from nbhelpers import published

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


@pytest.mark.parametrize(
    ("name", "unit", "n"), [("accuracy", "%", 5), ("repeats", "%", 1), ("gap", "points", 5), ("parameters", None, 1)]
)
def test_every_row_says_its_unit_its_repeats_and_its_source(name, unit, n):
    frame = published.series(STUDY, name)
    assert set(frame["unit"]) == {unit or "parameters"} and set(frame["n"]) == {n}
    assert set(frame["source"]) == {"Lemon-Farm/AI-Experiments, Sigmoid_vs_ReLU.ipynb"}


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
