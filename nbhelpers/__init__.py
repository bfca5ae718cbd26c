"""nbhelpers: what the studies in ``notebooks/`` run, record, compare and show.

Names are imported when they are first used, so that checking a parameter costs no import of torch.
"""

from importlib import import_module

from nbhelpers import allocator

allocator.keep_freed_memory()

__version__ = "0.1.0"
REPOSITORY = "nbhelpers/nbhelpers"  # on GitHub; stands nowhere else, `make stamp` writes it into the notebooks

_HOME = {
    "Study": "study",
    "Run": "run",
    "Data": "run",
    "Recipe": "run",
    "ConvNet": "models",
    "MLP": "models",
    "ResNet": "models",
    "Stack": "models",
    "BlockNet": "models",
    "LibraryNet": "models",
    "Custom": "models",
    "build": "models.initialise",
    "complete": "install",
    "fit": "train",
    "evaluate": "train",
    "summarise": "models.summary",
    "Parts": "contrasts",
    "ahead": "contrasts",
    "at_epochs": "contrasts",
    "difference": "contrasts",
    "paired": "contrasts",
    "each": "contrasts",
    "joined": "contrasts",
    "slope": "contrasts",
    "spread": "contrasts",
    "chance": "contrasts",
    "values": "contrasts",
    "undominated": "fronts",
    "Extreme": "pooled",
    "family": "models.families",
    "KIN": "models.families",
}
_MODULES = {"claims", "data", "lesson", "measured", "plots", "pooled", "probes", "ranking", "speed", "stats", "tables"}
_MODULES |= {"boundary", "tensors", "told", "train", "zoo"}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"nbhelpers.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"nbhelpers.{name}")
    raise AttributeError(f"module 'nbhelpers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])
