"""Figures show every interval, hollow published values, a panel for each value, and units."""

import io
import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

from nbhelpers import outputs, plots
from nbhelpers.plots.style import new, plain_log_ticks, title_of

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


def grid(scales=(1, 4, 62), rates=(1e-4, 0.01, 1.0), seeds: int = 2) -> pd.DataFrame:
    """Runs over scales r and learning rates, whose accuracy is 10, 20, ... row by row, and 1 more with each seed."""
    cells = [(r, lr) for r in scales for lr in rates]
    return pd.DataFrame(
        [
            {"r": r, "lr": lr, "seed": seed, "test_accuracy": 10.0 * i + seed}
            for i, (r, lr) in enumerate(cells, 1)
            for seed in range(seeds)
        ]
    )


def measured(layers=("linear1", "linear2"), activations=("sigmoid", "relu"), seeds: int = 3) -> pd.DataFrame:
    """A probe by epoch: 1, e and e² of the seeds, times 10 with each layer, times 2 with each epoch."""
    return pd.DataFrame(
        [
            {"activation": a, "seed": seed, "epoch": epoch, "layer": layer}
            | {"value": math.exp(seed) * 10**i * 2**epoch}
            for i, layer in enumerate(layers)
            for a in activations
            for seed in range(seeds)
            for epoch in range(3)
        ]
    )


PUBLISHED = pd.DataFrame({"blocks": [1, 8, 1], "activation": ["relu", "relu", "tanh"], "value": [28.0, 33.0, 9.0]})
REPEATS = pd.DataFrame({"activation": ["relu"] * 3, "value": [27.0, 28.0, 29.0]})
BOUNDARY = pd.DataFrame({"r": [62, 1, 4], "lr": [0.0001, 10.0, 0.01]})
CURVES = {"x": "blocks", "y": "test_accuracy", "hue": "activation"}
DRAW = {
    "curves": lambda: plots.curves(runs(), **CURVES, title="found", published=PUBLISHED, chance=10, zero=True),
    "learning": lambda: plots.learning(runs(), "activation", panel="blocks", title="found"),
    "by_layer": lambda: plots.by_layer(
        runs(), "slope@1", "activation", "blocks", title="found", ylabel="mean slope", bound=(0.25, "bound")
    ),
    "seeds_needed": lambda: plots.seeds_needed(claims("one", "two"), title="found"),
    "strip": lambda: plots.strip(
        runs(blocks=(1,)), "activation", "test_accuracy", title="found", published=PUBLISHED, repeats=REPEATS
    ),
    "heat": lambda: plots.heat(
        grid(), "lr", "r", "test_accuracy", title="found", boundary=BOUNDARY, boundary_label="bound"
    ),
    "by_epoch": lambda: plots.by_epoch(measured(), "activation", title="found", ylabel="dead units (%)"),
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


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ends(collection) -> tuple[float, float]:
    """The lowest and the highest point of a band."""
    at = collection.get_paths()[0].vertices[:, 1]
    return at.min(), at.max()


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


def test_a_picture_has_the_pixels_that_matplotlib_draws_and_no_transparency():
    figure, plain = DRAW["curves"](), io.BytesIO()
    figure.savefig(plain, format="png", dpi=outputs.FIGURE_DPI)
    picture = Image.open(io.BytesIO(outputs.png(figure)))
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), np.asarray(Image.open(plain))[..., :3])


@pytest.mark.parametrize("name", sorted(DRAW.keys() - {"strip"}))  # that one names its arms beside their lines
def test_every_axis_says_what_it_shows(name):
    shown = visible(DRAW[name]())
    assert any(axis.get_xlabel() for axis in shown) and any(axis.get_ylabel() for axis in shown)


def test_importing_the_module_changes_nobodys_style():
    with matplotlib.rc_context({"axes.titlesize": 33}):
        plots.colour("relu")
        assert matplotlib.rcParams["axes.titlesize"] == 33


def test_an_arm_has_the_same_colour_in_every_figure():
    assert plots.colour("relu", 0) == plots.colour("relu", 5) != plots.colour("sigmoid")
    assert plots.colour("elu", 0) != plots.colour("elu", 1)
    axis = DRAW["curves"]().axes[0]
    panel = DRAW["learning"]().axes[0]
    assert to_hex(line(panel, "relu").get_color()) == to_hex(bars_colour(axis, "relu")) == plots.colour("relu")


def test_an_activation_has_the_same_colour_however_it_is_spelt():
    for arm, name in {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "gelu": "GELU"}.items():
        assert plots.colour(arm, 4) == plots.colour(name, 1)
    assert len({plots.colour(name) for name in ("relu", "sigmoid", "tanh", "gelu", "4·sigmoid(x) − 2")}) == 5


def bars_colour(axis, label: str):
    return next(c.lines[0].get_color() for c in axis.containers if c.get_label() == label)


TITLE = "GroupNorm − BatchNorm: " + ", ".join(f"{i:+.1f} points at batch size {2**i}" for i in range(1, 9))


@pytest.mark.parametrize(("width", "most"), [(8, 71), (4, 35), (1, 20)])
def test_a_title_is_wrapped_to_the_width_of_the_figure(width, most):
    figure, _ = new(width, 3)
    title_of(figure, TITLE)
    lines = figure.get_suptitle().split("\n")
    assert " ".join(lines) == TITLE and max(map(len, lines)) <= most
    assert len(lines) <= 1 + len(TITLE) // (most - 12)  # and no more often than that asks for
    title_of(figure, "short")
    assert figure.get_suptitle() == "short"


def test_a_title_is_not_broken_within_a_name():
    figure = Figure(figsize=(4, 3))
    title_of(figure, "An order of layers, such as conv-LeakyReLU-BN, is one word")
    assert "conv-LeakyReLU-BN," in figure.get_suptitle().split()


def test_a_wrapped_title_fits_the_figure():
    figure, _ = new(8, 3)
    title_of(figure, TITLE)
    figure.canvas.draw()
    text = next(text for text in figure.texts if text.get_text() == figure.get_suptitle())
    assert text.get_window_extent().x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.3, 3, ["0.5", "1", "2"]),
        (2.2, 4.3, ["2.5", "3", "3.5", "4"]),
        (0.002, 20, ["0.01", "0.1", "1", "10"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers_and_enough_of_them(low, high, shown):
    figure, axis = new()
    axis.plot([0, 1], [low, high])
    plain_log_ticks(axis)
    figure.canvas.draw()
    ticks = [*axis.get_yticklabels(), *axis.get_yticklabels(minor=True)]
    inside = {tick.get_position()[1]: tick.get_text() for tick in ticks if low <= tick.get_position()[1] <= high}
    assert axis.get_yscale() == "log"
    assert [inside[value] for value in sorted(inside) if inside[value]] == shown


# ---------------------------------------------------------------------- curves


def test_every_mean_has_its_interval_as_a_bar():
    axis = plots.curves(runs(), **CURVES).axes[0]
    half = T2 * 2 / math.sqrt(3)
    expected = {"sigmoid": [(22 - half, 22 + half)] * 2, "relu": [(32 - half, 32 + half)] * 2}
    found = bars(axis)
    assert found.keys() == expected.keys()
    assert all(np.allclose(found[arm], expected[arm]) for arm in expected)


def test_one_seed_is_a_mean_without_a_bar():
    axis = plots.curves(runs(seeds=1), **CURVES).axes[0]
    assert [list(container.lines[0].get_ydata()) for container in axis.containers] == [[20, 20], [30, 30]]
    assert not any(len(s) for c in axis.containers for s in c.lines[2][0].get_segments())


def test_an_arm_that_is_partly_at_chance_has_its_seeds_and_no_mean():
    df = runs().assign(status="done", classes=10, test_images=1000, train_loss=1.0)
    df.loc[(df.activation == "relu") & (df.blocks == 8) & (df.seed == 0), "test_accuracy"] = 10.0
    axis = plots.curves(df, **CURVES).axes[0]
    means = {c.get_label(): list(c.lines[0].get_ydata()) for c in axis.containers}
    assert np.isnan(means["relu"][1]) and means["relu"][0] == 32 and means["sigmoid"] == [22, 22]
    assert sum(len(c.get_offsets()) for c in axis.collections if len(c.get_offsets()) == 6) == 12


def test_a_contrast_that_is_partly_at_chance_has_its_seeds_and_no_mean():
    df = runs().assign(at_chance=["00", "11", "00"] * 4)
    axis = plots.curves(df, **CURVES).axes[0]
    assert all(np.isnan(c.lines[0].get_ydata()).all() for c in axis.containers)


def test_the_legend_may_say_how_many_seeds_there_are():
    assert legend(plots.curves(runs(), "blocks", "test_accuracy", "activation", count=True)) == [
        "sigmoid, n = 3",
        "relu, n = 3",
    ]


def test_of_an_arm_that_is_partly_at_chance_a_learning_curve_shows_each_seed():
    df = runs(blocks=(1,), activations=("relu",)).assign(classes=10, test_images=1000, train_loss=2.0)
    df["test_accuracy"] = [10.0, 30.0, 32.0]
    axis = visible(plots.learning(df, "activation"))[0]
    assert [len(drawn.get_xdata()) for drawn in axis.lines] == [2, 2, 2] and not axis.collections
    assert legend(axis.figure) == ["relu: seeds, partly at chance"]


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


def evenly(**options):
    """The axis of curves over 2, 8 and 128 blocks at equal distances."""
    return plots.curves(runs(blocks=(128, 2, 8)), **CURVES, even=True, **options).axes[0]


def test_even_values_stand_at_equal_distances_under_their_own_numbers():
    axis = evenly()
    assert list(axis.get_xticks()) == [0, 1, 2]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["2", "8", "128"]
    at = [container.lines[0].get_xdata() for container in axis.containers]
    assert np.allclose((at[0] + at[1]) / 2, [0, 1, 2]) and np.allclose(at[1] - at[0], 0.12)
    dots = [c.get_offsets()[:, 0] for c in axis.collections if len(c.get_offsets()) == 9]
    assert [sorted(set(np.round(x, 2))) for x in dots] == [[-0.09, 0.91, 1.91], [0.03, 1.03, 2.03]]


def test_published_values_move_with_the_even_ones_and_others_are_left_out():
    published = pd.DataFrame({"blocks": [8, 64, 128, 2], "activation": ["relu"] * 4, "value": [1.0, 2.0, 3.0, 4.0]})
    before = published.copy()
    axis = evenly(published=published)
    marks, means = line(axis, "relu, published"), axis.containers[1].lines[0]
    assert dict(zip(np.round(marks.get_xdata(), 2), marks.get_ydata(), strict=True)) == {1.06: 1, 2.06: 3, 0.06: 4}
    assert set(marks.get_xdata()) == set(means.get_xdata())
    assert list(axis.get_xticks()) == [0, 1, 2]
    pd.testing.assert_frame_equal(published, before)


def test_even_values_change_no_mean_and_no_interval():
    found, expected = bars(evenly()), bars(plots.curves(runs(blocks=(2, 8, 128)), **CURVES).axes[0])
    assert found.keys() == expected.keys() and all(np.allclose(found[arm], expected[arm]) for arm in found)


# ----------------------------------------------------------------------- strip


def strip(**options):
    return plots.strip(runs(blocks=(1,)), "activation", "test_accuracy", **options)


def test_a_strip_has_a_line_per_arm_from_the_top_in_their_order():
    axis = strip().axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["sigmoid", "relu"]
    assert list(axis.get_yticks()) == [0, 1] and axis.get_ylim() == (1.5, -0.5)
    assert axis.get_xlabel() == "test accuracy (%)"
    assert strip(xlabel="points").axes[0].get_xlabel() == "points"


def test_a_strip_has_a_dot_per_seed_and_the_mean_with_its_interval():
    axis = strip().axes[0]
    dots = [c.get_offsets().tolist() for c in axis.collections if len(c.get_offsets()) == 3]
    assert dots == [[[v, 0] for v in (20, 22, 24)], [[v, 1] for v in (30, 32, 34)]]  # on the line of its name
    half = T2 * 2 / math.sqrt(3)
    for i, (container, mean) in enumerate(zip(axis.containers, (22, 32), strict=True)):
        (segment,) = container.lines[2][0].get_segments()
        assert np.allclose(segment, [[mean - half, i], [mean + half, i]])
        assert container.lines[0].get_xydata().tolist() == [[mean, i]]
        assert to_hex(container.lines[0].get_color()) == plots.colour(("sigmoid", "relu")[i])


def test_a_strip_of_one_seed_has_a_mean_without_a_bar():
    axis = plots.strip(runs(blocks=(1,), seeds=1), "activation", "test_accuracy").axes[0]
    assert [np.ptp(c.lines[2][0].get_segments()[0][:, 0]) for c in axis.containers] == [0, 0]


def test_published_means_and_runs_are_hollow_and_below_ours():
    published = PUBLISHED[PUBLISHED["blocks"] == 1]
    axis = strip(published=published, repeats=REPEATS).axes[0]
    hollow = {line.get_marker(): line for line in axis.lines if line.get_markerfacecolor() == "none"}
    assert [c.lines[0].get_ydata().tolist() for c in axis.containers] == [[-0.12], [0.88]]
    assert hollow["D"].get_xydata().tolist() == [[28, 1.18]]
    assert hollow["o"].get_xydata().tolist() == [[27, 1.18], [28, 1.18], [29, 1.18]]
    assert {to_hex(line.get_markeredgecolor()) for line in hollow.values()} == {plots.colour("relu")}
    assert {line.get_linestyle() for line in hollow.values()} == {"None"}
    assert hollow["o"].get_markersize() < hollow["D"].get_markersize()


def test_the_key_of_a_strip_names_what_is_published_only_where_something_is():
    ours = "ours: mean, 95% interval, seeds"
    assert legend(strip()) == [ours] and legend(strip(published=PUBLISHED)) == [ours, "published"]
    assert not any(line.get_markerfacecolor() == "none" for line in strip().axes[0].lines)


# ------------------------------------------------------------------------ two seeds


@pytest.mark.parametrize(
    "draw",
    [
        lambda n: plots.curves(runs(seeds=n), "blocks", "test_accuracy", "activation"),
        lambda n: plots.learning(runs(seeds=n), "activation", panel="blocks"),
        lambda n: plots.by_layer(runs(seeds=n), "slope@1", "activation", "blocks"),
        lambda n: plots.tradeoffs(runs(blocks=(1,), seeds=n), "activation", "test_accuracy", {"blocks": "blocks"}),
        lambda n: plots.strip(runs(blocks=(1,), seeds=n), "activation", "test_accuracy", zero=True),
    ],
    ids=["curves", "learning", "by_layer", "tradeoffs", "strip"],
)
def test_two_seeds_have_no_interval_which_would_hide_all_else_and_the_figure_says_so(draw):
    def reach(axis):
        return max(map(np.ptp, (axis.get_xlim(), axis.get_ylim())))

    def said(figure):
        return figure.legends[0].get_title().get_text() + " ".join(legend(figure))

    two, three = draw(2), draw(3)
    assert "2 seeds: no interval" in said(two) or "from 3 seeds" in said(two)
    assert "2 seeds" not in said(three) and "from 3 seeds" not in said(three)
    assert reach(two.axes[0]) <= reach(three.axes[0]) and not any(
        isinstance(band, matplotlib.collections.PolyCollection) for band in two.axes[0].collections
    )


def test_where_some_points_alone_have_two_seeds_the_figure_says_so():
    df = runs(activations=("relu",))
    df = df[(df["blocks"] == 1) | (df["seed"] < 2)]
    figure = plots.curves(df, "blocks", "test_accuracy", "activation")
    assert figure.legends[0].get_title().get_text() == "no interval where\nthere are 2 seeds"
    (container,) = [c for c in figure.axes[0].containers if isinstance(c, ErrorbarContainer)]
    (bar,) = [segment for segment in container.lines[2][0].get_segments() if len(segment)]
    assert np.allclose(bar[:, 1], [32 - T2 * 2 / math.sqrt(3), 32 + T2 * 2 / math.sqrt(3)])


def test_a_change_of_accuracy_may_be_below_zero():
    df = runs().assign(test_accuracy=[-3.0, -2.0, -1.0, 1.0, 2.0, 3.0] * 2)
    low, _ = plots.curves(df, "blocks", "test_accuracy", "activation", ylabel="change of accuracy").axes[0].get_ylim()
    assert low < -3


def test_of_two_seeds_a_learning_curve_shows_each():
    axis = plots.learning(runs(activations=("relu",), seeds=2), "activation", panel="blocks").axes[0]
    assert [list(line.get_ydata()) for line in axis.lines] == [[3.0, 2.5], [2.0, 1.5], [4.0, 3.5]]
    assert not axis.collections and axis.lines[0].get_label() == "relu"


# ------------------------------------------------------------------------ heat


def heat(df: pd.DataFrame | None = None, **options):
    return plots.heat(grid() if df is None else df, "lr", "r", "test_accuracy", **options)


def numbers(axis) -> dict[tuple[float, float], str]:
    """(learning rate, scale) -> the number in that cell."""
    return {
        tuple(round(10**value, 6) for value in text.get_position()): text.get_text()
        for text in axis.texts
        if text.get_text()
    }


def test_every_cell_has_the_mean_over_seeds_as_a_number_and_as_a_colour():
    axis = heat(grid().sample(frac=1, random_state=0)).axes[0]
    cells = [(lr, r) for r in (1, 4, 62) for lr in (1e-4, 0.01, 1)]
    means = {cell: 10 * i + 0.5 for i, cell in enumerate(cells, 1)}
    assert numbers(axis) == {cell: f"{mean:.1f}" for cell, mean in means.items()}
    mesh = axis.collections[0]
    assert mesh.get_array().tolist() == [[means[lr, r] for lr in (1e-4, 0.01, 1)] for r in (1, 4, 62)]


def test_the_axes_of_a_heat_map_are_logarithmic_with_plain_numbers():
    figure = heat()
    axis, bar = figure.axes
    assert np.allclose(axis.get_xticks(), [-4, -2, 0]) and np.allclose(axis.get_yticks(), np.log10([1, 4, 62]))
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.0001", "0.01", "1"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["1", "4", "62"]
    assert (axis.get_xlabel(), axis.get_ylabel(), bar.get_ylabel()) == ("lr", "r", "test accuracy (%)")
    named = heat(xlabel="learning rate", ylabel="scale").axes[0]
    assert (named.get_xlabel(), named.get_ylabel()) == ("learning rate", "scale")


def test_a_number_lies_in_its_cell_and_can_be_read():
    axis = heat().axes[0]
    corners = axis.collections[0].get_coordinates()
    assert np.allclose(corners[0, :, 0], [-5, -3, -1, 1])
    assert np.allclose(corners[1:3, 0, 1], [math.log10(4) / 2, (math.log10(4) + math.log10(62)) / 2])
    assert all(text.get_path_effects() for text in axis.texts)  # an edge, where the boundary crosses it
    ink = {float(text.get_text()): text.get_color() for text in axis.texts if text.get_text()}
    assert {ink[value] for value in (10.5, 20.5, 30.5, 40.5)} == {"white"}
    assert {ink[value] for value in (50.5, 60.5, 70.5, 80.5, 90.5)} == {"black"}


def test_a_boundary_is_a_line_in_the_numbers_of_the_axes_that_leaves_the_grid_as_it_is():
    figure = heat(boundary=BOUNDARY, boundary_label="2 / sharpness")
    axis = figure.axes[0]
    drawn = line(axis, "2 / sharpness")
    assert np.allclose(drawn.get_xdata(), [1, -2, -4]) and np.allclose(drawn.get_ydata(), np.log10([1, 4, 62]))
    corners = axis.collections[0].get_coordinates()
    assert axis.get_xlim() == (corners[0, 0, 0], corners[0, -1, 0]) == (-5, 1)
    assert axis.get_ylim() == (corners[0, 0, 1], corners[-1, 0, 1])
    assert legend(figure) == ["2 / sharpness"]
    assert not heat().legends and not heat().axes[0].lines


def test_a_boundary_without_a_name_has_no_legend():
    assert not heat(boundary=BOUNDARY).legends


def test_a_cell_without_a_run_is_empty():
    df = grid()
    assert (4, 1) not in {(r, lr) for lr, r in numbers(heat(df[(df["r"] != 4) | (df["lr"] != 1)]).axes[0])}


@pytest.mark.parametrize(("scales", "rates"), [((4,), (0.1, 1.0)), ((1, 4), (0.1,)), ((4,), (0.1,))])
def test_a_heat_map_may_have_one_value_on_an_axis(scales, rates):
    axis = heat(grid(scales, rates), boundary=BOUNDARY, boundary_label="2 / sharpness").axes[0]
    assert set(numbers(axis)) == {(lr, r) for lr in rates for r in scales}
    assert axis.collections[0].get_array().shape == (len(scales), len(rates))
    corners = axis.collections[0].get_coordinates()
    middle = (corners[0, 0] + corners[-1, -1]) / 2
    assert np.allclose(middle, np.log10([math.prod(rates) ** (1 / len(rates)), math.prod(scales) ** (1 / len(scales))]))


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
    assert len(axis.collections) == 2 and np.allclose([ends.min(), ends.max()], [0, 4 + half])


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


LOSSES = pd.DataFrame(
    [
        {"activation": "relu", "blocks": blocks, "repeat": repeat, "epoch": epoch, "value": blocks + repeat + epoch / 2}
        for blocks in (1, 8)
        for repeat in (0, 1)
        for epoch in (3, 1, 2)
    ]
)


def test_published_learning_curves_are_dashed_means_over_their_repeats_in_the_panel_of_their_arm():
    figure = plots.learning(runs(), "activation", panel="blocks", published=LOSSES)
    for axis, blocks in zip(figure.axes, (1, 8), strict=True):
        assert [line.get_label() for line in axis.lines] == ["sigmoid", "relu", "relu, published"]
        theirs = line(axis, "relu, published")
        assert theirs.get_xydata().tolist() == [[epoch, blocks + 0.5 + epoch / 2] for epoch in (1, 2, 3)]
        assert (theirs.get_linestyle(), line(axis, "relu").get_linestyle()) == ("--", "-")
        assert to_hex(theirs.get_color()) == plots.colour("relu")
    assert legend(figure) == ["sigmoid", "relu", "relu, published"]


def test_learning_curves_without_a_panel_are_in_one_axis_without_a_title():
    published = LOSSES[LOSSES["blocks"] == 1].drop(columns="blocks")
    figure = plots.learning(runs(blocks=(1,)), "activation", published=published)
    (axis,) = figure.axes
    assert axis.get_title("left") == "" and axis.get_xlabel() == "epoch"
    assert list(line(axis, "sigmoid").get_ydata()) == [4.0, 3.5]
    assert list(line(axis, "relu, published").get_ydata()) == [2, 2.5, 3]


def test_nothing_published_is_drawn_for_an_arm_without_it():
    figure = plots.learning(runs(activations=("sigmoid",)), "activation", panel="blocks", published=LOSSES)
    assert legend(figure) == ["sigmoid"]


def test_on_a_logarithmic_axis_a_learning_curve_is_geometric():
    df = runs(blocks=(1,), activations=("relu",))
    df["history"] = [[{"train_loss": math.exp(seed)}, {"train_loss": math.exp(seed - 3)}] for seed in range(3)]
    axis = plots.learning(df, "activation", logarithmic=True).axes[0]
    assert axis.get_yscale() == "log"
    assert np.allclose(axis.lines[0].get_ydata(), np.exp([1, -2]))
    half = T2 / math.sqrt(3)
    assert np.allclose(ends(axis.collections[0]), np.exp([-2 - half, 1 + half]))
    assert plots.learning(df, "activation").axes[0].get_yscale() == "linear"


def diverged(seeds: int) -> pd.DataFrame:
    """Three runs of sigmoid, and three of ReLU of which the first `seeds` diverged in their second epoch of three."""
    df = runs(blocks=(1,), epochs=3)
    lost = (df["activation"] == "relu") & (df["seed"] < seeds)
    course = [{"train_loss": 5.0}, {"train_loss": "nan"}]
    df["history"] = [course if gone else own for gone, own in zip(lost, df["history"], strict=True)]
    return df.assign(status=np.where(lost, "diverged", "done"))


@pytest.mark.parametrize("logarithmic", [False, True])
def test_an_arm_that_diverged_is_drawn_as_far_as_it_has_numbers_and_marked_in_the_legend(logarithmic):
    figure = plots.learning(diverged(3), "activation", logarithmic=logarithmic)
    assert legend(figure) == ["sigmoid", "relu, diverged"]
    drawn = line(figure.axes[0], "relu, diverged")
    assert list(drawn.get_xdata()) == [1, 2]
    assert drawn.get_ydata()[0] == pytest.approx(5) and math.isnan(drawn.get_ydata()[1])
    assert outputs.png(figure).startswith(b"\x89PNG")


def test_an_arm_of_which_some_runs_diverged_is_not_marked_and_is_the_mean_of_the_others():
    figure = plots.learning(diverged(1), "activation")
    assert legend(figure) == ["sigmoid", "relu"]
    assert np.allclose(line(figure.axes[0], "relu").get_ydata(), [(5 + 4 + 6) / 3, (3.5 + 5.5) / 2, (3 + 5) / 2])


@pytest.mark.parametrize("logarithmic", [False, True])
def test_arms_that_all_diverged_at_once_are_a_figure_too(logarithmic):
    df = runs(blocks=(1,)).assign(status="diverged", history=[[{"train_loss": "nan"}]] * 6)
    figure = plots.learning(df, "activation", logarithmic=logarithmic)
    assert legend(figure) == ["sigmoid, diverged", "relu, diverged"]
    assert outputs.png(figure).startswith(b"\x89PNG")


# -------------------------------------------------------------------- by epoch


@pytest.mark.parametrize("layers", [("a",), ("a", "b", "c"), ("a", "b", "c", "d", "e")])
def test_a_panel_for_each_layer(layers):
    shown = visible(plots.by_epoch(measured(layers), "activation"))
    assert [axis.get_title("left") for axis in shown] == list(layers)


def test_a_probe_is_drawn_from_the_start_to_the_last_epoch_with_its_interval():
    figure = plots.by_epoch(measured(), "activation", ylabel="dead units (%)")
    values = np.exp([0, 1, 2])
    half = T2 * values.std(ddof=1) / math.sqrt(3)
    for i, axis in enumerate(figure.axes):
        assert [line.get_label() for line in axis.lines] == ["sigmoid", "relu"]
        assert list(axis.lines[0].get_xdata()) == [0, 1, 2]
        assert np.allclose(axis.lines[0].get_ydata(), 10**i * values.mean() * np.array([1, 2, 4]))
        low, high = 10**i * (values.mean() - half), 10**i * 4 * (values.mean() + half)
        assert low < 0 and np.allclose(ends(axis.collections[0]), [0, high])
        assert axis.get_xlabel() == "epoch"
    assert [axis.get_ylabel() for axis in figure.axes] == ["dead units (%)", ""]
    assert legend(figure) == ["sigmoid", "relu"]


def test_on_a_logarithmic_axis_a_probe_by_epoch_is_geometric_and_the_axis_is_that_of_the_seeds():
    df = measured(layers=("a",), activations=("relu",))
    axis = plots.by_epoch(df, "activation", logarithmic=True).axes[0]
    assert axis.get_yscale() == "log"
    assert np.allclose(axis.lines[0].get_ydata(), [math.e, 2 * math.e, 4 * math.e])
    half = T2 / math.sqrt(3)
    assert np.allclose(ends(axis.collections[0]), np.exp([1 - half, math.log(4) + 1 + half]))
    assert np.allclose(axis.get_ylim(), [df["value"].min() / 3, df["value"].max() * 3])


def test_where_a_probe_vanishes_in_some_seeds_every_seed_is_drawn_down_to_a_floor():
    df = measured(layers=("a",), activations=("relu",))
    df.loc[(df["epoch"] == 2) & (df["seed"] > 0), "value"] = 0.0
    axis = plots.by_epoch(df, "activation", logarithmic=True).axes[0]
    assert [drawn.get_ydata()[2] for drawn in axis.lines] == [4.0, 1e-12, 1e-12] and not axis.collections
    assert legend(axis.figure) == ["relu: seeds"]
    df.loc[df["epoch"] == 2, "value"] = 0.0
    axis = plots.by_epoch(df, "activation", logarithmic=True).axes[0]
    assert axis.lines[0].get_ydata()[2] == pytest.approx(1e-12) and legend(axis.figure) == ["relu"]


def test_no_interval_of_a_loss_or_a_share_reaches_below_zero():
    df = measured(layers=("a",), activations=("relu",))
    assert ends(plots.by_epoch(df, "activation").axes[0].collections[0])[0] == 0


def test_a_run_that_ended_early_is_in_the_mean_as_long_as_it_lasted():
    df = measured(layers=("a",), activations=("relu",))
    axis = plots.by_epoch(df[(df["seed"] == 0) | (df["epoch"] < 2)], "activation").axes[0]
    mean = np.exp([0, 1, 2]).mean()
    assert np.allclose(axis.lines[0].get_ydata(), [mean, 2 * mean, 4])


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


def test_nested_lines_become_thinner_so_that_each_is_seen():
    def widths(**options):
        axis = plots.by_layer(runs(), "slope@1", "activation", "blocks", **options).axes[0]
        return [found.get_linewidth() for found in axis.lines if not found.get_label().startswith("_")]

    assert len(set(widths())) == 1
    assert widths(nested=True) == sorted(set(widths(nested=True)), reverse=True)


def test_layers_are_counted_from_the_input():
    assert {axis.get_xlabel() for axis in DRAW["by_layer"]().axes[2:]} == {"layer, from the input"}


def test_a_last_linear_layer_is_said_and_no_label_lies_over_its_neighbour():
    slopes = {"a": 1.0, "linear": 2.0}
    df = runs().assign(probes=[{"slope@1": {"initial": slopes, "final": slopes}}] * len(runs()))
    figure = plots.by_layer(df, "slope@1", "activation", "blocks")
    figure.draw_without_rendering()
    left, right = (axis.xaxis.label for axis in figure.axes[2:])
    assert left.get_text() == right.get_text() == "layer, from the input\nthe last one linear"
    assert not left.get_window_extent().overlaps(right.get_window_extent())


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
    assert left.get_title("left") == "shapes:\n60 training images of 3 classes"
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert [text.split(":")[0] for text in texts] == ["red", "green", "blue"]
    assert all("mean" in text and "sd" in text for text in texts)
    assert right.get_xlabel() == "pixel value after normalisation"


def test_images_are_the_same_file_twice(small_data):
    assert outputs.png(plots.images(small_data)) == outputs.png(plots.images(small_data))
