"""Figures show every interval, hollow published values, a panel for each value, and units."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from nbhelpers import outputs, plots

T2 = 4.302652729911275  # the 97.5% quantile of Student's t with 2 degrees of freedom


@pytest.fixture(autouse=True)
def _no_window_and_no_figure_left():
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    plt.close("all")
    matplotlib.use(before)


def runs(blocks=(1, 8), activations=("sigmoid", "relu"), seeds: int = 3, epochs: int = 2) -> pd.DataFrame:
    """Runs whose accuracy is 20 and 22 and 24, plus 10 for ReLU; losses fall by 0.5 an epoch; two layers of slopes."""
    rows = []
    for n in blocks:
        for activation in activations:
            for seed in range(seeds):
                shift = 2 * seed
                history = [{"train_loss": 2.0 + shift - 0.5 * e, "train_accuracy": 30.0} for e in range(epochs)]
                slopes = {"a": math.exp(seed), "b": math.exp(seed + 1)}
                rows.append(
                    {"blocks": n, "activation": activation, "seed": seed, "status": "done", "history": history}
                    | {"test_accuracy": 20.0 + shift + 10 * (activation == "relu")}
                    | {"probes": {"slope@1": {"initial": slopes, "final": slopes}}}
                )
    return pd.DataFrame(rows)


def claims(*texts: str) -> dict[str, pd.DataFrame]:
    """Claim -> shares of the verdicts with 1, 2 and 3 seeds."""
    shares = {"k": [1, 2, 3], "holds": [0.5, 0.25, 0.0], "fails": [0.25, 0.0, 0.0], "undecided": [0.25, 0.75, 1.0]}
    return {text: pd.DataFrame(shares) for text in texts}


PUBLISHED = pd.DataFrame({"blocks": [1, 8, 1], "activation": ["relu", "relu", "tanh"], "value": [28.0, 33.0, 9.0]})
CURVES = {"x": "blocks", "y": "test_accuracy", "hue": "activation"}
DRAW = {
    "curves": lambda: plots.curves(runs(), **CURVES, title="found", published=PUBLISHED, chance=10, zero=True),
    "learning": lambda: plots.learning(runs(), "activation", panel="blocks", title="found"),
    "by_layer": lambda: plots.by_layer(
        runs(), "slope@1", "activation", "blocks", title="found", ylabel="mean slope", bound=(0.25, "bound")
    ),
    "seeds_needed": lambda: plots.seeds_needed(claims("one", "two"), title="found"),
}


def visible(figure: Figure) -> list:
    return [axis for axis in figure.axes if axis.get_visible()]


def bars(axis) -> dict[str, list[tuple[float, float]]]:
    """Label -> the ends of the interval bars of that arm."""
    found = {}
    for container in axis.containers:
        if isinstance(container, ErrorbarContainer):
            segments = container.lines[2][0].get_segments()
            found[container.get_label()] = [tuple(segment[:, 1]) for segment in segments]
    return found


def line(axis, label: str):
    return next(line for line in axis.lines if line.get_label() == label)


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_with_the_title_it_was_given(name):
    figure = DRAW[name]()
    assert isinstance(figure, Figure)
    titles = [figure.get_suptitle(), *(axis.get_title("left") for axis in figure.axes)]
    assert "found" in titles


@pytest.mark.parametrize("name", DRAW)
def test_the_same_figure_drawn_twice_is_the_same_file(name):
    first, second = (outputs.png(DRAW[name]()) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")
    assert b"Software" not in first


@pytest.mark.parametrize("name", DRAW)
def test_every_axis_says_what_it_shows(name):
    shown = visible(DRAW[name]())
    assert any(axis.get_xlabel() for axis in shown) and any(axis.get_ylabel() for axis in shown)


def test_importing_the_module_changes_nobodys_style():
    with matplotlib.rc_context({"axes.titlesize": 33}):
        plots.colour("relu")
        assert matplotlib.rcParams["axes.titlesize"] == 33


def test_an_arm_has_the_same_colour_in_every_figure():
    assert plots.colour("relu", 0) == plots.colour("relu", 5) != plots.colour("sigmoid")
    assert plots.colour("tanh", 0) != plots.colour("tanh", 1)
    axis = DRAW["curves"]().axes[0]
    panel = DRAW["learning"]().axes[0]
    assert to_hex(line(panel, "relu").get_color()) == to_hex(bars_colour(axis, "relu")) == plots.colour("relu")


def bars_colour(axis, label: str):
    return next(c.lines[0].get_color() for c in axis.containers if c.get_label() == label)


# ---------------------------------------------------------------------- curves


def test_every_mean_has_its_interval_as_a_bar():
    axis = plots.curves(runs(), **CURVES).axes[0]
    half = T2 * 2 / math.sqrt(3)
    expected = {"sigmoid": [(22 - half, 22 + half)] * 2, "relu": [(32 - half, 32 + half)] * 2}
    found = bars(axis)
    assert found.keys() == expected.keys()
    assert all(np.allclose(found[arm], expected[arm]) for arm in expected)


def test_one_seed_is_a_mean_without_a_bar():
    found = bars(plots.curves(runs(seeds=1), **CURVES).axes[0])
    assert found == {"sigmoid": [(20, 20)] * 2, "relu": [(30, 30)] * 2}


def test_every_seed_is_a_dot():
    axis = plots.curves(runs(), **CURVES).axes[0]
    dots = [sorted(collection.get_offsets()[:, 1]) for collection in axis.collections if len(collection.get_offsets())]
    assert [20, 20, 22, 22, 24, 24] in dots and [30, 30, 32, 32, 34, 34] in dots


def test_arms_stand_beside_each_other():
    axis = plots.curves(runs(), **CURVES).axes[0]
    at = [container.lines[0].get_xdata() for container in axis.containers]
    assert (at[0] < at[1]).all() and np.allclose((at[0] + at[1]) / 2, [1, 8])
    assert list(axis.get_xticks()) == [1, 8]


def test_published_values_are_hollow_diamonds_in_the_colour_of_their_arm():
    axis = plots.curves(runs(), **CURVES, published=PUBLISHED).axes[0]
    marks = line(axis, "relu, published")
    assert (marks.get_marker(), marks.get_markerfacecolor(), marks.get_linestyle()) == ("D", "none", "None")
    assert to_hex(marks.get_markeredgecolor()) == plots.colour("relu")
    assert list(marks.get_ydata()) == [28, 33]
    labels = [line.get_label() for line in axis.lines]
    assert "sigmoid, published" not in labels and "tanh, published" not in labels


def test_nothing_is_published_where_nothing_is_given():
    axis = plots.curves(runs(), **CURVES).axes[0]
    assert not any("published" in str(line.get_label()) for line in axis.lines)


def test_accuracy_is_in_per_cent_and_chance_is_drawn():
    axis = plots.curves(runs(), **CURVES, chance=10).axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("blocks", "test accuracy (%)")
    assert list(line(axis, "chance").get_ydata()) == [10, 10]


def test_labels_of_ones_own_and_the_line_at_zero():
    axis = plots.curves(runs(), **CURVES, xlabel="depth", ylabel="points", zero=True).axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("depth", "points")
    assert any(list(line.get_ydata()) == [0, 0] for line in axis.lines)


def test_one_value_of_x_can_be_drawn():
    assert list(plots.curves(runs(blocks=(4,)), **CURVES).axes[0].get_xticks()) == [4]


def test_the_axis_shows_no_accuracy_that_cannot_be():
    wide = runs().assign(test_accuracy=[2.0, 50.0, 98.0] * 4)
    assert plots.curves(wide, **CURVES).axes[0].get_ylim() == (0, 100)


def test_the_legend_names_every_arm():
    figure = DRAW["curves"]()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(texts) == {"sigmoid", "relu", "relu, published", "chance"}


# -------------------------------------------------------------------- learning


@pytest.mark.parametrize("blocks", [(1,), (1, 4, 8), (1, 2, 3, 4, 5)])
def test_a_panel_for_each_value(blocks):
    shown = visible(plots.learning(runs(blocks=blocks), "activation", panel="blocks"))
    assert [axis.get_title("left") for axis in shown] == [f"blocks = {n}" for n in blocks]


def test_a_learning_curve_is_the_mean_over_seeds_with_its_interval():
    axis = plots.learning(runs(), "activation", panel="blocks").axes[0]
    assert [line.get_label() for line in axis.lines] == ["sigmoid", "relu"]
    assert list(axis.lines[0].get_xdata()) == [1, 2] and list(axis.lines[0].get_ydata()) == [4.0, 3.5]
    half = T2 * 2 / math.sqrt(3)
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert len(axis.collections) == 2 and np.allclose([ends.min(), ends.max()], [3.5 - half, 4 + half])


def test_one_seed_has_a_learning_curve_without_a_band():
    axis = plots.learning(runs(seeds=1), "activation", panel="blocks").axes[0]
    assert len(axis.lines) == 2 and not axis.collections


def test_learning_curves_have_units():
    axis = plots.learning(runs(), "activation", panel="blocks").axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "training loss (nats)")
    accuracy = plots.learning(runs(), "activation", "train_accuracy", "blocks").axes[0]
    assert accuracy.get_ylabel() == "training accuracy (%)"


def test_an_arm_that_only_some_panels_have_is_in_the_legend():
    df = pd.concat([runs(), runs(blocks=(8,), activations=("tanh",))])
    figure = plots.learning(df, "activation", panel="blocks")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sigmoid", "relu", "tanh"]


# -------------------------------------------------------------------- by layer


def test_a_row_of_panels_for_each_moment_and_a_column_for_each_value():
    shown = visible(DRAW["by_layer"]())
    starts = [f"blocks = {n}, {when}" for when in ("start", "trained") for n in (1, 8)]
    assert [axis.get_title("left") for axis in shown] == starts
    one = visible(plots.by_layer(runs(), "slope@1", "activation", "blocks", moments=("final",)))
    assert [axis.get_title("left") for axis in one] == starts[2:]


def test_a_probe_is_drawn_against_the_layer_with_its_interval():
    axis = plots.by_layer(runs(), "slope@1", "activation", "blocks", ylabel="mean slope").axes[0]
    values = np.exp([0, 1, 2])
    assert list(axis.lines[0].get_xdata()) == [1, 2]
    assert np.allclose(axis.lines[0].get_ydata(), [values.mean(), np.e * values.mean()])
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert math.isclose(ends.max(), np.e * (values.mean() + T2 * values.std(ddof=1) / math.sqrt(3)))
    assert axis.get_ylabel() == "mean slope"


def test_on_a_logarithmic_axis_the_mean_is_geometric():
    axis = plots.by_layer(runs(), "slope@1", "activation", "blocks", logarithmic=True).axes[0]
    assert axis.get_yscale() == "log"
    assert np.allclose(axis.lines[0].get_ydata(), [np.e, np.e**2])
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert math.isclose(ends.min(), math.exp(1 - T2 / math.sqrt(3)))


def test_a_bound_is_drawn_in_every_panel():
    for axis in visible(DRAW["by_layer"]()):
        assert list(line(axis, "bound").get_ydata()) == [0.25, 0.25]


def test_layers_are_counted_from_the_input():
    assert {axis.get_xlabel() for axis in DRAW["by_layer"]().axes[2:]} == {"layer, from the input"}


# ---------------------------------------------------------------- seeds needed


def test_the_shares_of_the_verdicts_are_bars_that_sum_to_100():
    axis = plots.seeds_needed(claims("a claim")).axes[0]
    heights = {c.get_label(): [bar.get_height() for bar in c] for c in axis.containers}
    assert heights == {"holds": [50, 25, 0], "undecided": [25, 75, 100], "fails": [25, 0, 0]}
    tops = [bar.get_y() + bar.get_height() for bar in axis.containers[-1]]
    assert tops == [100, 100, 100]
    assert (axis.get_xlabel(), axis.get_ylabel(), list(axis.get_xticks())) == ("seeds used", "subsets (%)", [1, 2, 3])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_panel_for_each_claim(count):
    texts = [f"claim {i}" for i in range(count)]
    shown = visible(plots.seeds_needed(claims(*texts)))
    assert [axis.get_title("left") for axis in shown] == texts


# ---------------------------------------------------------------------- images


def test_images_of_every_class_and_a_histogram_of_every_channel(small_data):
    figure = plots.images(small_data, count=5)
    left, right = figure.axes
    pixels = left.images[0].get_array()
    assert pixels.shape == (3 * 8, 5 * 8, 3)
    assert [label.get_text() for label in left.get_yticklabels()] == ["circle", "square", "triangle"]
    assert left.get_title("left") == "shapes: 60 training images of 3 classes"
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert [text.split(":")[0] for text in texts] == ["red", "green", "blue"]
    assert all("mean" in text and "sd" in text for text in texts)
    assert right.get_xlabel() == "pixel value after normalisation"


def test_images_are_the_same_file_twice(small_data):
    assert outputs.png(plots.images(small_data)) == outputs.png(plots.images(small_data))
