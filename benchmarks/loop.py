"""How fast the training loop is on a CPU, at the sizes of studies 1 to 5: ``python benchmarks/loop.py``.

textbook   the loop of the original notebooks: one PIL image after the other, ToTensor and Normalize per image (of a
           ResNet RandomCrop and RandomHorizontalFlip before them), a DataLoader with 0 or with 2 workers, a plain
           optimizer, malloc as it is
nbhelpers  `train_epoch`, with the malloc settings of the package
bound      the same net, optimizer and settings, stepping on one fixed batch: what no loading could beat

Each variant lives in a process of its own. A round times each once, one after the other and never two at once;
reported are medians over the rounds, after one to warm up. The images are random, and as many as make whole
batches, so that all steps are equal. Results go to loop.json, loop.md and loop.png; ``--only`` replaces its rows there.
"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import side_by_side as bench
from nets import Shape, shapes, training
from side_by_side import Loop, Row, Variant

from nbhelpers import estimate

THREADS = 2
MATMUL = 3072  # rows and columns of the matrices whose product stands for the peak
VARIANTS = ("textbook", "2 workers", "nbhelpers", "bound")
PLAIN = {"NBHELPERS_MALLOC": "default"}  # malloc as it is


@dataclass
class Pictures:
    """A Dataset in the manner of torchvision's."""

    pixels: np.ndarray
    labels: np.ndarray
    transform: Callable | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[i])), int(self.labels[i])


def textbook(shape: Shape, workers: int) -> Loop:
    """The loop as the original notebooks write it."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import transforms

    torch.set_num_threads(THREADS)
    chain = [transforms.Resize((shape.size, shape.size))] if shape.size != 32 else []
    if shape.augment:
        chain += [transforms.RandomCrop(32, padding=4, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
    chain += [transforms.ToTensor(), *([transforms.Normalize(**shape.scaling)] if shape.scaling else [])]
    dataset, model = Pictures(*shape.random(side=32), transforms.Compose(chain)), shape.build()
    for layer in model.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    recipe, criterion = shape.recipe, nn.CrossEntropyLoss()
    kind, more = torch.optim.SGD, {"momentum": recipe.momentum}
    if recipe.optimizer == "adamw":
        kind, more = torch.optim.AdamW, {}
    optimizer = kind(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, **more)

    def loop(epochs: int, steps: int) -> None:
        sampler = RandomSampler(dataset, num_samples=steps * recipe.batch_size)
        start = "fork" if workers and platform.system() == "Linux" else None  # as in a notebook
        loader = DataLoader(
            dataset, recipe.batch_size, sampler=sampler, num_workers=workers, multiprocessing_context=start
        )
        for _ in range(epochs):
            model.train()
            total, hits = 0.0, 0
            for images, targets in loader:
                optimizer.zero_grad()
                outputs = model(images)
                loss = criterion(outputs, targets)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(targets)
                hits += (outputs.argmax(1) == targets).sum().item()

    return loop


def matmul() -> Loop:
    """One large product of matrices: how fast this processor can be."""
    import torch

    torch.set_num_threads(THREADS)
    a = torch.randn(MATMUL, MATMUL)
    return lambda epochs, steps: [a @ a for _ in range(epochs * steps)]


def compare(shape: Shape, rounds: int, seconds: float) -> Row:
    """Time all variants of a shape in turn: a row of the table."""
    variants = {
        "textbook": Variant(textbook, (shape, 0), shape.epoch, PLAIN),
        "2 workers": Variant(textbook, (shape, 2), shape.epoch, PLAIN),
        "nbhelpers": Variant(training, (shape, THREADS), shape.epoch),
        "bound": Variant(training, (shape, THREADS, True), shape.epoch),
        "matmul": Variant(matmul, (), shape.epoch),
    }
    print(f"{shape.name} ...", file=sys.stderr, flush=True)
    found = bench.in_turn(variants, rounds, seconds)
    step = {name: one["seconds_per_step"] for name, one in found.items()}
    layers = estimate.layer_rows(shape.model, (3, shape.size, shape.size), shape.classes)
    flop = 6 * sum(layer["macs"] for layer in layers) * shape.recipe.batch_size
    peak = 2 * MATMUL**3 / step["matmul"]
    return {
        "name": shape.name,
        "batch_size": shape.recipe.batch_size,
        "gflop_per_step": flop / 1e9,
        "matmul_gflops": peak / 1e9,
        "variants": {n: found[n] | {"share_of_matmul": flop / step[n] / peak} for n in VARIANTS},
        "speedup": step["textbook"] / step["nbhelpers"],
        "speedup_over_2_workers": step["2 workers"] / step["nbhelpers"],
        "share_of_bound": step["bound"] / step["nbhelpers"],
        "target": {"speedup": shape.speedup, "share_of_bound": shape.share},
        "machine": bench.machine(THREADS),
    }


def verdict(found: float, target: float | None) -> str:
    """The target, and whether the two decimals that are shown reach it."""
    return "–" if target is None else f"{target:g} {'✓' if round(found, 2) >= target else '✗'}"


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    head = ["Shape", *(f"{v}, ms" for v in VARIANTS), "Speed-up", "to reach", "over 2 workers"]
    head += ["Share of the bound", "to reach", "Share of the matmul", f"Peak memory, MiB ({', '.join(VARIANTS)})"]
    lines = []
    for row in rows:
        found, target = list(row["variants"].values()), row["target"]
        cells = [row["name"], *(bench.cell(v, 1000, "seconds_per_step", 4) for v in found)]
        cells += [f"{row['speedup']:.2f}", verdict(row["speedup"], target["speedup"])]
        cells += [f"{row['speedup_over_2_workers']:.2f}", f"{row['share_of_bound']:.2f}"]
        cells += [verdict(row["share_of_bound"], target["share_of_bound"])]
        cells += [f"{row['variants']['nbhelpers']['share_of_matmul']:.0%}"]
        lines.append([*cells, ", ".join(str(v["peak_mib"]) for v in found)])
    peaks = [row["matmul_gflops"] for row in rows]
    rate = f"The product of two {MATMUL}×{MATMUL} matrices runs at {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s."
    rounds = (
        f"Milliseconds per step: median (quartiles) of {min(row['variants']['bound']['n'] for row in rows)} rounds."
    )
    return f"{bench.about(rows)}. {rounds} {rate}\n\n{bench.table(head, lines)}"


def figure(rows: list[Row]) -> Any:
    series = {"over the textbook": [row["speedup"] for row in rows]}
    series["over the textbook with 2 workers"] = [row["speedup_over_2_workers"] for row in rows]
    names, targets = [row["name"] for row in rows], [row["target"]["speedup"] for row in rows]
    return bench.bars(names, series, "speed-up (times)", "Speed-up of the training step", targets=targets)


def main() -> None:
    parser = bench.parser(__doc__, rounds=7, seconds=1.0)
    options, known = parser.parse_args(), {shape.name: shape for shape in shapes()}
    os.environ.pop("NBHELPERS_MALLOC", None)
    for name in bench.chosen(options, parser, list(known)):
        row = compare(known[name], options.rounds, options.seconds)
        bench.keep(options.out, "loop", list(known), row, table, figure)


if __name__ == "__main__":
    main()
