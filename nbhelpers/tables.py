"""Tables: DataFrames of runs in, DataFrames of text for a reader out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nbhelpers import contrasts, records, stats, told


def runs(planned: Sequence[tuple[str, Mapping[str, Any], int]], found: Mapping[str, dict]) -> pd.DataFrame:
    """A row per planned (key, labels, seed) with a record in `found`: labels, seed, then what the record holds.

    Accuracies are in per cent, losses in nats, `seconds` those of training; `correct` is an array with a 0 or 1 per
    test image, `history` a row per epoch, `probes` as recorded.
    """
    labels = list(dict.fromkeys(name for _, own, _ in planned for name in own))
    rows = []
    for key, own, seed in planned:
        if record := found.get(key):
            made, final = record["provenance"], record["final"]
            row = {name: own.get(name) for name in labels} | {"seed": seed}
            row |= {name: float(v) if isinstance(v, str) else v for name, v in final.items()}
            row |= {"seconds": sum(float(epoch["seconds"]) for epoch in record["history"]), "key": key}
            row |= {name: record[name] for name in ("status", "history", "probes")}
            row |= {name: made[name] for name in ("device", "hardware", "commit")}
            row |= {"torch": made["versions"]["torch"], "finished": made["finished"][:10]}
            rows.append(row | {"correct": records.unpack(record["correct"], final["test_images"])})
    frame = pd.DataFrame(rows)
    frame.attrs["labels"] = labels
    return frame


def part(df: pd.DataFrame, name: str | None, labels: Sequence[str]) -> pd.DataFrame:
    """The runs whose label `part` is `name` (None: all of `df`), with `labels` as their only labels.

    For a study whose parts have different labels: a label that a part lacks is empty there.
    """
    found = df if name is None or df.empty else df[df["part"] == name]
    frame = found.drop(columns=[label for label in df.attrs.get("labels", ()) if label not in labels])
    for label in labels if len(frame) else ():
        column = frame[label].infer_objects()
        whole = pd.api.types.is_float_dtype(column) and (column % 1 == 0).all()  # from a column with gaps
        frame[label] = column.astype(int) if whole else column
    frame.attrs = {"labels": list(labels)}
    return frame


def largest(frame: pd.DataFrame, quantity: str, value: str) -> pd.DataFrame:
    """A row per column of `frame` with its largest value."""
    text = {math.inf: "not finite"}
    values = [text.get(v) or f"{v:.2g}" for v in frame.max(skipna=False).fillna(math.inf)]
    return pd.DataFrame({quantity: frame.columns, value: values})


def results(
    df: pd.DataFrame,
    rows: Sequence[str],
    value: str = told.ACCURACY,
    published: pd.DataFrame | None = None,
    repeats: pd.DataFrame | None = None,
    compare: bool = True,
    name: str = "",
) -> pd.DataFrame:
    """A row per arm: n, mean, 95% interval, parameters, training seconds; the published value where there is one.

    df: runs. rows: the label columns that name an arm. published: tidy rows with the same labels, `value` and `n`;
    repeats: the published single runs behind them. "inside ± h" says that the published value lies within h of our
    mean, where a further run of ours would with 95% (mean ± t·sd·sqrt(1 + 1/n)), from three seeds on; where some of
    our seeds are at chance and some are not, whether the published value is. compare=False, where the images differ,
    leaves that out. name: of the value, in the head of its column.
    """
    made = []
    for labels, arm in df.groupby(list(rows), sort=False, dropna=False):
        row = dict(zip(rows, labels, strict=True)) | {"n": len(arm)}
        ours = contrasts.cell(arm, value, labels=list(rows))
        if isinstance(ours, contrasts.Mixed):
            row |= {"mean": str(ours), "95% interval": ""}
        else:
            row |= {"mean": f"{ours.mean:.2f}", "95% interval": _ends(ours, arm[value])}
        if published is not None:
            names = dict(zip(rows, labels, strict=True))
            row |= _published(names, arm if compare else arm[:0], value, published, repeats)
        row["parameters"] = f"{int(arm['parameters'].iloc[0]):,}"
        row["seconds"] = _seconds(arm)
        made.append(row)
    head = f"{name or value.replace('_', ' ')}, mean"
    return pd.DataFrame(made).rename(columns={"mean": head, "seconds": "seconds, median"})


def costs(df: pd.DataFrame, by: str) -> dict[str, pd.Series]:
    """The parameters and the median training seconds of each value of the label `by`, as text."""
    arms = df.groupby(by, sort=False)
    parameters = arms["parameters"].first().map("{:,}".format)
    return {"parameters": parameters, "seconds": pd.Series({value: _seconds(arm) for value, arm in arms})}


def _seconds(arm: pd.DataFrame) -> str:
    """The median, on each kind of device by itself: the seconds of a GPU are not those of a core."""
    if "device" not in arm or arm["device"].nunique() < 2:
        return f"{arm['seconds'].median():.1f}"
    return ", ".join(f"{own.median():.1f} ({place})" for place, own in arm.groupby("device")["seconds"])


def _ends(interval: stats.Interval, values: pd.Series) -> str:
    """The ends of the interval; of two seeds, whose interval says nothing, the two values."""
    if interval.n == 2:
        return "of 2 seeds: " + ", ".join(f"{value:.2f}" for value in values)
    return "" if interval.n < 2 else f"{interval.low:.2f} to {interval.high:.2f}"


def _published(
    labels: dict, arm: pd.DataFrame, value: str, published: pd.DataFrame, repeats: pd.DataFrame | None
) -> dict:
    theirs = _select(published, labels)
    if theirs.empty:
        return {"published": ""} | ({} if repeats is None else {"published runs": ""}) | {"published is": ""}
    number, n = float(theirs["value"].iloc[0]), int(theirs["n"].iloc[0])
    found = {"published": f"{number:.2f} (n = {n})"}
    if repeats is not None:
        found["published runs"] = "  ".join(f"{v:.2f}" for v in _select(repeats, labels)["value"])
    found["published is"] = ""
    if len(arm) < stats.LEAST_SEEDS:
        return found
    if isinstance(contrasts.cell(arm, value, labels=list(labels)), contrasts.Mixed):
        limit = stats.chance_limit(arm["classes"].iloc[0], arm["test_images"].iloc[0])
        return found | {"published is": "at chance too" if number <= limit else "not at chance"}
    values = contrasts.values(arm, value, list(labels))["value"]
    return found | {"published is": _where(number, values)}


def _where(number: float, values, minus=None) -> str:
    """How far a published number is from our mean, and whether one further run of ours would be as far.

    `minus`: of a gap between two arms that were not paired.
    """
    inside = stats.inside(number, values, minus, rounding=told.PRINTED)
    ours = stats.prediction(values, minus)
    half = ours.half_width
    if half < 1e-6:  # all of ours are equal, but for rounding
        return "as all of ours" if inside else "not as ours, all equal"
    off, where = number - ours.mean, "inside" if inside else "outside"
    side = "higher" if off >= 0 else "lower"
    if half < 0.05:
        return f"{abs(off):.1g} {side}: {where} ± {half:.1g}"
    return f"{abs(off):.2f} {side}: {where} ± {half:.1f}"


def _select(frame: pd.DataFrame, labels: dict) -> pd.DataFrame:
    for name, value in labels.items():
        frame = frame[frame[name] == value]
    return frame


def probe(df: pd.DataFrame, name: str, moment: str = "final") -> pd.DataFrame:
    """What a probe measured at `moment`: a row per run of `df` that has it, a column per layer or quantity."""
    having = df[[name in measured for measured in df["probes"]]]
    return pd.DataFrame([m[name][moment] for m in having["probes"]], index=having.index, dtype=float)


def probe_rows(df: pd.DataFrame, name: str, column: str, value: str, moment: str = "final") -> pd.DataFrame:
    """The runs of `df` that have the probe, once for each of its numbers: its name as a further label `column`.

    Names that are whole numbers become numbers; the measured number stands in `value`.
    """
    rows = []
    for _, run in df.iterrows():
        for key, number in run["probes"].get(name, {}).get(moment, {}).items():
            rows.append(run.to_dict() | {column: int(key) if key.isdigit() else key, value: float(number)})
    frame = pd.DataFrame(rows)
    frame.attrs = {"labels": [*df.attrs.get("labels", ()), column]}
    return frame


def probe_by_epoch(df: pd.DataFrame, name: str) -> pd.DataFrame:
    """What a probe measured at the start and after every epoch: a row per run of `df` that has it, epoch and layer.

    Columns: the labels, seed, epoch (0: the start), layer, value.
    """
    rows = []
    for _, run in df.iterrows():
        moments = run["probes"].get(name, {"epoch": ()})
        if "epoch" not in moments:
            raise ValueError(f"{name} is not measured after every epoch")
        measured = [moments["initial"], *moments["epoch"]] if "initial" in moments else []
        own = {label: run[label] for label in [*df.attrs["labels"], "seed"]}
        for epoch, layers in enumerate(measured):
            rows += [own | {"epoch": epoch, "layer": layer, "value": float(v)} for layer, v in layers.items()]
    return pd.DataFrame(rows, columns=[*df.attrs["labels"], "seed", "epoch", "layer", "value"])


def means(contrast: Mapping[str, pd.DataFrame], by: str) -> pd.DataFrame:
    """A row per named contrast and value of its label `by`: mean over seeds with its 95% interval, in points, and n.

    Where runs of some seeds are at chance and of others not, the mean is one of several modes and has no interval.
    """
    rows = []
    for name, frame in contrast.items():
        for value, part in frame.groupby(by, sort=False):
            rows.append({"difference": name, by: value} | _mean(part))
    return pd.DataFrame(rows)


def _mean(part: pd.DataFrame) -> dict[str, Any]:
    ours = stats.interval(part["value"])
    ends = "none: partly at chance" if contrasts.mixed(part) else _ends(ours, part["value"])
    return {"points": told.signed(ours.mean, 2), "95% interval": ends, "n": ours.n}


def gaps(
    df: pd.DataFrame,
    column: str,
    pairs: Sequence[tuple[str, str]],
    by: str | None = None,
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A row per pair of arms of `column`, and value of the label `by`: mean difference over paired seeds, interval, n.

    published: tidy rows with the same labels and `value`. Their difference stands beside ours where both arms have
    one. The published runs were not paired: "inside ± h" says that it lies within h of our mean, where the difference
    of two further runs with different seeds would with 95% (`stats.prediction`), from three seeds on and where no arm
    is partly at chance.
    """
    rows = []
    for one, other in pairs:
        gap = contrasts.paired(df, column, one, other)
        for value, part in gap.groupby(by, sort=False) if by else [(None, gap)]:
            own = {} if by is None else {by: value}
            row = {"difference": f"{one} − {other}"} | own | _mean(part)
            if published is not None:
                arms = [_select(df, own | {column: arm}) for arm in (one, other)]
                row |= _published_gap(arms, [_select(published, own | {column: arm}) for arm in (one, other)])
            rows.append(row)
    return pd.DataFrame(rows)


def _published_gap(arms: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame]) -> dict[str, str]:
    if any(frame.empty for frame in theirs):
        return {"published": "", "published is": ""}
    number = float(theirs[0]["value"].iloc[0] - theirs[1]["value"].iloc[0])
    few = min(map(len, arms)) < stats.LEAST_SEEDS
    known = not few and not any(contrasts.partly_at_chance(arm) for arm in arms)
    values = [contrasts.values(arm)["value"] for arm in arms]
    return {"published": told.signed(number, 2), "published is": _where(number, *values) if known else ""}


def beside(frames: Mapping[str, pd.DataFrame], by: str) -> pd.DataFrame:
    """The column `value` of several frames side by side, a row per value of their column `by`: whole numbers."""
    columns = {name: frame.set_index(by)["value"].map("{:,.0f}".format) for name, frame in frames.items()}
    return pd.concat(columns, axis=1).sort_index().fillna("").reset_index()


def side_by_side(
    frames: Mapping[str, pd.DataFrame],
    rows: Sequence[str],
    value: str = told.ACCURACY,
    published: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """The mean of `value` with its 95% interval for the arms of several sets: a row per arm, a column per set.

    published: tidy rows with the labels `rows` and `value`, for a column each, before those of the sets.
    """
    columns = {}
    for name, frame in frames.items():
        arms = frame.groupby(list(rows), sort=False) if not frame.empty else ()
        columns[name] = pd.Series({arm: _cell(contrasts.cell(own, value, labels=list(rows))) for arm, own in arms})
    recorded = {name: column for name, column in columns.items() if len(column)}
    if not recorded:
        return pd.DataFrame(columns=list(rows))
    table = pd.concat(recorded, axis=1)
    for place, (name, frame) in enumerate((published or {}).items()):
        theirs = {tuple(arm): f"{value:.2f}" for *arm, value in frame[[*rows, "value"]].itertuples(index=False)}
        table.insert(place, name, pd.Series(theirs))
    return table.fillna("").rename_axis(list(rows)).reset_index()


def _cell(ours: stats.Interval | contrasts.Mixed) -> str:
    if isinstance(ours, contrasts.Mixed):
        return str(ours)
    ends = f" [{ours.low:.2f}, {ours.high:.2f}]" if ours.n >= stats.LEAST_SEEDS else ""
    return f"{ours.mean:.2f}{ends}, n = {ours.n}"


def published(frame: pd.DataFrame, row: str, column: str) -> pd.DataFrame:
    """A published series as a grid: a row per value of `row`, a column per value of `column`."""
    return frame.pivot(index=row, columns=column, values="value").reset_index().rename_axis(columns=None)


def agreement(df: pd.DataFrame, rows: Sequence[str], published: pd.DataFrame, value: str = told.ACCURACY) -> str:
    """How many published values lie in our prediction intervals, of those that could be compared, as a sentence.

    An arm of which some seeds are at chance and some are not has no such interval: these are counted apart.
    """
    inside, mixed = [], 0
    for labels, arm in df.groupby(list(rows), sort=False, dropna=False):
        theirs = _select(published, dict(zip(rows, labels, strict=True)))
        if theirs.empty:
            continue
        if isinstance(contrasts.cell(arm, value, labels=list(rows)), contrasts.Mixed):
            mixed += 1
        elif len(arm) >= stats.LEAST_SEEDS:
            values = contrasts.values(arm, value, list(rows))["value"]
            inside.append(stats.inside(float(theirs["value"].iloc[0]), values, rounding=told.PRINTED))
    apart = (
        f" {told.count(mixed, 'arm')} {'is' if mixed == 1 else 'are'} partly at chance, without one." if mixed else ""
    )
    if not inside:
        return "No published value can be compared yet: it takes three seeds of ours." + apart
    return f"{sum(inside)} of {len(inside)} published values lie in our 95% prediction intervals." + apart


def agreement_by_epoch(df: pd.DataFrame, published: pd.DataFrame | None, value: str, name: str) -> str:
    """`agreement` of every epoch of one arm, as a sentence that begins with `name`; empty without `published`."""
    if published is None:
        return ""
    epochs = sorted({epoch["epoch"] for history in df["history"] for epoch in history})
    each = contrasts.at_epochs(df, epochs)
    return f"{name}, each epoch: {agreement(each, each.attrs['labels'], published, value)}"


def layers(rows: Sequence[Mapping[str, Any]], block: str = "") -> pd.DataFrame:
    """The rows of `models.summary.summarise` as text, with the sums of parameters and MACs.

    block: a regular expression; layers in a row whose names begin with the same match of it are one row.
    """
    frame = pd.DataFrame(rows)
    if block:
        name = frame["layer"].str.extract(f"^({block})", expand=False).fillna(frame["layer"])
        groups = frame.groupby(name, sort=False)
        kinds = groups["type"].agg(
            lambda types: ", ".join(f"{n} {t}" for t, n in types.value_counts(sort=False).items())
        )
        sums = groups[["parameters", "macs"]].sum()
        frame = pd.concat(
            [kinds.where(groups.size() > 1, groups["type"].last()), groups["output"].last(), sums], axis=1
        )
        frame = frame.rename_axis("layer").reset_index()
    total = {"layer": "sum", "type": "", "output": "", "parameters": frame.parameters.sum(), "macs": frame.macs.sum()}
    frame = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    frame["output"] = ["×".join(map(str, o)) if o else "" for o in frame["output"]]
    return frame.assign(parameters=frame.parameters.map("{:,}".format), macs=frame.macs.map("{:,}".format))


def verdicts(judged) -> pd.DataFrame:
    """A row per claim: what it says, the region fixed for it, the verdict, and the numbers that decided it."""
    return pd.DataFrame(
        [{"claim": v.text, "region": v.region_text, "verdict": v.verdict, "decided by": v.sentence} for v in judged]
    )


def expected_errors(judged) -> str:
    """How many wrong verdicts are to be expected at most, as a sentence."""
    decided = [verdict for verdict in judged if verdict.verdict in ("holds", "fails")]
    wrong = sum(verdict.alpha / 2 for verdict in decided)
    counts = f"{len(judged)} claims, {len(decided)} decided; at most {wrong:.3g} wrong verdicts are to be expected."
    return f"{counts} The regions were fixed knowing the published numbers, not ours."


def at_chance(df: pd.DataFrame, rows: Sequence[str], published: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per run that ended at chance or diverged: its arm and seed, its largest and its last training loss.

    A test accuracy is at chance where it is within three standard deviations of that of a uniform guess. published:
    training losses by epoch, with the labels `rows`; the published run of an arm stands below those of ours.
    """
    made = []
    for labels, arm in df.groupby(list(rows), sort=False, dropna=False):
        frame, own = contrasts.chance(arm, labels=list(rows)), dict(zip(rows, labels, strict=True))
        lost = arm[frame["value"].to_numpy(bool)]
        for _, run in lost.iterrows():
            course = {row["epoch"]: float(row["train_loss"]) for row in run["history"]}
            made.append(own | {"seed": run["seed"], "status": run["status"]} | _course(course, run["classes"]))
        theirs = _select(published, own) if published is not None and len(lost) else ()
        if len(theirs):
            course = dict(zip(theirs["epoch"], theirs["value"], strict=True))
            made.append(own | {"seed": "", "status": "published"} | _course(course, lost["classes"].iloc[0]))
    return pd.DataFrame(made)


def _course(course: Mapping[int, float], classes: int) -> dict[str, Any]:
    """The largest loss, of which no number is the largest, and the last one, for losses by epoch."""
    worst = max(course, key=lambda epoch: math.inf if math.isnan(course[epoch]) else course[epoch])
    found = {"largest training loss": f"{course[worst]:.4g}", "in epoch": worst, "of": len(course)}
    return found | {"last training loss": f"{course[max(course)]:.4f}", "ln classes": f"{math.log(classes):.4f}"}


def plain(frame: pd.DataFrame) -> dict[str, Any]:
    """A table of text for JSON: its columns, and its rows as lists; what is missing is empty."""
    rows = [["" if pd.isna(cell) else str(cell) for cell in row] for row in frame.itertuples(index=False)]
    return {"columns": [str(column) for column in frame.columns], "rows": rows}


def devices(df: pd.DataFrame) -> pd.DataFrame:
    """How many runs were recorded on which hardware, with which torch, when."""
    frame = df.groupby(["device", "hardware", "torch"], sort=True).agg(
        runs=("key", "nunique"), first=("finished", "min"), last=("finished", "max"), commits=("commit", _distinct)
    )
    return frame.reset_index()


def _distinct(values: pd.Series) -> str:
    return ", ".join(sorted(set(values) - {""}))


def differences(
    described: Mapping[str, Any], ran: Mapping[str, Any], names: tuple[str, str] = ("described", "ran")
) -> pd.DataFrame:
    """The parameters in which the set `described` and the set `ran`, or two others of these `names`, differ.

    "not stated" is a null; what the entry "ours" of a set names was chosen by us.
    """
    rows = []
    for name, value in described.items():
        if name != "ours" and value != ran.get(name):
            row = {column: _stated(name, values) for column, values in zip(names, (described, ran), strict=True)}
            rows.append({"parameter": name} | row)
    return pd.DataFrame(rows, columns=["parameter", *names])


def _stated(name: str, values: Mapping[str, Any]) -> str:
    value = values.get(name)
    return f"ours: {_text(value)}" if name in values.get("ours", []) and value is not None else _text(value)


def _text(value: Any) -> str:
    return "not stated" if value is None else f"{value:g}" if isinstance(value, float) else str(value) or "none"
