"""Figures: one style, intervals always drawn, published values as hollow markers, titles that say what is found."""

from nbhelpers.plots import lesson
from nbhelpers.plots.arms import curves, heat, strip
from nbhelpers.plots.courses import by_epoch, by_layer, learning
from nbhelpers.plots.pictures import images
from nbhelpers.plots.style import colour
from nbhelpers.plots.verdicts import seeds_needed

__all__ = ["by_epoch", "by_layer", "colour", "curves", "heat", "images", "learning", "lesson", "seeds_needed", "strip"]
