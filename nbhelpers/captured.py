"""Training steps as CUDA graphs: hundreds of small kernels, started at once."""

from typing import Any

import torch
from torch import Tensor

from nbhelpers.mixing import Targets
from nbhelpers.steps import Step

FIRST = 2  # steps that are taken as they are: libraries choose and load their kernels in them


class Captured(Step):
    """A step that is recorded once as a CUDA graph and then played: one call of the CPU instead of hundreds.

    The nets of these studies are so small that a GPU is done with a kernel before the CPU has started the next one. The
    kernels and their order are those of `Step`, and so are the numbers, but for rounding. A shorter batch, the last of
    an epoch, and mixed images are taken as they are. Whatever the net does in Python is done once, when it is recorded.
    """

    def __init__(self, *parts: Any, **options: Any):
        super().__init__(*parts, **options)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.taken = 0
        self.x: Tensor | None = None
        self.target: Tensor | None = None

    def __call__(self, x: Tensor, target: Tensor | Targets) -> None:
        """As `Step`."""
        if isinstance(target, Targets) or len(x) != self.recipe.batch_size:
            super().__call__(x, target)
            return
        if self.x is None:
            self.x, self.target = x.clone(), target.clone()
        self.taken += 1
        if self.taken <= FIRST:
            super().__call__(x, target)
            return
        self.x.copy_(x)
        self.target.copy_(target)
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):  # records, and computes nothing
                super().__call__(self.x, self.target)
            self.graph = graph
        self.graph.replay()
