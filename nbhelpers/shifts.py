"""Test images as another camera, hand or file format would give them: five kinds of shift, five severities each.

After the corruptions of Hendrycks and Dietterich (arXiv:1903.12261), made anew here with torchvision and Pillow.
Severity goes from 1 to 5.
"""

import io

import numpy as np
import torch
from torch import Tensor

KINDS = ("brightness", "contrast", "noise", "blur", "JPEG")
SEVERITIES = (1, 2, 3, 4, 5)
ADDED = (0.08, 0.16, 0.24, 0.32, 0.40)  # to pixels in [0, 1]
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.2)  # factor towards the image's grey mean
NOISE = (0.04, 0.06, 0.08, 0.10, 0.14)  # standard deviation, for pixels in [0, 1]
BLUR = (0.4, 0.6, 0.8, 1.0, 1.3)  # standard deviation of the Gaussian, in pixels
QUALITY = (80, 65, 50, 30, 15)  # of the JPEG file


def shifted(images: Tensor, kind: str, severity: int) -> Tensor:
    """Images (N, C, H, W) uint8 on the CPU, shifted. ValueError for a kind or severity that there is not."""
    from torchvision.transforms.v2 import functional as F

    if kind not in KINDS or severity not in SEVERITIES:
        raise ValueError(f"{kind} {severity}: kinds are {', '.join(KINDS)}, severities 1 to 5")
    i = severity - 1
    if kind == "brightness":
        return _bytes(images / 255 + ADDED[i])
    if kind == "contrast":
        return F.adjust_contrast(images, CONTRAST[i])
    if kind == "noise":
        draws = torch.randn(images.shape, generator=torch.Generator().manual_seed(severity))
        return _bytes(images / 255 + NOISE[i] * draws)
    if kind == "blur":
        return F.gaussian_blur(images, kernel_size=7, sigma=BLUR[i])
    return torch.stack([_coded(image, QUALITY[i]) for image in images])


def _coded(image: Tensor, quality: int) -> Tensor:
    """An image (C, H, W) after it was written as a JPEG file and read again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).view(*image.shape[1:], -1).permute(2, 0, 1)


def _bytes(pixels: Tensor) -> Tensor:
    return (pixels * 255).round().clamp(0, 255).to(torch.uint8)
