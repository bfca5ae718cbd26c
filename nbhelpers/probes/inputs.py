"""What each convolution receives: zeros, mean and skewness of its inputs."""

from torch import nn

from nbhelpers.probes.registry import first_images, inputs_of, probe
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images


@probe("input_zeros@1")
def input_zeros(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> share (per cent) of zeros among the values that it receives, of 500 images in training mode."""
    inputs = inputs_of(model, first_images(train), nn.Conv2d)
    return {name: 100 * (values == 0).double().mean().item() for name, values in inputs.items()}


@probe("input_means@1")
def input_means(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> mean of the values that it receives over their sd, of 500 training images in training mode."""
    inputs = inputs_of(model, first_images(train), nn.Conv2d)
    return {name: (values.double().mean() / values.double().std()).item() for name, values in inputs.items()}


@probe("input_skews@1")
def input_skews(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> skewness (third standardised moment) of the values that it receives, as for `input_means`."""
    result = {}
    for name, values in inputs_of(model, first_images(train), nn.Conv2d).items():
        centred = values.double() - values.double().mean()
        result[name] = (centred.pow(3).mean() / centred.square().mean().pow(1.5)).item()
    return result
