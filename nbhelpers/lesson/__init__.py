"""What the lesson on building a first neural network says in formulas, computed: one idea in each file."""

from nbhelpers.lesson import (
    answers,
    assignment,
    cells,
    curves,
    fourier,
    listings,
    measured,
    nets,
    neuron,
    pointwise,
    positions,
    strides,
    survey,
    windows,
    words,
)
from nbhelpers.lesson.answers import Answer
from nbhelpers.lesson.statements import Statements

__all__ = ["Answer", "Statements", "answers", "assignment", "cells", "curves", "fourier", "listings", "measured"]
__all__ += ["nets", "neuron", "pointwise", "positions", "strides", "survey", "windows", "words"]
