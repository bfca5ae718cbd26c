"""How fast the training loop is on a CPU, at the sizes of studies 1 to 4: ``python benchmarks/loop.py``.

textbook   the loop of the original notebooks: one PIL image after the other, ToTensor and Normalize per image,
           a DataLoader with 0 or with 2 workers, a plain optimizer, malloc as it is
nbhelpers  `train_epoch`, with the malloc settings of the package
bound      the same net, optimizer and settings, stepping on one fixed batch: what no loading could beat

Each variant lives in a process of its own. A round times each once, one after the other and never two at once;
reported are medians over the rounds, after one to warm up. The images are random, and as many as make whole
batches, so that all steps are equal. Results go to loop.json and loop.md; ``--only`` replaces its shapes there.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import nbhelpers as nb
from nbhelpers import allocator, estimate

THREADS = 2
MATMUL = 3072  # rows and columns of the matrices whose product stands for the peak
VARIANTS = ("textbook", "2 workers", "nbhelpers", "bound", "matmul")
CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}


@dataclass(frozen=True)
class Shape:
    """What is trained; the `speedup` over the textbook and the `share` of the bound that are to be reached."""

    name: str
    images: int
    model: Any
    recipe: nb.Recipe
    speedup: float | None
    share: float
    classes: int = 10
    size: int = 32  # to which the textbook resizes its 32x32 images
    scaling: dict[str, tuple[float, ...]] = field(default_factory=CIFAR.copy)

    @property
    def epoch(self) -> int:
        return -(-self.images // self.recipe.batch_size)


def shapes() -> list[Shape]:
    """Networks, images and recipes of the `ran` parameter sets, in fp32."""
    adamw = nb.Recipe(optimizer="adamw", lr=0.001, weight_decay=0.01, epochs=10, batch_size=512)
    found = [Shape(f"study1, {n} blocks", 3000, nb.ConvNet(channels=[32] * n), adamw, 2.2, 0.95) for n in (8, 4)]
    for label, norm in (("batch", "batch"), ("group", {"name": "group", "groups": (4, 8, 8)})):
        net = nb.ConvNet(channels=(16, 32, 64), norm=norm, pool=(1, 2, 3), head="flatten")
        for size in (2, 8, 32, 128):
            sgd = nb.Recipe(lr=0.0195, momentum=0.91, epochs=10, batch_size=size)
            name = f"study2, {label} norm, batch {size}"
            found.append(Shape(name, 2000, net, sgd, 2.0 if size >= 32 else None, 0.90))
    net = nb.ConvNet(channels=(16, 32, 64, 128, 64, 32, 16, 10), pool=(2, 4, 6, 8), head="flatten")
    sgd = nb.Recipe(lr=0.0195, momentum=0.91, epochs=50, batch_size=256)
    found.append(Shape("study3", 5000, net, sgd, 1.7, 0.95))
    sgd = nb.Recipe(lr=0.01, epochs=20, batch_size=64)
    return [*found, Shape("study4", 36000, nb.MLP(), sgd, 4.0, 0.80, classes=72, size=64, scaling={})]


# ---------------------------------------------------------------- in the process of a variant

Loop = Callable[[int, int], Any]  # (epochs, steps of each)
_loop: Loop


def prepare(variant: str, shape: Shape) -> None:
    """Make the loop of a variant in this process."""
    import torch

    global _loop
    torch.set_num_threads(THREADS)
    plain = variant in ("textbook", "2 workers")
    assert plain != allocator.keep_freed_memory() or platform.system() != "Linux"
    random, count, side = np.random.RandomState(0), shape.epoch * shape.recipe.batch_size, 32 if plain else shape.size
    pixels = random.randint(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = random.randint(0, shape.classes, count)
    model = nb.build(shape.model, (3, shape.size, shape.size), shape.classes, seed=0)
    if variant == "matmul":
        a = torch.randn(MATMUL, MATMUL)

        def _loop(epochs: int, steps: int) -> list[torch.Tensor]:
            return [a @ a for _ in range(epochs * steps)]

    elif plain:
        _loop = textbook(shape, model, Pictures(pixels, labels), workers=0 if variant == "textbook" else 2)
    else:
        _loop = ours(shape, model, pixels, labels, fixed=variant == "bound")


def follow_parent() -> None:
    from nbhelpers import workers

    workers.follow_parent()


def measure(epochs: int, steps: int) -> tuple[float, int]:
    """Seconds per step over `epochs` epochs of `steps` steps, and the peak memory of this process so far in MiB."""
    started = time.perf_counter()
    _loop(epochs, steps)
    seconds = (time.perf_counter() - started) / (epochs * steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak >> (20 if platform.system() == "Darwin" else 10)


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


def textbook(shape: Shape, model, dataset: Pictures, workers: int) -> Loop:
    """The loop as the original notebooks write it."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import transforms

    chain = [transforms.Resize((shape.size, shape.size))] if shape.size != 32 else []
    chain += [transforms.ToTensor(), *([transforms.Normalize(**shape.scaling)] if shape.scaling else [])]
    dataset.transform = transforms.Compose(chain)
    for layer in model.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    recipe, criterion = shape.recipe, nn.CrossEntropyLoss()
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum)

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


def ours(shape: Shape, model, pixels: np.ndarray, labels: np.ndarray, fixed: bool) -> Loop:
    """`train_epoch` on the images as a run has them; or bare steps on their first batch, if `fixed`."""
    import torch
    from torch.nn import functional as F

    from nbhelpers import tensors, train

    recipe, layout = shape.recipe, train.layout(model)
    data, every = nb.Data(name="shapes", **shape.scaling), np.arange(len(labels))
    images = tensors._images(pixels, labels, every, shape.classes, data).to(torch.device("cpu"), layout)
    optimizer = train.make_optimizer(model.to(memory_format=layout).train(), recipe)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    x, y = images.batch(torch.arange(recipe.batch_size))

    def bound(epochs: int, steps: int) -> None:
        for _ in range(epochs * steps):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    def loop(epochs: int, steps: int) -> None:
        count = steps * recipe.batch_size
        part = tensors.Images(images.images[:count], images.labels[:count], images.classes)
        for epoch in range(epochs):
            train.train_epoch(model, part, optimizer, scaler, recipe, 0, epoch)

    return bound if fixed else loop


# ------------------------------------------------------------------------------ in the driver


def compare(shape: Shape, rounds: int, seconds: float) -> dict[str, Any]:
    """Time all variants of a shape in turn: a row of the table."""
    spawn = multiprocessing.get_context("spawn")
    workers = {variant: ProcessPoolExecutor(1, spawn, follow_parent) for variant in VARIANTS}
    ready, plans, times, memory = [], {}, {variant: [] for variant in VARIANTS}, {}
    try:
        for variant, worker in workers.items():
            os.environ["NBHELPERS_MALLOC"] = "default" if variant in VARIANTS[:2] else "keep"
            ready.append(worker.submit(prepare, variant, shape))
        for future in ready:
            future.result()
        for variant, worker in workers.items():
            first, _ = worker.submit(measure, 1, 2).result()  # slower than later ones
            trial = 2 if 10 * first > seconds else min(10, shape.epoch)
            steps = seconds / worker.submit(measure, 1, trial).result()[0]
            # Whole epochs, or some steps of one.
            plans[variant] = (round(steps / shape.epoch) or 1, min(shape.epoch, round(steps) or 1))
            worker.submit(measure, *plans[variant]).result()
        print(f"{shape.name}: all are warm, timing", file=sys.stderr, flush=True)
        for _ in range(rounds):
            for variant, worker in workers.items():
                step, memory[variant] = worker.submit(measure, *plans[variant]).result()
                times[variant].append(step)
    finally:
        for worker in workers.values():
            worker.shutdown(cancel_futures=True)
    quartiles = {variant: statistics.quantiles(times[variant], n=4, method="inclusive") for variant in VARIANTS}
    step = {variant: middle for variant, (_, middle, _) in quartiles.items()}
    layers = estimate.layer_rows(shape.model, (3, shape.size, shape.size), shape.classes)
    flop, peak = 6 * sum(layer["macs"] for layer in layers) * shape.recipe.batch_size, 2 * MATMUL**3 / step["matmul"]
    measured = {
        variant: {
            "seconds_per_step": step[variant],
            "quartiles": quartiles[variant][::2],
            "steps_per_round": plans[variant][0] * plans[variant][1],
            "share_of_matmul": flop / step[variant] / peak,
            "peak_mib": memory[variant],
        }
        for variant in VARIANTS[:4]
    }
    return {
        "shape": shape.name,
        "gflop_per_step": flop / 1e9,
        "matmul_gflops": peak / 1e9,
        "variants": measured,
        "speedup": step["textbook"] / step["nbhelpers"],
        "speedup_over_2_workers": step["2 workers"] / step["nbhelpers"],
        "share_of_bound": step["bound"] / step["nbhelpers"],
        "target": {"speedup": shape.speedup, "share_of_bound": shape.share},
        "rounds": rounds,
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    import torch

    from nbhelpers.device import describe

    found = {"processor": describe(torch.device("cpu")), "cores": os.cpu_count(), "threads": THREADS}
    found |= {"python": platform.python_version(), "torch": torch.__version__}
    return found | {"date": datetime.now(UTC).isoformat(timespec="seconds")}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = [
        "Shape",
        *(f"{v}, ms" for v in VARIANTS[:4]),
        "Speed-up",
        "to reach",
        "over 2 workers",
        "Share of the bound",
    ]
    head += ["to reach", "Share of the matmul", f"Peak memory, MiB ({', '.join(VARIANTS[:4])})"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)]
    for row in rows:
        found, target = list(row["variants"].values()), row["target"]
        cells = [row["shape"], *(f"{1000 * v['seconds_per_step']:.4g}" for v in found), f"{row['speedup']:.2f}"]
        cells += [f"{target['speedup'] or '–'}", f"{row['speedup_over_2_workers']:.2f}", f"{row['share_of_bound']:.2f}"]
        cells += [f"{target['share_of_bound']:.2f}", f"{row['variants']['nbhelpers']['share_of_matmul']:.0%}"]
        lines.append([*cells, ", ".join(str(v["peak_mib"]) for v in found)])
    first, peak = rows[0]["machine"], statistics.median(row["matmul_gflops"] for row in rows)
    about = f"{first['processor']}, {first['cores']} cores, {THREADS} threads, torch {first['torch']}, {first['date']}."
    about += f" The product of two {MATMUL}×{MATMUL} matrices runs at {peak:.0f} GFLOP/s."
    return "\n".join([about, "", *("| " + " | ".join(cells) + " |" for cells in lines)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one variant in one round")
    parser.add_argument("--only", nargs="+", default=[""], metavar="SHAPE", help="shapes whose name begins so")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    known = shapes()
    chosen = [shape for shape in known if shape.name.startswith(tuple(args.only))]
    if not chosen or args.rounds < 2:
        parser.error(f"--rounds: at least 2; --only: known are {'; '.join(shape.name for shape in known)}")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "loop.json"
    rows = {row["shape"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for shape in chosen:
        rows[shape.name] = compare(shape, args.rounds, args.seconds)
        ordered = [rows[shape.name] for shape in known if shape.name in rows]
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        (args.out / "loop.md").write_text(table(ordered))
        print(table([rows[shape.name]]), flush=True)


if __name__ == "__main__":
    main()
