"""Keep freed memory in the process.

glibc hands big blocks back to the kernel after every tensor operation, and each new one then pays a
page fault per 4 KiB. On a CPU that is up to half of the time of a convolutional net's training step.
Two settings of malloc end it. They must be made before the first tensor exists, which is why
``nbhelpers/__init__.py`` calls this first. ``NBHELPERS_MALLOC=default`` leaves malloc alone.
"""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from <malloc.h>


def keep_freed_memory() -> bool:
    """Tell malloc to keep what is freed; return whether it took the settings (only glibc does)."""
    if os.environ.get("NBHELPERS_MALLOC") == "default":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, ctypes.c_int(-1)))


def give_back() -> bool:
    """Hand freed memory to the kernel once, after a peak that does not come again soon; return whether any was."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False
