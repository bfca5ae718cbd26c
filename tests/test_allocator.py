"""Freed memory stays in the process, unless that is switched off or libc cannot do it."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from nbhelpers import allocator

MEBIBYTES = 64
FREE_A_BIG_BLOCK = f"""
import os
import nbhelpers

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
block = bytearray(b"x") * ({MEBIBYTES} << 20)
del block
print((resident() - before) >> 20)
nbhelpers.allocator.give_back()
print((resident() - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
@pytest.mark.parametrize("setting, kept", [("", True), ("default", False)])
def test_a_freed_block_stays_resident_until_it_is_given_back_unless_switched_off(setting, kept):
    environment = os.environ | {"NBHELPERS_MALLOC": setting}
    done = subprocess.run(
        [sys.executable, "-c", FREE_A_BIG_BLOCK], env=environment, capture_output=True, text=True, check=True
    )
    freed, given_back = map(int, done.stdout.split())
    assert (freed > MEBIBYTES // 2) == kept and given_back < MEBIBYTES // 2


def test_a_libc_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is allocator.give_back() is False


def test_a_libc_that_cannot_be_opened_is_left_alone(monkeypatch):
    def refuse(name):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert allocator.keep_freed_memory() is allocator.give_back() is False
