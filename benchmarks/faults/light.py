"""The process that drives a light sweep: its workers import this file first, so it holds nothing."""

import sys

if __name__ == "__main__":
    from benchmarks.faults.inside import main

    sys.exit(main())
