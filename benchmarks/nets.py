"""What the benchmarks train: nets, images and recipes of the studies' `ran` sets, on random images."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from side_by_side import Loop

import nbhelpers as nb

CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}


@dataclass(frozen=True)
class Shape:
    """What is trained; the `speedup` over the textbook and the `share` of the bound that are to be reached."""

    name: str
    images: int
    model: Any
    recipe: nb.Recipe
    speedup: float | None = None
    share: float = 0.9
    classes: int = 10
    size: int = 32  # to which the textbook resizes its 32x32 images
    scaling: dict[str, tuple[float, ...]] = field(default_factory=CIFAR.copy)
    augment: tuple[str, ...] = ()

    @property
    def epoch(self) -> int:
        """Steps in an epoch."""
        return -(-self.images // self.recipe.batch_size)

    def data(self) -> nb.Data:
        return nb.Data(name="shapes", augment=self.augment, **self.scaling)

    def random(self, side: int | None = None, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels, as many as make whole batches, so that all steps are equal."""
        random, side = np.random.RandomState(0), side or self.size
        count = count or self.epoch * self.recipe.batch_size
        return random.randint(0, 256, (count, side, side, 3), dtype=np.uint8), random.randint(0, self.classes, count)

    def build(self):
        return nb.build(self.model, (3, self.size, self.size), self.classes, seed=0)


def convnet(norm: str):
    """The net of study 2."""
    given = {"group": {"name": "group", "groups": (4, 8, 8)}}.get(norm, norm)
    return nb.ConvNet(channels=(16, 32, 64), norm=given, pool=(1, 2, 3), head="flatten")


def study2(norm: str, size: int) -> Shape:
    recipe = nb.Recipe(lr=0.0195, momentum=0.91, epochs=10, batch_size=size)
    name = f"study2, {norm} norm, batch {size}"
    return Shape(name, 2000, convnet(norm), recipe, 2.0 if size >= 32 else None, 0.90)


def resnet(name: str) -> Shape:
    """The net of study 5, with crop and flip."""
    from nbhelpers.models.resnet import NAMED

    recipe = nb.Recipe(lr=0.02, momentum=0.9, weight_decay=5e-4, epochs=300, batch_size=64)
    return Shape(f"resnet, {name}", 50_000, NAMED[name], recipe, 2.0, 0.95, augment=("crop", "flip"))


def shapes() -> list[Shape]:
    """Networks, images and recipes, in fp32."""
    adamw = nb.Recipe(optimizer="adamw", lr=0.001, weight_decay=0.01, epochs=10, batch_size=512)
    found = [Shape(f"study1, {n} blocks", 3000, nb.ConvNet(channels=[32] * n), adamw, 2.2, 0.95) for n in (8, 4)]
    found += [study2(norm, size) for norm in ("batch", "group") for size in (2, 8, 32, 128)]
    net = nb.ConvNet(channels=(16, 32, 64, 128, 64, 32, 16, 10), pool=(2, 4, 6, 8), head="flatten")
    sgd = nb.Recipe(lr=0.0195, momentum=0.91, epochs=50, batch_size=256)
    found.append(Shape("study3", 5000, net, sgd, 1.7, 0.95))
    sgd = nb.Recipe(lr=0.01, epochs=20, batch_size=64)
    found.append(Shape("study4", 36000, nb.MLP(), sgd, 4.0, 0.80, classes=72, size=64, scaling={}))
    return [*found, resnet("resnet34"), resnet("resnet50")]


def images(shape: Shape, layout=None, most: int = 0):
    """The random images of a shape, at most so many, as a run has them: normalised, in the memory format of its net."""
    from dataclasses import replace

    import torch

    from nbhelpers import tensors

    pixels, labels = shape.random(count=most and min(most, shape.epoch * shape.recipe.batch_size))
    data = shape.data()
    made = tensors._images(pixels, labels, np.arange(len(labels)), shape.classes, data)
    made = made.to(torch.device("cpu"), layout or torch.contiguous_format)
    return replace(made, augment=data.augment, mean=data.mean, std=data.std)


def training(shape: Shape, threads: int, fixed: bool = False, most: int = 0) -> Loop:
    """`train_epoch` on the images of a shape, at most so many; or bare steps on their first batch, if `fixed`."""
    import torch
    from torch.nn import functional as F

    from nbhelpers import steps, tensors, train

    torch.set_num_threads(threads)
    model, recipe = shape.build(), shape.recipe
    layout = train.layout(model)
    model.to(memory_format=layout).train()
    whole = images(shape, layout, most)
    optimizer = steps.make_optimizer(model, recipe)
    scaler, cpu = torch.amp.GradScaler("cpu", enabled=False), torch.device("cpu")
    step = steps.Step(model, optimizer, scaler, recipe, cpu)
    x, y = whole.batch(torch.arange(recipe.batch_size))

    def bound(epochs: int, count: int) -> None:
        for _ in range(epochs * count):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    def loop(epochs: int, count: int) -> None:
        n = count * recipe.batch_size
        assert n <= len(whole)
        part = tensors.Images(whole.images[:n], whole.labels[:n], whole.classes, whole.augment, whole.mean, whole.std)
        for epoch in range(epochs):
            train.train_epoch(step, part, 0, epoch)

    return bound if fixed else loop
