"""What the lesson on building a first neural network says in formulas, computed: one idea in each file."""

from nbhelpers.lesson import (
    assignment,
    cells,
    curves,
    fourier,
    listings,
    neuron,
    pointwise,
    positions,
    speed,
    strides,
    survey,
    windows,
    words,
)
from nbhelpers.lesson.statements import Statements

__all__ = ["Statements", "assignment", "cells", "curves", "fourier", "listings", "neuron", "pointwise", "positions"]
__all__ += ["speed", "strides", "survey", "windows", "words"]
