"""Accidents staged and counted: ``python -m benchmarks.faults``. See benchmarks/README.md."""
