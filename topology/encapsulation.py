"""What encapsulation costs: bytes that a tunnel puts around a pod's packet, for each kind and outer address family.

The MTU of pods is that of the underlay without them. Nowhere else is computed with these numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from topology.model import Prefix

_INNER_ETHERNET: Final = 14
_HEADER: Final = 8  # VXLAN's (RFC 7348, section 5), and Geneve's without options (RFC 8926, section 3.4)
_UDP: Final = 8
_OUTER_IP: Final = {4: 20, 6: 40}  # without options or extension headers
_OPTION_UNIT: Final = 4  # bytes of which Geneve's options are multiples

# What every host must accept, and what every link must carry: RFC 791, section 3.1; RFC 8200, section 5.
_LEAST_MTU: Final = {4: 576, 6: 1280}


class Encapsulation(Enum):
    """How a pod's frame goes to another node."""

    VXLAN = "vxlan"
    GENEVE = "geneve"


def overhead(kind: Encapsulation, underlay_version: int, options: int = 0) -> int:
    """Return how many bytes of the underlay's MTU a tunnel takes; `options`: bytes of Geneve's options."""
    if options % _OPTION_UNIT or (options and kind is not Encapsulation.GENEVE):
        raise ValueError(f"{kind.value} has no {options} bytes of options")
    return _INNER_ETHERNET + _HEADER + options + _UDP + _OUTER_IP[underlay_version]


def least_mtu(prefixes: Iterable[Prefix]) -> int:
    """Return the least MTU that an interface with addresses of these prefixes can have."""
    return max((_LEAST_MTU[prefix.version] for prefix in prefixes), default=_LEAST_MTU[4])
