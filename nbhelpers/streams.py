"""Random numbers: one independent stream for each use.

A stream is named by (seed, use), for example ``(3, "order/7")`` for the batch order of epoch 7. Arms
with the same seed therefore share subset, batch order and what weights they can, so that comparisons
are paired, and a new arm, layer or option never disturbs an old one. The generator is NumPy's
``RandomState``, whose output is frozen for all versions and machines.
"""

import hashlib

import numpy as np


def seed_of(seed: int, use: str) -> int:
    """A 63-bit seed for the stream `use` of `seed`: the head of SHA-256 over both."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{use}".encode()).digest()[:8], "big") >> 1


def stream(seed: int, use: str) -> np.random.RandomState:
    """The generator of the stream `use` of `seed`."""
    value = seed_of(seed, use)
    return np.random.RandomState(np.array([value & 0xFFFFFFFF, value >> 32], dtype=np.uint32))
