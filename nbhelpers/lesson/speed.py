"""How many times as fast one arm learns as another: epochs to the same training loss."""

import pandas as pd


def epochs_to(history: list[dict], loss: float) -> int | None:
    """The first epoch whose mean training loss is at most `loss`; None where there is none."""
    return next((row["epoch"] for row in history if float(row["train_loss"]) <= loss), None)


def speed_up(df: pd.DataFrame, column: str, fast, slow) -> pd.DataFrame:
    """A contrast: for each seed, the epochs of `slow` over those that `fast` takes to the last training loss of `slow`.

    Below 1 where `slow` is faster: then both change places, and the inverse is taken. df: runs with `history` and the
    label `column`. ValueError where no seed has both arms.
    """
    runs = {(value, seed): history for value, seed, history in df[[column, "seed", "history"]].to_numpy()}
    rows = []
    for seed in sorted({seed for value, seed in runs if value == fast} & {s for v, s in runs if v == slow}):
        quick, late = runs[fast, seed], runs[slow, seed]
        reached = epochs_to(quick, float(late[-1]["train_loss"]))
        if reached is not None:
            ratio = len(late) / reached
        else:
            ratio = epochs_to(late, float(quick[-1]["train_loss"])) / len(quick)
        rows.append({"seed": seed, "value": ratio, "images": None, "at_chance": "00"})
    if not rows:
        raise ValueError(f"no seed has both {column}={fast} and {column}={slow}")
    frame = pd.DataFrame(rows)
    frame.attrs = {"labels": [], "unit": "times"}
    return frame
