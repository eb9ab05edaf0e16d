"""What a raw contender answers to ports that come and go: bytes recorded from the controller, by switch and port.

Loaded from a file, as a benchmark's recordings go on while the process runs. Who writes them to a socket is elsewhere.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from ryu_apps.openflow.decode import PORT_DELETED

# Variables of the environment that tell a Ryu application its command socket, and to ask for sentinels.
COMMANDS: Final = "BENCH_COMMANDS"
ASK: Final = "BENCH_ASK"

# (datapath id, port's name, whether it is gone) -> bundle
Recorded: TypeAlias = Mapping[tuple[int, bytes, bool], bytes]

_REASON_AT, _NAME_AT, _NAME_SIZE = 8, 32, 16  # in OFPT_PORT_STATUS (7.4.3), its OFPT_PORT at 16


@dataclass(slots=True)
class Answers:
    """Bytes to write: on connection, and for each port. Its `do_` methods are commands."""

    preludes: dict[int, bytes] = field(default_factory=dict)
    bundles: dict[tuple[int, bytes, bool], bytes] = field(default_factory=dict)

    def prelude(self, dpid: int) -> bytes:
        """What a switch is told first; nothing when none was recorded."""
        return self.preludes.get(dpid, b"")

    def for_port(self, dpid: int, raw: bytes) -> bytes | None:
        """The bundle for a port-status message, or None."""
        name = raw[_NAME_AT : _NAME_AT + _NAME_SIZE].rstrip(b"\0")
        return self.bundles.get((dpid, name, raw[_REASON_AT] == PORT_DELETED))

    def do_preludes(self, path: str) -> int:
        """Take what switches are told first from a file that `write` made; how many there are."""
        self.preludes = pickle.loads(Path(path).read_bytes())
        return len(self.preludes)

    def do_bundles(self, path: str) -> int:
        """Take the bundles from a file that `write` made, in place of earlier ones; how many there are."""
        self.bundles = pickle.loads(Path(path).read_bytes())
        return len(self.bundles)


def write(path: Path, recorded: Mapping[int, bytes] | Recorded) -> None:
    """Write recordings for `do_preludes` or `do_bundles`; the file is the benchmark's own, so pickle is safe here."""
    path.write_bytes(pickle.dumps(dict(recorded)))
