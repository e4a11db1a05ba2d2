"""`python -m pspgen_pyro` is `pspgen`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
