"""What the probes of the lesson's runs found, as columns beside the accuracies."""

import pandas as pd

from nbhelpers import contrasts, stats, tables
from nbhelpers.lesson.pointwise import noise_shares, suppressed

PROBES = (  # of the nets that differ in activation, in stride, and of the one that is looked into
    ("gradient_norms@1", "input_zeros@1", "activation_time@1"),
    ("changed_by_a_shift@1", "inference_time@1", "fine_detail@1"),
    ("first_kernels@1", "favourites@1", "class_in_channels@1", "transfer@1", "background_channel@1"),
)
UNITS = {"milliseconds": "ms"}  # of differences; all others are in points
TITLES = {  # of columns, as `short` shows them
    **{"test_accuracy": "test accuracy (%)", "zeros": "zeros in the maps (%)", "gradient": "first / last gradient"},
    **{"changed": "changed by a shift (%)", "milliseconds": "milliseconds an image"},
}
NO_GUESS = "No arm is at chance in every seed."


def activations(df: pd.DataFrame) -> pd.DataFrame:
    """`df` with `zeros`, the mean share (per cent) of zeros that the later convolutions receive, and `gradient`, the
    norm of the first layer's over that of the last one's at the start.
    """
    norms = tables.probe(df, "gradient_norms@1", "initial")
    zeros = tables.probe(df, "input_zeros@1").iloc[:, 1:].mean(axis=1)
    return df.assign(zeros=zeros, gradient=norms.iloc[:, 0] / norms.iloc[:, -1])


def nanoseconds(df: pd.DataFrame) -> pd.Series:
    """Activation -> the median over the runs of its time for each number, forward and backward."""
    return tables.probe(df, "activation_time@1", "initial").median()


def strides(df: pd.DataFrame) -> pd.DataFrame:
    """`df` with `changed`, the share (per cent) of images that a shift gives another class, and `milliseconds` for one
    image.
    """
    changed, time = (tables.probe(df, name).iloc[:, 0] for name in ("changed_by_a_shift@1", "inference_time@1"))
    return df.assign(changed=changed, milliseconds=time)


def details(df: pd.DataFrame) -> pd.DataFrame:
    """A row per run and length of the mark (pixels), with the share of marks that were told apart (per cent), and the
    arm, which is a stride, by name as `net`.
    """
    rows = tables.probe_rows(df, "fine_detail@1", "mark", "mark_accuracy", "initial")
    rows["net"] = "stride " + rows["arm"].astype(str)
    return rows


def transfers(df: pd.DataFrame) -> pd.DataFrame:
    """A row per run and number of frozen blocks, with the accuracy on new classes (per cent)."""
    return tables.probe_rows(df, "transfer@1", "frozen_blocks", "new_accuracy", "initial")


def noise(df: pd.DataFrame) -> pd.DataFrame:
    """`df` with `suppressed`: by how many per cent the share of the noise in the 1x1 weights fell."""
    return df.assign(suppressed=[suppressed(probes) for probes in df["probes"]])


def noise_table(df: pd.DataFrame) -> pd.DataFrame:
    """A row per run: the share of the noise in the 1x1 weights before and after training, and the test accuracy with
    the noise and without it, all in per cent.
    """
    rows = []
    for seed, probes in zip(df["seed"], df["probes"], strict=True):
        before, after = noise_shares(probes)
        row = {"seed": seed, "noise in the weights, before (%)": before, "after (%)": after}
        measured = probes["background_channel@1"]["initial"]
        row |= {"test accuracy with the noise": measured["accuracy"], "without": measured["accuracy without"]}
        rows.append(row)
    return pd.DataFrame(rows).round(1)


def level(df: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """A contrast: the measured `quantity` of the runs of one arm, per cent, for each seed."""
    contrast = contrasts.values(df, quantity)
    contrast.attrs["unit"] = "%"
    return contrast


def gap(df: pd.DataFrame, a, b, metric: str = "test_accuracy") -> pd.DataFrame:
    """A contrast: the metric of arm a minus that of arm b, for each seed, in the unit of the metric."""
    contrast = contrasts.paired(df, "arm", a, b, metric=metric)
    contrast.attrs["unit"] = UNITS.get(metric, "points")
    return contrast


def against(df: pd.DataFrame, reference: str, arm: str) -> tuple[pd.DataFrame, str]:
    """A row per other arm: what it has more than `reference`, paired by seed, in points, with its interval and n.

    And a sentence, whether that tells `arm` from the reference.
    """
    others = [arm for arm in dict.fromkeys(df["arm"]) if arm != reference]
    pairs = [_paired(df, arm, reference).assign(arm=arm) for arm in others]
    table = tables.means({"": pd.concat(pairs)}, "arm").drop(columns="difference")
    return table.rename(columns={"points": f"minus {reference}, points"}), lead(df, arm, reference)


def lead(df: pd.DataFrame, arm: str, reference: str) -> str:
    """By how much `arm` is ahead of `reference`, paired by seed, and whether that tells them apart, as a sentence."""
    ours = stats.interval(_paired(df, arm, reference)["value"])
    if ours.n < stats.LEAST_SEEDS:
        return f"{arm} minus {reference}: {ours.mean:+.1f} points, n = {ours.n}: too few seeds to tell them apart."
    word = "better" if ours.low > 0 else "worse" if ours.high < 0 else "neither better nor worse, as far as can be told"
    said = f"{arm} minus {reference}: {ours.mean:+.1f} points [{ours.low:.1f}, {ours.high:.1f}], n = {ours.n}"
    return f"{said}: {word}."


def _paired(df: pd.DataFrame, arm: str, reference: str) -> pd.DataFrame:
    """Differences of accuracies alone: a fault may have tested other images."""
    return contrasts.paired(df.drop(columns="correct", errors="ignore"), "arm", arm, reference)


def guesses(df: pd.DataFrame) -> str:
    """Which arms end at chance in all of their seeds, part by part, as a sentence: what they show is no difference."""
    labels = df.attrs["labels"]
    texts = df.astype(dict.fromkeys(labels, object))  # a label that no run has is a column of numbers
    guessed = contrasts.chance(texts.fillna(dict.fromkeys(labels, "")), labels=labels)
    lost = df.assign(lost=guessed["value"].to_numpy())
    whole = lost.groupby(labels, sort=False, dropna=False)["lost"].all().rename("lost").reset_index()
    found = [(part, own["lost"].sum(), len(own)) for part, own in whole.groupby("part", sort=False)]
    told = ", ".join(f"{n} of {arms} arms of {part}" for part, n, arms in found if n)
    return f"At chance in every seed, and so no sign of a difference: {told}." if told else NO_GUESS


def short(means: pd.DataFrame) -> pd.DataFrame:
    """The table for reading: its index as a column, `TITLES`, numbers that are not whole as text of three digits."""
    table = means.reset_index().rename(columns=TITLES)
    return table.assign(**{name: table[name].map("{:.3g}".format) for name in table.select_dtypes("float").columns})


def listed(values: pd.Series, form: str = "{value:.1f}% with {name}") -> str:
    """Named numbers in a row, for a title: "57.3% with 8, 60.1% with 32"."""
    return ", ".join(form.format(name=name, value=value) for name, value in values.items())
