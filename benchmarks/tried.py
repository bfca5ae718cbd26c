"""What could make a training step faster, switched on or off one at a time: ``python benchmarks/tried.py``.

Each change has a process of its own and they take turns with the step as it is: an index gather, channels last where
there are convolutions, a fused optimizer, eager mode, malloc told to keep what is freed, one thread. A time ratio
above 1 says that the step would be slower with the change. Results go to tried.json, tried.md and tried.png.
"""

import shutil
from contextlib import nullcontext
from typing import Any

import side_by_side as bench
from nets import Shape, images, shapes
from side_by_side import Loop, Row, Variant

AS_IT_IS = "as it is"
AGAIN = "the same again"
CHANGES = {  # name: what is done instead
    AGAIN: "nothing: in another process",
    "malloc as it is": "glibc returns freed memory to the kernel",
    "contiguous": "no channels last",
    "plain optimizer": "a loop over the parameters",
    "foreach optimizer": "torch's default on a GPU",
    "DataLoader": "of a TensorDataset, image by image",
    "loss read each step": "`loss.item()` in the loop",
    "gradients zeroed": "`set_to_none=False`",
    "denormals flushed": "`torch.set_flush_denormal(True)`",
    "2 threads": "in one process",
    "bf16": "autocast to bfloat16",
    "compiled": "`torch.compile`, not counting the compilation",
}
TICKS = (0.25, 0.33, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4)
MOST = 4096  # images that a process holds: all processes of a row live at the same time
NETS = ("study1, 4 blocks", "study2, batch norm, batch 2", "study2, batch norm, batch 128", "study4")


def step(shape: Shape, change: str) -> Loop:
    """A training step with one change."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    from nbhelpers import steps, train

    torch.set_num_threads(2 if change == "2 threads" else 1)
    torch.set_flush_denormal(change == "denormals flushed")
    model, recipe = shape.build(), shape.recipe
    layout = torch.contiguous_format if change == "contiguous" else train.layout(model)
    model.to(memory_format=layout).train()
    whole = images(shape, layout, MOST)
    optimizer = steps.make_optimizer(model, recipe)
    if change in ("plain optimizer", "foreach optimizer"):
        kind, how = type(optimizer), {"foreach": change == "foreach optimizer", "fused": False}
        more = {} if recipe.optimizer == "adamw" else {"momentum": recipe.momentum}
        optimizer = kind(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, **more, **how)
    called = torch.compile(model) if change == "compiled" else model
    cast = torch.autocast("cpu", dtype=torch.bfloat16) if change == "bf16" else nullcontext()

    def batches(count: int):
        if change == "DataLoader":
            loader = DataLoader(TensorDataset(whole.images, whole.labels), recipe.batch_size, shuffle=True)
            return (pair for _, pair in zip(range(count), loader, strict=False))
        order = torch.randperm(len(whole))
        return (whole.batch(part) for part in order.split(recipe.batch_size)[:count])

    def loop(epochs: int, count: int) -> None:
        for _ in range(epochs):
            for x, y in batches(count):
                optimizer.zero_grad(set_to_none=change != "gradients zeroed")
                with cast:
                    loss = F.cross_entropy(called(x), y)
                loss.backward()
                optimizer.step()
                if change == "loss read each step":
                    loss.item()

    return loop


def compare(shape: Shape, rounds: int, seconds: float) -> Row:
    """The step of one net with each change: a row."""
    changes = [AS_IT_IS, *CHANGES]
    if not shutil.which("g++"):  # which torch.compile needs
        changes.remove("compiled")
    plain = {"NBHELPERS_MALLOC": "default"}
    steps = min(shape.epoch, MOST // shape.recipe.batch_size)
    variants = {c: Variant(step, (shape, c), steps, plain if c == "malloc as it is" else {}) for c in changes}
    found = bench.in_turn(variants, rounds, seconds)
    base = found[AS_IT_IS]["seconds_per_step"]
    ratios = {change: found[change]["seconds_per_step"] / base for change in changes}
    return {"name": shape.name, "steps": found, "ratios": ratios, "machine": bench.machine(1)}


def table(rows: list[Row]) -> str:
    head = ["Change", "Instead", *(row["name"] for row in rows)]
    first = [AS_IT_IS, "ms per step", *(bench.cell(r["steps"][AS_IT_IS], 1000, "seconds_per_step") for r in rows)]
    lines = [first]
    for change, what in CHANGES.items():
        cells = []
        for row in rows:
            found, base = row["steps"].get(change), row["steps"][AS_IT_IS]["seconds_per_step"]
            cells.append(bench.cell(found, 1 / base, "seconds_per_step") if found else "not possible here")
        lines.append([change, what, *cells])
    starts = [row["steps"]["compiled"]["first"] for row in rows if "compiled" in row["steps"]]
    compiled = f" Compiling and the first step took {min(starts):.0f} to {max(starts):.0f} s." if starts else ""
    n = min(row["steps"][AS_IT_IS]["n"] for row in rows)
    said = f"Times over those of the step as it is: median (quartiles) of {n} rounds; above 1 the change is slower."
    return f"{bench.about(rows)}. {said}{compiled}\n\n{bench.table(head, lines, text=2)}"


def quartiles(row: Row, change: str) -> list[float] | None:
    """Of a change's time, over the median of the step as it is; none where the change is not possible."""
    base = row["steps"][AS_IT_IS]["seconds_per_step"]
    return [end / base for end in row["steps"][change]["quartiles"]] if change in row["steps"] else None


def figure(rows: list[Row]) -> Any:
    series = {row["name"]: [row["ratios"].get(change) for change in CHANGES] for row in rows}
    ends = {row["name"]: [quartiles(row, change) for change in CHANGES] for row in rows}
    title = "Time of a training step with one change, over that of the step as it is"
    xlabel = "ratio of times, with quartiles; above 1 the change is slower"
    drawn = bench.bars(list(CHANGES), series, xlabel, title, ends=ends, log=True)
    axis = drawn.axes[0]
    axis.axvline(1, color="black", linewidth=1)
    low, high = axis.get_xlim()  # within a decade, where a logarithmic axis has few ticks
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    return drawn


def main() -> None:
    parser = bench.parser(__doc__, rounds=7, seconds=0.5)
    options = parser.parse_args()
    known = {shape.name: shape for shape in shapes() if shape.name in NETS}
    for name in bench.chosen(options, parser, list(NETS)):
        row = compare(known[name], options.rounds, options.seconds)
        bench.keep(options.out, "tried", NETS, row, table, figure)


if __name__ == "__main__":
    main()
