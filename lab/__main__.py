"""`python -m lab cleanup [NAME …]`: remove what laboratories that were killed have left; `list` shows them."""

from __future__ import annotations

import argparse
import sys

from lab.errors import LabError
from lab.state import cleanup, known


def main() -> int:
    """The exit status: 0 when all is clean, 1 when a laboratory is in use by a living process."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("command", choices=("list", "cleanup"))
    parser.add_argument("name", nargs="*", help="laboratories; all that are known if none is named")
    arguments = parser.parse_args()
    status = 0
    for name in arguments.name or known():
        if arguments.command == "list":
            print(name)
            continue
        try:
            cleanup(name)
            print(f"{name}: removed")
        except LabError as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
