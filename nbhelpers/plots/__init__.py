"""Figures: one style, intervals always drawn, published values as hollow markers, titles that say what is found."""

from nbhelpers.plots import lesson
from nbhelpers.plots.arms import curves, heat, strip
from nbhelpers.plots.courses import by_epoch, by_layer, learning
from nbhelpers.plots.pictures import images
from nbhelpers.plots.style import colour
from nbhelpers.plots.tradeoffs import tradeoffs
from nbhelpers.plots.verdicts import seeds_needed
from nbhelpers.plots.zoo import costs, differences, functions, ranks

__all__ = ["by_epoch", "by_layer", "colour", "costs", "curves", "differences", "functions", "heat", "images"]
__all__ += ["learning", "lesson", "ranks", "seeds_needed", "strip", "tradeoffs"]
