"""What a net looks for: its first kernels, the images that its channels like best, and what these tell of the class."""

import base64

import torch
from torch import nn

from nbhelpers.probes.registry import first_images, probe
from nbhelpers.run import Recipe
from nbhelpers.tensors import Images

CHANNELS, DEPTHS, STEPS = 6, 4, 96  # of `favourites`: channels of a layer, layers, steps uphill


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions of a net by name, from the input on."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


@probe("first_kernels@1")
def first_kernels(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> list:
    """The weights of the first convolution, of at most 32 output channels: (channels, inputs, side, side), rounded."""
    found = list(convolutions(model).values())
    weight = found[0].weight[:32].detach().cpu() if found else torch.empty(0)
    return [[[[round(v, 4) for v in row] for row in plane] for plane in kernel] for kernel in weight.tolist()]


@probe("favourites@1", at=("final",))
def favourites(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, dict]:
    """Convolution -> the images that excite the middle of its first channels most: activation maximisation.

    Four convolutions, evenly from the first to the last. From faint noise, 96 steps of Adam uphill on the output in the
    middle of the map, less a price on differences between neighbours, within the range of the training images (Erhan et
    al., *Visualizing higher-layer features of a deep network*, 2009; distill.pub/2017/feature-visualization). Each
    entry: shape (channels, C, H, W), and the pixels as base64 of bytes, stretched from that range to 0 ... 255.
    """
    model.eval().requires_grad_(False)
    layers = convolutions(model)
    names = [list(layers)[i] for i in torch.linspace(0, len(layers) - 1, min(DEPTHS, len(layers))).long().tolist()]
    low, high = train.images.amin().item(), train.images.amax().item()
    made = {}
    for name in names:
        count = min(CHANNELS, layers[name].out_channels)
        found: dict[str, torch.Tensor] = {}
        hook = layers[name].register_forward_hook(lambda _l, _i, output, found=found: found.update(value=output))
        noise = torch.randn((count, *train.images.shape[1:]), generator=torch.Generator().manual_seed(0))
        middle = (low + high) / 2
        image = (middle + 0.05 * (high - low) * noise).to(train.images.device).requires_grad_()
        optimizer = torch.optim.Adam([image], lr=0.03 * (high - low))
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(image)
            output, own = found["value"], torch.arange(count)
            excited = output[own, own, output.shape[2] // 2, output.shape[3] // 2].sum()
            rough = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
            (10 * rough - excited).backward()
            optimizer.step()
            with torch.no_grad():
                image.clamp_(low, high)
        hook.remove()
        pixels = ((image.detach().cpu() - low) / (high - low) * 255).round().to(torch.uint8).contiguous()
        made[name] = {"shape": list(pixels.shape), "pixels": base64.b64encode(pixels.numpy().tobytes()).decode()}
    return made


@probe("class_in_channels@1")
def class_in_channels(model: nn.Module, train: Images, test: Images, recipe: Recipe) -> dict[str, float]:
    """Convolution -> how much the class explains of the variance of a channel's mean output (η²), in per cent.

    The mean over its channels, on 500 training images; a channel that is the same for all images is left out.
    """
    part, found, hooks = first_images(train), {}, []

    def note(name: str):
        def hook(_layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
            found[name] = output.detach().relu().double().mean((2, 3)).cpu()

        return hook

    for name, layer in convolutions(model).items():
        hooks.append(layer.register_forward_hook(note(name)))
    model.eval()
    with torch.no_grad():
        model(part.images.clone())
    labels = part.labels.cpu()
    result = {}
    for name, values in found.items():
        within = torch.zeros(values.shape[1], dtype=torch.float64)
        for label in labels.unique():
            own = values[labels == label]
            within += (own - own.mean(0)).square().sum(0)
        total = (values - values.mean(0)).square().sum(0)
        result[name] = 100 * (1 - within[total > 0] / total[total > 0]).mean().item()
    return result
