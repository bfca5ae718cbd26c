"""What each activation costs against ReLU on a CPU with one thread: ``python benchmarks/activations.py``.

forward, backward   the activation alone on a tensor of 64 images, 64 channels, 16x16 pixels, channels last
a family's name     a whole training step of that reduced net: forward, backward and Adam, on one fixed batch

Each activation has a process of its own, set up as for a run: what has run before in a process can make a function of
torch many times as fast (`device.set_arithmetic` says which). A round times all activations one after the other,
never two at once, and a ratio is that of an activation's time to ReLU's of the same round, so that a slow minute of
the machine hits both. Times are CPU times: other processes add little to them. All are as `nbhelpers` runs them, in
torch's eager mode: an activation of several operations pays for each. Results go to activations.json, with every
round, and to activations.md, as medians with quartiles, and activations.png.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import side_by_side as bench
import torch
from torch.nn import functional as F

import nbhelpers as nb
from nbhelpers import train, workers, zoo
from nbhelpers.device import set_arithmetic
from nbhelpers.models import layers
from nbhelpers.models.families import KIN, family

BATCH, CHANNELS, SIDE = 64, 64, 16
ALONE = ("forward", "backward")


def alone(title: str) -> "Once":
    """Seconds of forward and of backward."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator).to(memory_format=torch.channels_last)
    module, x, up = layers.activation(zoo.ZOO[title].name, inplace=False), x.requires_grad_(), torch.ones_like(x)

    def once() -> dict[str, float]:
        x.grad = None
        start = time.process_time()
        y = module(x)
        middle = time.process_time()
        y.backward(up)
        return {"forward": middle - start, "backward": time.process_time() - middle}

    return once


def step(name: str, title: str) -> "Once":
    """Seconds of a training step."""
    recipe = nb.Recipe(optimizer="adam", lr=0.001, epochs=1, batch_size=BATCH)
    model = nb.build(family(name, zoo.ZOO[title].name), (3, 32, 32), 10, seed=0)
    model.to(memory_format=torch.channels_last).train()
    optimizer, generator = train.make_optimizer(model, recipe), torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    y = torch.arange(BATCH) % 10

    def once() -> dict[str, float]:
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        return {name: time.process_time() - start}

    return once


Once = Callable[[], dict[str, float]]
_made: dict[str, Once] = {}  # in the process of an activation


def prepare(title: str) -> None:
    """Make what is timed, in the process of an activation."""
    set_arithmetic("fp32", threads=1)
    _made.update({"alone": alone(title)} | {name: step(name, title) for name in KIN})


def follow_parent() -> None:
    workers.follow_parent()


def times(what: str, repeats: int) -> dict[str, float]:
    """Quantity -> seconds, the median of `repeats` in a row."""
    found = [_made[what]() for _ in range(repeats)]
    return {quantity: statistics.median(one[quantity] for one in found) for quantity in found[0]}


def measure(rounds: int, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Quantity -> title -> seconds in each round; the first, which warms up, is left out."""
    spawn = multiprocessing.get_context("spawn")
    workers = {title: ProcessPoolExecutor(1, spawn, follow_parent) for title in zoo.ZOO}
    found: dict[str, dict[str, list[float]]] = {}
    try:
        for title, worker in workers.items():
            worker.submit(prepare, title).result()
        for what in ("alone", *KIN):
            for number in range(rounds + 1):
                for title, worker in workers.items():
                    for quantity, seconds in worker.submit(times, what, repeats).result().items() if number else ():
                        found.setdefault(quantity, {}).setdefault(title, []).append(seconds)
                    if not number:
                        worker.submit(times, what, repeats).result()
                print(f"{what}: round {number} of {rounds}", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.shutdown(cancel_futures=True)
    return found


def summary(seconds: dict[str, dict[str, list[float]]], rounds: int) -> dict[str, Any]:
    """What is kept: ReLU's milliseconds, and all ratios to it."""
    ratios = {
        quantity: {t: [round(a / b, 4) for a, b in zip(s, found["ReLU"], strict=True)] for t, s in found.items()}
        for quantity, found in seconds.items()
    }
    return {
        "machine": bench.machine(torch.get_num_threads()),
        "rounds": rounds,
        "batch": BATCH,
        "tensor": [BATCH, CHANNELS, SIDE, SIDE],
        "relu_ms": {q: round(1000 * statistics.median(found["ReLU"]), 4) for q, found in seconds.items()},
        "ratios": ratios,
    }


def table(found: dict[str, Any]) -> str:
    """The ratios in Markdown: median and quartiles over the rounds."""
    machine, ratios = found["machine"], found["ratios"]
    lines = [["Activation", *(f"{q}{' step' if q in KIN else ''}" for q in ratios)], ["---"] + ["--:"] * len(ratios)]
    for title in zoo.ZOO:
        cells = [statistics.quantiles(ratios[q][title], n=4, method="inclusive") for q in ratios]
        lines.append([title, *(f"{middle:.2f} ({low:.2f}–{high:.2f})" for low, middle, high in cells)])
    relu = ", ".join(f"{q} {ms:g}" for q, ms in found["relu_ms"].items())
    about = f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}, {machine['date']}. "
    about += f"Times over ReLU's of the same round: median (quartiles) of {found['rounds']} rounds. "
    about += f"ReLU's milliseconds: {relu}."
    return "\n".join([about, "", *("| " + " | ".join(cells) + " |" for cells in lines)]) + "\n"


def figure(found: dict[str, Any]) -> Any:
    """The steps' medians as bars."""
    titles = list(zoo.ZOO)
    series = {f"{name} step": [statistics.median(found["ratios"][name][title]) for title in titles] for name in KIN}
    return bench.bars(titles, series, "time over ReLU's", "A training step with each activation, over that with ReLU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=5, help="in a row, of which the median counts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    if args.rounds < 3 or args.repeats < 1:
        parser.error("--rounds: at least 3; --repeats: at least 1")
    torch.set_num_threads(1)
    found = summary(measure(args.rounds, args.repeats), args.rounds)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "activations.json").write_text(json.dumps(found, indent=1) + "\n")
    bench.render(args.out, "activations", [found], lambda rows: table(*rows), lambda rows: figure(*rows))
    print(table(found))


if __name__ == "__main__":
    main()
