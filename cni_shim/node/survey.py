"""What this node found out about the MTU: of its own pods, and on the way to each peer. Made, kept, put into words.

One file holds the last one, for `status`; whoever writes it is another process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cni_shim import ethtool
from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node import paths
from cni_shim.node.bridges import TUN_PORT
from cni_shim.node.configuration import Configuration, write_by_rename

FILE_NAME = "survey.json"
MOST_TOLD = 8  # peers of which each has a line of its own
_REMEDY = "large packets of pods are lost there: give both underlay interfaces, and all between them, the same MTU"


@dataclass(frozen=True)
class Survey:
    """`mtu`: of this node's pods; `full`: of the underlay that this takes; both in bytes of an IP packet.

    `reached`: the largest packet that gets to each peer, 0 for one that does not answer; peers not asked are not there.
    """

    mtu: int
    full: int
    reached: Mapping[str, int] = field(default_factory=dict)

    @property
    def narrow(self) -> dict[str, int]:
        """The peers to which a full packet does not get, and what does."""
        return {peer: size for peer, size in self.reached.items() if 0 < size < self.full}

    @property
    def silent(self) -> tuple[str, ...]:
        """The peers that do not answer at all: nothing is known of the way to them."""
        return tuple(peer for peer, size in self.reached.items() if not size)

    def warnings(self, source: str) -> tuple[str, ...]:
        """In words, for a node whose underlay address is `source`."""
        narrow = sorted(self.narrow.items())
        told = [
            f"packets of {self.full} bytes do not get from {source} to {peer}, {size} do: {_REMEDY}"
            for peer, size in narrow[:MOST_TOLD]
        ]
        more = narrow[MOST_TOLD:]
        if more:
            smallest = min(size for _, size in more)
            told.append(f"nor do they to {len(more)} more peers, from {more[0][0]} on; {smallest} do to all of these")
        return tuple(told)


def own_mtu() -> int | None:
    """Bytes that a pod's packet may have here; None while there is no tun0."""
    try:
        return ethtool.mtu(TUN_PORT)
    except OSError:
        return None


def survey(wanted: Configuration, patience: float, known: Survey | None = None) -> Survey:
    """Try the way to each peer, for `patience` seconds about, unless it is `known` for packets of that size.

    ShimError where that cannot be done.
    """
    mtu = own_mtu()
    if mtu is None:
        raise ShimError(IO_FAILURE, f"this node has no {TUN_PORT}", "run `heddle-node setup`")
    full = mtu + wanted.mtu_overhead
    kept = known.reached if known is not None and known.full == full else {}
    reached = {peer: kept[peer] for peer in wanted.peers if peer in kept}
    new = [peer for peer in wanted.peers if peer not in reached]
    return Survey(mtu, full, {**reached, **paths.largest(wanted.underlay, new, full, time.monotonic() + patience)})


def save(made: Survey, state_dir: Path) -> None:
    """Keep it as the last one."""
    write_by_rename(state_dir / FILE_NAME, json.dumps(asdict(made)) + "\n")


def last(state_dir: Path) -> Survey | None:
    """The one that was kept; None when there is none, or none that can be read."""
    try:
        content = json.loads((state_dir / FILE_NAME).read_text())
        reached = {str(peer): int(size) for peer, size in content["reached"].items()}
        return Survey(int(content["mtu"]), int(content["full"]), reached)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
