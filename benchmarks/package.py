"""Check the package as pip installs it: is the wheel complete, does it train in a new environment, are hints right?

python benchmarks/package.py

Builds the source distribution and the wheel, lets twine check them, installs the wheel into a fresh environment, where
what it needs comes from this one, and trains on the sample there, outside of the checkout. Counts the hints in code,
documents and messages that would install a package of somebody else's. Needs the extra `test`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from machine import print_machine

TESTS = Path(__file__).parent.parent / "tests" / "core" / "test_packaging.py"


def main() -> None:
    print_machine()
    for what, names in (
        ("twine check of wheel and source distribution", "whole_and_pass"),
        ("the wheel in a fresh environment: dlkit train sentiment, dlkit predict", "fresh_environment"),
        ("hints that install a package of somebody else's: 0", "no_hint or hints_come"),
    ):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", TESTS, "-k", names]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        passed = not done.returncode and "s" not in done.stdout.partition(" ")[0]  # a letter for each test: s, skipped
        print(f"{what}: {'passes' if passed else done.stdout}", flush=True)


if __name__ == "__main__":
    main()
