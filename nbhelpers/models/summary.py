"""What a net is made of, layer by layer."""

from typing import Any

import torch
from torch import Tensor, nn


def summarise(model: nn.Module, shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    """A row per layer: name, type, output shape without the batch, parameters, and MACs for one image.

    MACs (multiply-accumulates) are counted in convolutions and linear layers only.
    """
    rows: list[dict[str, Any]] = []

    def note(name: str, layer: nn.Module):
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            macs = 0
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                macs = layer.weight.numel() * (output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1)
            parameters = sum(p.numel() for p in layer.parameters(recurse=False))
            rows.append(
                {"layer": name, "type": type(layer).__name__, "output": tuple(output.shape[1:])}
                | {"parameters": parameters, "macs": macs}
            )

        return hook

    leaves = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note(name, layer)) for name, layer in leaves]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            parameter = next(model.parameters())
            model(torch.zeros((1, *shape), device=parameter.device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return rows
