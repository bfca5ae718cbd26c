"""Coverage against the gradient of a convolution; evenness; layers to a field."""

import numpy as np
import pytest
import torch

from nbhelpers.lesson import strides


@pytest.mark.parametrize(("side", "kernel", "stride"), [(9, 3, 2), (10, 4, 3), (7, 2, 2), (6, 3, 1), (10, 2, 3)])
def test_coverage_is_what_a_convolutions_gradient_says(side, kernel, stride):
    image = torch.zeros((1, 1, side, side), requires_grad=True)
    torch.nn.functional.conv2d(image, torch.ones(1, 1, kernel, kernel), stride=stride).sum().backward()
    assert np.array_equal(strides.coverage(side, kernel, stride), image.grad[0, 0].numpy())
    counts = dict(zip(*np.unique(strides.coverage(side, kernel, stride), return_counts=True), strict=True))
    assert strides.histogram(side, kernel, stride) == counts


def test_all_published_coverages():
    assert strides.published_rows() == (9, 9)


def test_coverage_is_even_inside_where_the_stride_divides_the_kernel():
    found = strides.evenness(kernels=range(1, 8), strides=range(1, 6))
    assert (found["even"] == found["stride divides kernel"]).all()
    assert strides.split()["uneven"] == ["kernel 3 stride 2"]


def test_layers_to_a_field():
    assert strides.layers_to_field(400) == 200 and strides.layers_to_field(3) == 1
    assert strides.layers_to_field(11, 2) == 4  # 3, 5, 9, 13
    assert strides.transposed(4, 2, 2).tolist() == np.ones((8, 8)).tolist()
