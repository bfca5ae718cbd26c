"""Pictures of the zoo show every activation, every interval, and published values hollow."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from nbhelpers import plots, zoo


@pytest.fixture(autouse=True)
def _no_figure_left():
    yield
    plt.close("all")


def differences(families=("x", "y"), arms=("GELU", "ELU"), shift=0.0) -> pd.DataFrame:
    rows = [
        {
            "family": f,
            "activation": a,
            "mean": i - 3 * j + shift,
            "low": i - 3 * j - 1 + shift,
            "high": i - 3 * j + 1 + shift,
        }
        for i, f in enumerate(families)
        for j, a in enumerate(arms)
    ]
    return pd.DataFrame(rows)


def drawn(axis) -> list[tuple[float, float, float]]:
    """Mean and ends of every error bar."""
    found = []
    for bar in (c for c in axis.containers if isinstance(c, ErrorbarContainer)):
        line, _, (ends,) = bar
        (segment,) = ends.get_segments()
        found.append((line.get_xdata()[0], segment[0][0], segment[1][0]))
    return found


def test_a_panel_for_each_function_with_its_value_and_slope():
    figure = plots.functions(["ReLU", "LiSHT", "SRS"], title="t")
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title("left") for axis in panels] == ["ReLU", "LiSHT", "SRS"]
    value, slope = panels[1].lines[:2]
    x = value.get_xdata()
    assert value.get_ydata() == pytest.approx(x * np.tanh(x))
    m = slope.get_xdata()
    assert slope.get_ydata() == pytest.approx(np.tanh(m) + m / np.cosh(m) ** 2, abs=1e-4)
    assert figure.get_suptitle() == "t"


def test_all_of_the_zoo_fit_in_one_figure():
    assert sum(axis.get_visible() for axis in plots.functions(list(zoo.ZOO)).axes) == 19


def test_differences_have_their_intervals_and_published_ones_are_hollow():
    ours, theirs = differences(), differences(shift=0.5)
    figure = plots.differences(ours, "family", "activation", theirs=theirs, title="t", xlabel="points")
    assert [axis.get_title("left") for axis in figure.axes] == ["x", "y"]
    assert figure.axes[0].get_xlabel() == "points\nlogarithmic beyond ±2"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["GELU", "ELU"]
    for axis, family in zip(figure.axes, ("x", "y"), strict=True):
        expected = pd.concat([ours, theirs])
        expected = expected[expected.family == family][["mean", "low", "high"]].to_numpy()
        assert np.array(drawn(axis)) == pytest.approx(expected)
    faces = [c[0].get_markerfacecolor() for c in figure.axes[0].containers]
    assert faces.count("none") == 2 and len(faces) == 4


def test_a_difference_of_one_seed_has_no_interval_and_published_ones_may_lack_arms():
    ours = differences().assign(low=np.nan, high=np.nan)
    theirs = differences(families=("x",), arms=("GELU",))
    figure = plots.differences(ours, "family", "activation", theirs=theirs)
    assert [len(axis.containers) for axis in figure.axes] == [3, 2]
    assert drawn(figure.axes[1]) == [(1, 1, 1), (-2, -2, -2)]
    alone = plots.differences(differences(), "family", "activation")
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["ours"]


def test_ranks_are_those_among_the_arms_that_both_have():
    ours = pd.DataFrame({"x": [1.0, 2.0, 3.0], "mean rank": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    theirs = pd.DataFrame({"Net": [4.0, 9.0, 2.0]}, index=["a", "b", "d"])
    figure = plots.ranks(ours, theirs, {"x": "Net"}, title="t")
    (axis,) = figure.axes
    points = {text.get_text(): text.xy for text in axis.texts}
    assert points == {"a": (1, 1), "b": (2, 2)}
    assert axis.get_title("left") == "x, against Net"


def test_costs_are_medians_with_quartiles_in_rising_order():
    rows = [
        {"activation": a, "round": r, "forward": f * (1 + r / 10), "backward": 2.0, "step": f * (1 + r / 10)}
        for a, f in (("Mish", 3.0), ("ReLU", 1.0))
        for r in range(5)
    ]
    figure = plots.costs(pd.DataFrame(rows))
    alone, step = figure.axes
    assert [label.get_text() for label in alone.get_yticklabels()] == ["ReLU", "Mish"]
    (bar,) = step.containers
    assert bar[0].get_xdata().tolist() == pytest.approx([1.2, 3.6])
    ends = np.array([segment[:, 0] for segment in bar[2][0].get_segments()])
    assert ends == pytest.approx(np.array([[1.1, 1.3], [3.3, 3.9]]))
    assert [c.get_label() for c in alone.containers] == ["forward", "backward"]
