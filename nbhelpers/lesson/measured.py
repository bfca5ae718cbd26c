"""What the probes of the lesson's runs found, as columns beside the accuracies."""

import pandas as pd

from nbhelpers import tables
from nbhelpers.lesson.pointwise import suppressed

PROBES = (  # of the nets that differ in activation, in stride, and of the one that is looked into
    ("gradient_norms@1", "input_zeros@1", "activation_time@1"),
    ("changed_by_a_shift@1", "inference_time@1", "fine_detail@1"),
    ("first_kernels@1", "favourites@1", "class_in_channels@1", "transfer@1", "background_channel@1"),
)


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
    """A row per run and length of the mark (pixels), with the share of marks that were told apart (per cent)."""
    return tables.probe_rows(df, "fine_detail@1", "mark", "mark_accuracy", "initial")


def transfers(df: pd.DataFrame) -> pd.DataFrame:
    """A row per run and number of frozen blocks, with the accuracy on new classes (per cent)."""
    return tables.probe_rows(df, "transfer@1", "frozen_blocks", "new_accuracy", "initial")


def noise(df: pd.DataFrame) -> pd.DataFrame:
    """`df` with `suppressed`: by how many per cent the share of the noise in the 1x1 weights fell."""
    return df.assign(suppressed=[suppressed(probes) for probes in df["probes"]])


def listed(values: pd.Series, form: str = "{value:.1f}% with {name}") -> str:
    """Named numbers in a row, for a title: "57.3% with 8, 60.1% with 32"."""
    return ", ".join(form.format(name=name, value=value) for name, value in values.items())
