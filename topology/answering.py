"""How an ARP request becomes its answer: by actions that several features write."""

from __future__ import annotations

from typing import Final

from topology.fields import ARP_OP, ARP_SHA, ARP_SPA, ARP_THA, ARP_TPA, ETH_DST, ETH_SRC
from topology.flow import IN_PORT_NUMBER, Actions, copy, load, output
from topology.pipeline import SCRATCH

_REPLY: Final = 2  # ar$op of a reply (RFC 826)
_MAC_PREFIX: Final = 0x0A58 << 32

# Every MAC is derived from its IPv4 address (`model.mac_of`).
ANSWER: Final[Actions] = (
    copy(ETH_SRC, ETH_DST, 48),
    copy(ARP_SHA, ARP_THA, 48),
    load(ARP_SHA, _MAC_PREFIX),
    copy(ARP_TPA, ARP_SHA, 32),
    copy(ARP_SHA, ETH_SRC, 48),
    load(ARP_OP, _REPLY),
    copy(ARP_TPA, SCRATCH, 32),
    copy(ARP_SPA, ARP_TPA, 32),
    copy(SCRATCH, ARP_SPA, 32),
    output(IN_PORT_NUMBER),
)
