"""``python -m nbhelpers``: the command line, also where no console script is on the path."""

import sys

from nbhelpers.cli import main

sys.exit(main())
