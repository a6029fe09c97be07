"""`python -m dlkit` is `dlkit`."""

import sys

from dlkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
