"""Answers to the lesson's statements: a verdict, a sentence and the computed values, each from the formulas beside."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from nbhelpers import published, stats
from nbhelpers.lesson import cells, curves, fourier, listings, neuron, pointwise, positions, strides, survey, windows
from nbhelpers.verdict import Verdict

ALIKE = 1.25  # times of two activations that differ by less are one and the same: repeats of one differ by as much


class Answer(NamedTuple):
    """verdict: right (True), wrong (False) or a word. values: what the published right values are compared with. shown:
    what stands in the place of the sentence where a claim above has just said it.
    """

    verdict: bool | str
    sentence: str
    values: Mapping[str, Any] = {}
    shown: str = ""


def apart(gap: float) -> str:
    """A difference that is nothing but rounding, without digits that the next machine has otherwise."""
    return "less than 1e-10" if gap < 1e-10 else f"{gap:.0e}"


def sizes() -> Answer:
    """Statement 1: the layer sizes of the 400x400 network."""
    found = listings.beside("receptive_field")
    same = found["side"] == found["lesson's side"]
    return Answer(bool(same.all()), f"{same.sum()} of {len(same)} sizes are what the formula gives.")


def fields() -> Answer:
    """Statement 2: its receptive fields."""
    found = listings.beside("receptive_field")
    off = found[~found["right"]]
    agree = "agree everywhere" if (found["field"] == found["measured"]).all() else "differ"
    said = f"{len(off)} of {len(found)} are wrong, from the first pooling on; formula and gradient {agree}."
    return Answer(off.empty, said, {"rf": list(off["field"])})


def coverage() -> Answer:
    """Statement 3: what is covered nine times with stride 1."""
    nine = [strides.histogram(side, 3, 1)[9] for side in (5, 400)]
    said = f"Nine times covered: {nine[0]} pixel of 5×5, {nine[1]:,} of 400×400, which is {round(nine[1] ** 0.5)}². "
    equal, rows = strides.published_rows()
    said += f"{equal} of {rows} tabulated coverages are what is counted here."
    return Answer(nine == [1, 396**2], said, {"pixels_covered_9_times": nine})


def unevenness() -> Answer:
    """Statement 4: whether a stride spreads information unevenly."""
    found = strides.split()
    said = f"Uneven: {', '.join(found['uneven'])}. Even inside: {', '.join(found['even_inside'])}."
    word = "depends on kernel and stride" if found["uneven"] and found["even_inside"] else bool(found["uneven"])
    return Answer(word, said, found)


def one_by_one() -> Answer:
    """Statement 5: four 1x1 kernels on 32x32x10."""
    found, gap = pointwise.cost(32, 10, 4), pointwise.matrix_difference()
    said = f"The output is {'×'.join(map(str, found['output']))}, with {found['weights']} weights and "
    said += f"{found['multiply_accumulates']:,} multiply-adds. Convolution and matrix product differ by {apart(gap)}."
    return Answer(found["output"] == [32, 32, 4], said, found)


def reduction() -> Answer:
    """Statement 6: 512 to 32 channels by 1x1 and by 3x3."""
    one, three = (pointwise.cost(56, 512, 32, kernel)["weights"] for kernel in (1, 3))
    said = f"{one:,} against {three:,} weights: {three / one:g} times fewer."
    return Answer(one < three, said, {"weights_1x1": one, "weights_3x3": three, "ratio": three / one})


def four_kernels() -> Answer:
    """Statement 7: a 3x3x3x4 kernel."""
    found = pointwise.cost(56, 3, 4, kernel=3)
    said = f"{found['output'][-1]} channels come out, of {found['weights']} weights."
    return Answer(found["output"][-1] == 4, said, {"weights": found["weights"]})


def pyramids() -> Answer:
    """Statement 8: squeeze-and-expand against a pyramid."""
    nets = listings.shapes_of_nets()
    (squeeze, pyramid, short), (work, less, _) = nets["weights"], nets["macs"]
    said = f"At equal depth the pyramid takes {less / 1e9:.2f} G multiply-adds against {work / 1e9:.2f} G, and has "
    said += f"{pyramid / 1e6:.2f} M weights against {squeeze / 1e6:.2f} M; {short / 1e6:.2f} M with two layers a block."
    words = {True: "right", False: "wrong"}
    verdict = f"computation {words[less < work]}, parameters {words[pyramid < squeeze]} at equal depth"
    values = {"multiply_accumulates_pyramid": less, "multiply_accumulates_squeeze": work}
    values |= {"weights_pyramid": pyramid, "weights_squeeze": squeeze, "weights_pyramid_two_layers": short}
    return Answer(verdict, said, values)


def heads() -> Answer:
    """Statement 9: where nets start, and what their heads weigh."""
    stem = listings.table(["pad 3", "conv 7x7/2 64", "pad 1", "pool 3/2"], (3, 224, 224))["side"].iloc[-1]
    weights, own = listings.heads().set_index("head")["weights"], 56 in set(listings.beside("receptive_field")["side"])
    said = (
        f"A ResNet's stem takes 224 pixels to {stem}; the lesson's own net {'has 56 too' if own else 'never has 56'}. "
    )
    said += f"From 7×7×512 to 1000 classes a connected head has {weights['flatten']:,} weights, pooling and one linear "
    said += f"layer {weights['average']:,}: so a ResNet keeps one connected layer."
    values = {"fc_weights_7x7x512_to_1000": weights["flatten"], "pooling_and_fc_weights": weights["average"]}
    return Answer("true of ResNets after their stem" if stem == 56 and not own else False, said, values)


def scale() -> Answer:
    """Statement 11: plain position numbers added to elements."""
    sd = positions.distortion().set_index("positions")["sd"]
    said = f"Plain numbers take the spread of the elements from {sd['none']:.2f} to {sd['counted']:.1f}, waves to "
    return Answer(bool(sd["counted"] > 2 * sd["none"]), f"{said}{sd['waves']:.2f}.")


def collapse() -> Answer:
    """Statement 12: layers without activations."""
    gap = curves.collapse()
    return Answer(gap < 1e-9, f"Three linear layers and the one that they make differ by {apart(gap)}.")


def linear_training() -> Answer:
    """Statement 13: backpropagation without activations."""
    losses, line = curves.linear_descent()
    said = f"Two linear layers in a row learn by backpropagation: the squared error falls from {losses[0]:.3f} to "
    said += f"{losses[-1]:.3f}, which is that of the best line ({line:.3f}). They train, and stay a line."
    return Answer(not losses[-1] < losses[0], said)


def one_neuron() -> Answer:
    """Statement 14: the formula of a neuron."""
    inputs, weights = [[1.0, 1.0], [2.0, 1.0], [-1.0, 3.0]], [0.5, -0.3]
    written = sorted({neuron.as_written(x, weights, [0.1, 0.1]) for x in inputs})
    right = ", ".join(f"{neuron.neuron(x, weights, 0.1):+.3f}" for x in inputs)
    said = f"As written, {len(inputs)} different inputs give {len(written)} value ({written[0]:+.3f}): the input is "
    said += f"missing, and the bias is counted with each weight. tanh(Σ w·x + b) gives {right}."
    return Answer(len(written) > 1, said)


def rectified() -> Answer:
    """Statement 17: ReLU on a 4x4 map."""
    right, values = cells.relu_example()
    return Answer(right == values, f"{right} of {values} values are max(0, x).")


def spreadsheet() -> Answer:
    """Statement 18: the activation spreadsheet."""
    printed = pd.DataFrame(published.table(listings.STUDY, "activation_sheet"))
    weight = cells.fitted_weight(printed)
    wrong = int(cells.wrong(printed, weight).to_numpy().sum())
    said = (
        f"{wrong} cells are wrong. {cells.mirrored(printed, weight)} of {len(printed)} cells of the sigmoid column are "
    )
    said += "the sigmoid of −x, if the last input has lost its minus sign."
    return Answer(wrong == 0, said, {"wrong_cells": wrong})


def gelu() -> Answer:
    """Statement 19: GELU and its tanh formula."""
    largest, at = cells.gelu_error()
    said = f"x·Φ(x) and the tanh formula differ by up to {largest:.1e}, at x = ±{at:.2f}: close, not equal."
    word = "an approximation" if 0 < largest < 0.001 else largest == 0
    return Answer(word, said, {"largest_error": largest, "at_abs_x": at})


def no_winner() -> Answer:
    """Statement 20: the survey of 18 activations."""
    found = survey.winners()
    behind, slower = found["behind"].max(), found["ReLU's time / fastest"].max()
    said = (
        f"{found['best'].nunique()} different winners on {len(found)} nets; ReLU is at most {behind:.2f} points behind "
    )
    said += f"the best, and takes at most {100 * (slower - 1):.1f}% longer than the fastest."
    return Answer(bool(found["best"].nunique() > 1 and behind < 1), said)


def gelu_wins() -> Answer:
    """Statement 21: GELU against ReLU and ELU, and of how many runs the medians are."""
    gaps = survey.gelu_errors()[["ReLU − GELU", "ELU − GELU"]]
    lower, (stated, in_paper) = int((gaps > 0).to_numpy().sum()), survey.gelu_runs()
    said = f"In the table GELU's error is the lower one in {lower} of {gaps.size} comparisons, by "
    said += f"{gaps.min(axis=None):.2f} to {gaps.max(axis=None):.2f} points."
    if lower < gaps.size:
        return Answer(False, said)
    return Answer(True if stated == in_paper else "right, but for the number of runs", said)


def free_parameters() -> Answer:
    """Statement 24: many numbers to fit."""
    errors = curves.fits()[1].set_index("model")
    own, best = errors["error on new points"], errors["error on new points"].idxmin()
    said = f"The error on new points is {own['line']:.2f} with a line and {own[best]:.2f} with a {best}, which has "
    return Answer(bool(own[best] < own["line"] / 2), f"{said}{errors['numbers'][best]} numbers to fit instead of 2.")


def recognisable() -> Answer:
    """Statement 25: from which window on patterns show."""
    share = windows.by_side().set_index("side")["recognised"]
    said = ", ".join(f"{share[side]:.0f}% at {side}×{side}" for side in (3, 5, 7, 11, 31))
    sudden = share[7] < 10 and share[11] > 50
    return Answer(
        bool(sudden), f"Recognised: {said}. It {'starts at 11' if sudden else 'rises step by step, not at 11'}."
    )


def fourier_tie() -> Answer:
    """Statement 28: convolution and the Fourier transform."""
    gap = fourier.convolution_theorem()
    return Answer(gap < 1e-10, f"A convolution and its way through the Fourier transform differ by {apart(gap)}.")


def descent() -> str:
    """What becomes of the error of the sheet in one step, and how far its gradients are from PyTorch's, in words."""
    gap = apart(neuron.autograd_difference())
    before, after = neuron.error(), neuron.error(neuron.stepped())
    said = f"Gradients by hand and by PyTorch differ by {gap}. One step, of {neuron.STEP:g} times the gradient, takes "
    return f"{said}the error from {before:.4f} to {after:.4f}."


def claimed(verdict: Verdict) -> Answer:
    """The answer to a statement that a claim decides, by the claim's verdict."""
    return Answer(verdict.verdict, f"{_result(verdict)}.", shown="So says the claim above.")


def appetite(lead: pd.DataFrame, verdict: Verdict) -> Answer:
    """Statement 23: whether a net needs more images than a simpler model.

    lead: by how many points the net leads (value), a row per seed and number of images of a class (amount); verdict: on
    whether the lead grows. If it does, a net that is not behind with the fewest images gains more, and needs no more.
    """
    fewest = lead["amount"].min()
    ours = stats.interval(lead[lead["amount"] == fewest]["value"])
    ends = f" [{ours.low:.1f}, {ours.high:.1f}]" if ours.n >= stats.LEAST_SEEDS else ""
    shown = f"With {fewest:g} images of a class the net's lead is {ours.mean:+.1f} points{ends}, n = {ours.n}."
    also = verdict.verdict == "holds" and not ours.high < 0
    word = "half right: many help it more, few do not put it behind" if also else verdict.verdict
    return Answer(word, f"{_result(verdict)}. {shown}", shown=f"See the claim above. {shown}")


def _result(verdict: Verdict) -> str:
    """What a claim says and what decided it, without the word that stands beside it."""
    return f"{verdict.text}: {verdict.sentence.removeprefix(verdict.verdict).lstrip(': ')}"


def vanishing(ratio: Mapping[str, float], depth: int) -> Answer:
    """Statement 15: the gradients of Sigmoid.

    ratio: activation -> the first layer's gradient over the last one's, at the start of a net of `depth`.
    """
    factor = cells.vanishing(depth).set_index("activation")["factor"]
    said = f"At the start the first layer's gradient is {ratio['sigmoid']:.2g} of the last one's with Sigmoid, "
    said += f"{ratio['relu']:.2g} with ReLU. {depth} sigmoids in a row let at most {factor['sigmoid']:.2g} through."
    return Answer(False if ratio["sigmoid"] < 1 else "right", f"{said} It vanishes." if ratio["sigmoid"] < 1 else said)


def cheapness(nanoseconds: Mapping[str, float], devices: set[str]) -> Answer:
    """Statement 30: the cost of ReLU. It is cheap where none is cheaper by more than `ALIKE`.

    nanoseconds: activation -> measured, for each number, forward and backward.
    """
    places = {"cpu": "a CPU", "cuda": "a GPU"}
    here = " and ".join(place for device, place in places.items() if device in devices)
    cheapest, others = min(nanoseconds, key=nanoseconds.get), [t for n, t in nanoseconds.items() if n != "relu"]
    said = f"Measured on {here}, nanoseconds for each number, forward and backward: "
    said += ", ".join(f"{name} {time:.2f}" for name, time in nanoseconds.items()) + ". "
    said += f"The cheapest is {cheapest}. All but relu take {min(others) / nanoseconds['relu']:.1f} to "
    said += f"{max(others) / nanoseconds['relu']:.1f} times as long as relu. "
    absent = [place for device, place in places.items() if device not in devices]
    said += f"Not measured: {absent[0]}, hence not what a GPU gains." if absent else "Both kinds are in these medians."
    cheap = nanoseconds["relu"] < ALIKE * nanoseconds[cheapest]
    word = f"{'right' if cheap else 'wrong'} on {here}"
    return Answer(word + (f", {absent[0]} was not measured" if absent else ""), said)


def stride_balance(measured: pd.DataFrame, verdicts: Mapping[str, str]) -> Answer:
    """Statement 22: five gains and two costs of strides.

    measured: stride -> macs, field; verdicts: on a shift, on speed and on detail.
    """
    needed = strides.layers_to_field(400), strides.layers_to_field(400, 2)
    macs, field = measured["macs"], measured["field"]
    holds = {
        f"{macs[1] / macs[2]:.1f} times less computation": macs[2] < macs[1],
        f"{needed[1]} instead of {needed[0]} layers to a field of 400": needed[1] < needed[0],
        f"field {field[2]} instead of {field[1]} after the same layers": field[2] > field[1],
        **{f"{name}: {verdict}": verdict == "holds" for name, verdict in verdicts.items()},
        f"a checkerboard, covered {' or '.join(map(str, strides.inside(3, 2)))} times": len(strides.inside(3, 2)) > 1,
    }
    values = {"layers_3x3_for_field_400_without_stride": needed[0]}
    return Answer(f"{sum(holds.values())} of {len(holds)} shown", "; ".join(holds).capitalize() + ".", values)


ANSWERS: dict[int, Callable[[], Answer]] = {  # the statements that paper and pencil can answer, by number
    **{1: sizes, 2: fields, 3: coverage, 4: unevenness, 5: one_by_one, 6: reduction, 7: four_kernels, 8: pyramids},
    **{9: heads, 11: scale, 12: collapse, 13: linear_training, 14: one_neuron, 17: rectified, 18: spreadsheet},
    **{19: gelu, 20: no_winner, 21: gelu_wins, 24: free_parameters, 25: recognisable, 28: fourier_tie},
}
