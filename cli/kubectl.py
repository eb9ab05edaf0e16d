"""`kubectl heddle` and `oc heddle`: the same commands as a plug-in; the controllers are found by kubectl."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cli.main import main as heddle


def main(arguments: Sequence[str] | None = None) -> None:
    """Run heddle as the plug-in that this executable is of; always ends by SystemExit."""
    called = Path(sys.argv[0]).name.partition("-")[0]
    heddle(arguments, plugin_of="oc" if called == "oc" else "kubectl")


if __name__ == "__main__":
    main()
