"""What probes measured, arranged for a question: the reach of gradients, accuracy under shifts."""

import numpy as np
import pandas as pd

from nbhelpers import tables


def reach(df: pd.DataFrame, probe: str = "gradient_norms@1", moment: str = "initial") -> pd.DataFrame:
    """A contrast: log10 of the first layer's number over the last convolution's, for each run that has the probe.

    df: runs. Convolutions of shortcuts are left out. Gradients that vanish on their way to the input have values far
    below 0.
    """
    found = tables.probe(df, probe, moment)
    inner = found[[name for name in found if name not in ("linear", "output") and "shortcut" not in name]]
    rows = df.loc[inner.index, [*df.attrs["labels"], "seed"]]
    first, last = (inner.apply(lambda run, end=end: run.dropna().iloc[end], axis=1) for end in (0, -1))
    rows = rows.assign(value=np.log10(first / last), images=None, at_chance="0").reset_index(drop=True)
    rows.attrs = {"labels": list(df.attrs["labels"])}
    return rows


def shifts(df: pd.DataFrame, probe: str = "shifted_accuracy@1") -> pd.DataFrame:
    """A row per run, shift and severity (from 1; 0: none): the labels, seed, shift, severity, value in per cent.

    "other normalisation" is a shift of severity 1.
    """
    found = tables.probe(df, probe)
    labels = [*df.attrs["labels"], "seed"]
    rows = df.loc[found.index, labels].join(found).melt(labels, var_name="shift").dropna(subset="value")
    parts = rows["shift"].str.extract(r"^(.*?)(?: (\d))?$")
    return rows.assign(shift=parts[0], severity=parts[1].fillna("1").astype(int))


def elsewhere(results: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Results by net with a column of what was published of it after other numbers of epochs: "95.12 (200 epochs)".

    For results that are of narrower nets or fewer images, and so are not to be compared number by number.
    """
    by_net = published.groupby("net", sort=False)
    said = {net: ", ".join(f"{v:.2f} ({e} epochs)" for v, e in zip(own["value"], own["epochs"], strict=True))
            for net, own in by_net}  # fmt: skip
    return results.assign(**{"published, of the whole net": results["net"].map(said).fillna("")})
