"""Probes: measurements on a model at the start of a run, at its end, or after every epoch.

A probe is a pure function (model, train, test, recipe) -> plain JSON values. It gets a copy of the model
and leaves weights, buffers and random streams of the run as they were. It is named ``name@version``:
a changed measurement is a new version, and a record that lacks it stays complete.
"""

from nbhelpers.probes import (  # register theirs
    behaviour,
    experiments,
    gradients,
    inputs,
    norms,
    pictures,
    shifts,
)
from nbhelpers.probes.registry import check, first_images, measure, probe, shuffled

__all__ = ["behaviour", "check", "experiments", "first_images", "gradients", "inputs", "measure", "norms", "pictures"]
__all__ += ["probe", "shifts", "shuffled"]
