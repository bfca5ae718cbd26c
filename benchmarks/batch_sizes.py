"""Images per second of each study's net, and what the batch size costs: ``python benchmarks/batch_sizes.py``.

At one thread, as every run of a sweep has it: training with `train_epoch`, evaluation with `evaluate` in batches of
256, on random images. Every net and batch size has a process of its own; those of a group take turns, never two at
once. Results go to batch_sizes.json, batch_sizes.md and batch_sizes.png; ``--only`` replaces its rows there.
"""

from typing import Any

import side_by_side as bench
from nets import Shape, images, shapes, study2, training
from side_by_side import Loop, Row, Variant

from nbhelpers import estimate

SIZES = (2, 4, 8, 16, 32, 64, 128)
TESTED = 256  # images per batch of the evaluation
MOST = 4096  # images that a process holds, so that all fit in the memory of a small machine


def groups() -> dict[str, list[Shape]]:
    """What takes turns: study 2 at all batch sizes, and one net of each of the others."""
    others = [shape for shape in shapes() if not shape.name.startswith("study2")]
    return {"study2": [study2(norm, size) for norm in ("batch", "group") for size in SIZES], "nets": others}


def evaluation(shape: Shape, threads: int) -> Loop:
    """Evaluation of an untrained net: a step is a batch."""
    import torch

    from nbhelpers import tensors, train

    torch.set_num_threads(threads)
    model = shape.build()
    model.to(memory_format=train.layout(model))
    whole = images(shape, train.layout(model), TESTED)
    batch = tensors.Images(whole.images, whole.labels, whole.classes)

    def loop(epochs: int, steps: int) -> None:
        for _ in range(epochs * steps):
            train.evaluate(model, batch, TESTED)

    return loop


def measure(group: list[Shape], rounds: int, seconds: float):
    """A row for each shape of the group."""
    variants = {}
    for shape in group:
        steps = min(shape.epoch, MOST // shape.recipe.batch_size)
        variants[f"{shape.name}: training"] = Variant(training, (shape, 1, False, MOST), steps)
        variants[f"{shape.name}: evaluation"] = Variant(evaluation, (shape, 1), 1)
    found = bench.in_turn(variants, rounds, seconds)
    for shape in group:
        layers = estimate.layer_rows(shape.model, (3, shape.size, shape.size), shape.classes)
        step, tested = (found[f"{shape.name}: {what}"] for what in ("training", "evaluation"))
        per_step = step["seconds_per_step"]
        yield {
            "name": shape.name,
            "batch_size": shape.recipe.batch_size,
            "images": shape.images,
            "parameters": sum(layer["parameters"] for layer in layers),
            "macs": sum(layer["macs"] for layer in layers),
            "training": step,
            "evaluation": tested,
            "images_per_second": shape.recipe.batch_size / per_step,
            "tested_per_second": TESTED / tested["seconds_per_step"],
            "seconds_per_epoch": per_step * shape.images / shape.recipe.batch_size,
            "machine": bench.machine(1),
        }


def table(rows: list[Row]) -> str:
    head = ["Net", "Parameters", "MACs an image, million", "Batch", "Step, ms", "Images/s, training"]
    head += ["Seconds an epoch", "of images", "Images/s, evaluation"]
    lines = [
        [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:.2f}",
            str(row["batch_size"]),
            bench.cell(row["training"], 1000, "seconds_per_step"),
            f"{row['images_per_second']:,.0f}",
            bench.number(row["seconds_per_epoch"]),
            f"{row['images']:,}",
            f"{row['tested_per_second']:,.0f}",
        ]
        for row in rows
    ]
    n = min(row["training"]["n"] for row in rows)
    return f"{bench.about(rows)}. Median (quartiles) of {n} rounds.\n\n{bench.table(head, lines)}"


def figure(rows: list[Row]) -> Any:
    """Images per second along the batch size in study 2, and of the other nets as dots."""
    from nbhelpers.plots.style import colour, new, title_of

    drawn, (left, right) = new(11, 4.5, columns=2)
    for norm in ("batch", "group"):
        own = [row for row in rows if row["name"].startswith(f"study2, {norm}")]
        sizes, rate = [row["batch_size"] for row in own], [row["images_per_second"] for row in own]
        low, high = (
            [abs(row["batch_size"] / row["training"]["quartiles"][i] - row["images_per_second"]) for row in own]
            for i in (1, 0)
        )
        left.errorbar(sizes, rate, [low, high], marker="o", capsize=3, color=colour(norm), label=f"{norm} norm")
    left.set_xscale("log", base=2)
    left.set(xlabel="batch size", ylabel="images per second, training", ylim=(0, None))
    left.xaxis.set_major_formatter("{x:g}")
    left.legend()
    others = [row for row in rows if not row["name"].startswith("study2")]
    right.plot([row["images_per_second"] for row in others], [row["name"] for row in others], "o")
    right.margins(0.15)
    right.invert_yaxis()
    right.grid(False, axis="y")
    if others:
        right.set_xscale("log")
    right.set_xlabel("images per second, training")
    title_of(drawn, "Images per second at one thread: study 2 by batch size, and one net of each other study")
    return drawn


def main() -> None:
    parser = bench.parser(__doc__, rounds=5, seconds=0.4)
    options, known = parser.parse_args(), groups()
    names = [shape.name for group in known.values() for shape in group]
    wanted = bench.chosen(options, parser, names)
    for group in known.values():
        if some := [shape for shape in group if shape.name in wanted]:
            for row in measure(some, options.rounds, options.seconds):
                bench.keep(options.out, "batch_sizes", names, row, table, figure)


if __name__ == "__main__":
    main()
