"""Sizes, fields, weights and multiply-accumulates of layer lists, against the published values and real nets."""

import pytest

from nbhelpers import published
from nbhelpers.errors import InputError
from nbhelpers.lesson import listings
from nbhelpers.models import Stack


@pytest.mark.parametrize("name", ["receptive_field", "receptive_field_first_listing"])
def test_both_listings_are_the_published_right_values_and_the_gradient_agrees(name):
    rows, found = published.table(listings.STUDY, name), listings.beside(name)
    assert list(found["side"]) == [row["size_by_formula"] for row in rows]
    assert list(found["field"]) == list(found["measured"]) == [row["rf_by_formula"] for row in rows]
    assert list(found["jump"]) == [row["jump_after"] for row in rows]
    assert list(found["right"]) == [row["lesson_rf"] == row["rf_by_formula"] for row in rows]


def test_weights_and_multiply_accumulates_are_the_published_ones():
    rows, found = published.table(listings.STUDY, "network_cost"), listings.beside("receptive_field")
    for row, (_, own) in zip(rows, found.iterrows(), strict=False):
        assert (own["weights"], own["macs"]) == (row["weights"], row["multiply_accumulates"])
    assert "3,167,072 weights, 295.1 G" in listings.costs(found) and "179.4 G" in listings.costs(found)


@pytest.mark.parametrize("layers", [["conv 3x3 4", "pool 3/2", "conv 5x5/2 4"], ["pad 1", "conv 3x3/2 2", "pool 2"]])
def test_the_measured_field_is_the_formula(layers):
    assert listings.measured_field(layers, 64) == listings.table(layers, (1, 64, 64))["field"].iloc[-1]


def test_counts_are_those_of_the_net_that_is_built():
    table = listings.table(listings.LENET, (1, 28, 28), bias=True)
    net = Stack(layers=listings.LENET).build((1, 28, 28), 10)
    assert table["parameters"].sum() == sum(p.numel() for p in net.parameters()) == 61706


def test_what_comes_after_the_flattening_sees_the_whole_image_and_has_no_neighbours():
    shown, note = listings.lenet()
    ends = {layer: (field, jump) for layer, field, jump in zip(shown.layer, shown.field, shown.jump, strict=True)}
    assert ends["conv 5x5 16"] == ("14", "2") and ends["flatten"] == ends["linear 84"] == ends["output"] == ("28", "")
    assert "parameters" in shown and "weights" not in shown and "61,706 parameters" in note
    pooled = listings.table(["conv 3x3 4", "average", "output"], (1, 9, 9))
    assert list(pooled["field"]) == [3, 9, 9] and list(pooled["jump"]) == [1, 0, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="nothing is left"):
        listings.table(["pool 2", "conv 5x5 3"], (1, 8, 8))


def test_shapes_of_nets_and_heads():
    nets = listings.shapes_of_nets().set_index("net")
    assert nets["weights"].tolist() == [6316032, 10985472, 4718592]
    assert nets["3x3 layers"].tolist() == [16, 16, 8]
    assert listings.heads()["weights"].tolist() == [25088000, 512000]
