"""Python executes this as it starts, in the processes of a staged execution: its folder is in their PYTHONPATH."""

import os
import sys

if "FAULTS" in os.environ:
    from benchmarks.faults import inside

    inside.watch(" ".join(sys.orig_argv))
