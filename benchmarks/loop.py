"""How fast the training loop is, at the sizes of studies 1 to 4 on a CPU: ``python benchmarks/loop.py``.

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
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import nbhelpers as nb
from nbhelpers import allocator, estimate

THREADS = 2
MATMUL = 4096  # rows and columns of the product that stands for the peak
CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
VARIANTS = ("textbook", "textbook, 2 workers", "nbhelpers", "bound", "matmul")


@dataclass(frozen=True)
class Shape:
    """The nets, images and recipe of a study; `speedup` over the textbook and `share` of the bound to reach."""

    name: str
    model: Any
    recipe: nb.Recipe
    images: int
    speedup: float | None
    share: float
    scaling: dict[str, tuple[float, ...]]
    size: int = 32  # to which the textbook resizes its 32x32 images
    classes: int = 10

    @property
    def epoch(self) -> int:
        return -(-self.images // self.recipe.batch_size)


def shapes() -> list[Shape]:
    found = []
    for blocks in (8, 4):
        recipe = nb.Recipe(optimizer="adamw", lr=0.001, weight_decay=0.01, epochs=10, batch_size=512)
        model = nb.ConvNet(channels=[32] * blocks)
        found.append(Shape(f"study1, {blocks} blocks", model, recipe, 3000, 2.2, 0.95, CIFAR))
    for norm in ("batch", {"name": "group", "groups": (4, 8, 8)}):
        model = nb.ConvNet(channels=(16, 32, 64), norm=norm, pool=(1, 2, 3), head="flatten")
        for size in (2, 8, 32, 128):
            recipe = nb.Recipe(lr=0.0195, momentum=0.91, epochs=10, batch_size=size)
            name = f"study2, {'group' if isinstance(norm, dict) else norm} norm, batch {size}"
            found.append(Shape(name, model, recipe, 2000, 2.0 if size >= 32 else None, 0.90, CIFAR))
    model = nb.ConvNet(channels=(16, 32, 64, 128, 64, 32, 16, 10), pool=(2, 4, 6, 8), head="flatten")
    recipe = nb.Recipe(lr=0.0195, momentum=0.91, epochs=50, batch_size=256)
    found.append(Shape("study3", model, recipe, 5000, 1.7, 0.95, CIFAR))
    recipe = nb.Recipe(lr=0.01, epochs=20, batch_size=64)
    found.append(Shape("study4", nb.MLP(), recipe, 36000, 4.0, 0.80, {}, size=64, classes=72))
    return found


# ---------------------------------------------------------------- in the process of a variant

Loop = Callable[[int, int], None]  # (epochs, steps of each)
_loop: Loop


def prepare(variant: str, shape: Shape) -> dict[str, Any]:
    """Make the variant's loop in this process; return what describes the process."""
    import torch

    from nbhelpers.device import describe

    global _loop
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    if variant == "matmul":
        a = torch.randn(MATMUL, MATMUL)
        _loop = lambda epochs, steps: [a @ a for _ in range(epochs * steps)]  # noqa: E731
    else:
        side = 32 if variant.startswith("textbook") else shape.size
        random, count = np.random.RandomState(0), shape.epoch * shape.recipe.batch_size
        pixels = random.randint(0, 256, (count, side, side, 3), dtype=np.uint8)
        labels = random.randint(0, shape.classes, count)
        model = nb.build(shape.model, (3, shape.size, shape.size), shape.classes, seed=0)
        if variant.startswith("textbook"):
            _loop = textbook(shape, model, pixels, labels, workers=2 if "workers" in variant else 0)
        else:
            _loop = (ours if variant == "nbhelpers" else bound)(shape, model, pixels, labels)
    return {"processor": describe(torch.device("cpu")), "torch": torch.__version__}


def measure(epochs: int, steps: int) -> tuple[float, float]:
    """Seconds per step of `epochs` epochs of `steps` steps, and the peak memory of this process so far in MiB."""
    started = time.perf_counter()
    _loop(epochs, steps)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds / (epochs * steps), peak / (1024 if platform.system() == "Linux" else 1024**2)


def textbook(shape: Shape, model, pixels: np.ndarray, labels: np.ndarray, workers: int) -> Loop:
    import torch
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, RandomSampler
    from torchvision import transforms

    assert os.environ.get("NBHELPERS_MALLOC") == "default"
    for layer in model.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    chain = [transforms.Resize((shape.size, shape.size))] if shape.size != 32 else []
    chain.append(transforms.ToTensor())
    if shape.scaling:
        chain.append(transforms.Normalize(**shape.scaling))
    transform = transforms.Compose(chain)
    recipe, criterion = shape.recipe, nn.CrossEntropyLoss()
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum)

    class Pictures(Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, i: int):
            return transform(Image.fromarray(pixels[i])), int(labels[i])

    def loop(epochs: int, steps: int) -> None:
        sampler = RandomSampler(dataset := Pictures(), num_samples=steps * recipe.batch_size)
        loader = DataLoader(dataset, batch_size=recipe.batch_size, sampler=sampler, num_workers=workers)
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


def ours(shape: Shape, model, pixels: np.ndarray, labels: np.ndarray) -> Loop:
    import torch

    from nbhelpers.tensors import Images
    from nbhelpers.train import make_optimizer, train_epoch

    train, recipe = loaded(shape, model, pixels, labels), shape.recipe
    optimizer, scaler = make_optimizer(model, recipe), torch.amp.GradScaler("cpu", enabled=False)

    def loop(epochs: int, steps: int) -> None:
        count = steps * recipe.batch_size
        part = Images(train.images[:count], train.labels[:count], train.classes)
        for epoch in range(epochs):
            train_epoch(model, part, optimizer, scaler, recipe, 0, epoch)

    return loop


def bound(shape: Shape, model, pixels: np.ndarray, labels: np.ndarray) -> Loop:
    import torch
    from torch.nn import functional as F

    from nbhelpers.train import make_optimizer

    size = shape.recipe.batch_size
    x, y = loaded(shape, model, pixels[:size], labels[:size]).batch(torch.arange(size))
    optimizer = make_optimizer(model, shape.recipe)
    model.train()

    def loop(epochs: int, steps: int) -> None:
        for _ in range(epochs * steps):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    return loop


def loaded(shape: Shape, model, pixels: np.ndarray, labels: np.ndarray):
    """The images as a run has them; the model is brought into their memory format."""
    import torch

    from nbhelpers import tensors
    from nbhelpers.train import layout

    assert allocator.keep_freed_memory() or platform.system() != "Linux"
    data = nb.Data(name="shapes", **shape.scaling)
    images = tensors._images(pixels, labels, np.arange(len(labels)), shape.classes, data)
    model.to(memory_format=layout(model))
    return images.to(torch.device("cpu"), layout(model))


# ------------------------------------------------------------------------------ in the driver


def compare(shape: Shape, rounds: int, seconds: float) -> dict[str, Any]:
    """Time all variants of a shape in turn: a row of the table."""
    workers, plans = {}, {}
    try:
        for variant in VARIANTS:
            os.environ["NBHELPERS_MALLOC"] = "default" if variant.startswith("textbook") else "keep"
            workers[variant] = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            described = workers[variant].submit(prepare, variant, shape).result()
        for variant, worker in workers.items():
            worker.submit(measure, 1, 2).result()  # the first steps are slow
            step = worker.submit(measure, 1, min(shape.epoch, 10)).result()[0]
            plans[variant] = plan(seconds / step, shape.epoch)
            worker.submit(measure, *plans[variant]).result()
        load = os.getloadavg()[0]
        times = {variant: [] for variant in workers}
        memory = {}
        for _ in range(rounds):
            for variant, worker in workers.items():
                step, memory[variant] = worker.submit(measure, *plans[variant]).result()
                times[variant].append(step)
    finally:
        for worker in workers.values():
            worker.shutdown(cancel_futures=True)
    low, middle, high = zip(*(statistics.quantiles(t, n=4, method="inclusive") for t in times.values()), strict=True)
    median = dict(zip(times, middle, strict=True))
    layers = estimate.layer_rows(shape.model, (3, shape.size, shape.size), shape.classes)
    flop = 3 * 2 * sum(layer["macs"] for layer in layers) * shape.recipe.batch_size
    peak = 2 * MATMUL**3 / median["matmul"]
    return {
        "shape": shape.name,
        "batch": shape.recipe.batch_size,
        "gflop_per_step": flop / 1e9,
        "matmul_gflops": peak / 1e9,
        "variants": {
            variant: {
                "seconds_per_step": median[variant],
                "quartiles": [low[i], high[i]],
                "steps_per_round": plans[variant][0] * plans[variant][1],
                "matmul_share": flop / median[variant] / peak,
                "peak_mib": round(memory[variant]),
            }
            for i, variant in enumerate(times)
            if variant != "matmul"
        },
        "speedup": median["textbook"] / median["nbhelpers"],
        "speedup_2_workers": median["textbook, 2 workers"] / median["nbhelpers"],
        "bound_share": median["bound"] / median["nbhelpers"],
        "target": {"speedup": shape.speedup, "bound_share": shape.share},
        "rounds": rounds,
        "machine": described | {
            "cores": os.cpu_count(),
            "threads": THREADS,
            "python": platform.python_version(),
            "load_at_start": round(load, 2),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }  # fmt: skip


def plan(steps: float, epoch: int) -> tuple[int, int]:
    """(epochs, steps of each) of about `steps` steps: whole epochs, or at least 2 steps of one."""
    return (round(steps / epoch), epoch) if steps >= epoch else (1, max(2, round(steps)))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    first, short = rows[0]["machine"], ("textbook", "2 workers", "nbhelpers", "bound")
    lines = [
        f"{first['processor']}, {first['cores']} cores, torch {first['torch']}, {THREADS} threads, {first['date'][:10]}; "
        f"{MATMUL}³ matmul {statistics.median(row['matmul_gflops'] for row in rows):.0f} GFLOP/s.",
        "",
        "| Shape | " + " | ".join(f"{name}, ms" for name in short) + " | Speed-up | to reach | over 2 workers "
        "| Share of bound | to reach | Share of matmul | Peak memory, MiB: " + " / ".join(short) + " |",
        "| --- |" + " --: |" * 11,
    ]
    for row in rows:
        found, target = list(row["variants"].values()), row["target"]
        cells = [f"{1000 * v['seconds_per_step']:.4g}" for v in found]
        cells += [f"{row['speedup']:.2f}", f"{target['speedup'] or '–'}", f"{row['speedup_2_workers']:.2f}"]
        cells += [f"{row['bound_share']:.2f}", f"{target['bound_share']:.2f}", f"{found[2]['matmul_share']:.0%}"]
        cells += [" / ".join(str(v["peak_mib"]) for v in found)]
        lines.append(f"| {row['shape']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one variant in one round")
    parser.add_argument("--only", nargs="+", default=[""], metavar="SHAPE", help="shapes whose name begins so")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    chosen = [shape for shape in shapes() if shape.name.startswith(tuple(args.only))]
    if not chosen or args.rounds < 2:
        parser.error(f"--only: known are {'; '.join(s.name for s in shapes())}. --rounds: at least 2")
    path = args.out / "loop.json"
    rows = {row["shape"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for shape in chosen:
        rows[shape.name] = compare(shape, args.rounds, args.seconds)
        print(table([rows[shape.name]]), flush=True)
        ordered = [rows[s.name] for s in shapes() if s.name in rows]
        args.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        (args.out / "loop.md").write_text(table(ordered))


if __name__ == "__main__":
    main()
