"""Egresses of a laboratory, and what the outside host sees of them: by which address pods leave, and who holds it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lab.api import Api, LateError, ProblemError
from lab.errors import LabError
from lab.frames import ETH_P_IP, Frame
from lab.hosts import Host
from lab.probes import udp

ADDRESSES = tuple(f"192.0.2.{number}" for number in range(150, 160))
"""Addresses on the underlay that no host has."""

_UDP = 17
_REPEAT = 0.1


@dataclass
class Egress:
    """An egress of a network, by some of `ADDRESSES`."""

    api: Api
    name: str
    network: str

    def make(self, *addresses: str, **fields: Any) -> Egress:
        """Make or replace it; `fields` as the API has them (pods, via, …). A switch that is away is no error."""
        with suppress(LateError):
            self.api.post(
                "/v1/egresses", {"name": self.name, "network": self.network, "addresses": addresses, **fields}
            )
        return self

    def remove(self) -> None:
        """Remove it; one that is not there is no error."""
        try:
            with suppress(LateError):
                self.api.delete(f"/v1/egresses/{self.name}")
        except ProblemError as problem:
            if problem.status != 404:
                raise

    @property
    def holders(self) -> dict[str, str | None]:
        """The node that holds each address."""
        return {each["address"]: each["node"] for each in self.api.get(f"/v1/egresses/{self.name}")["held"]}


def seconds_until_seen(source: Host, target: Host, address: str, port: int, patience: float = 30.0) -> float:
    """Let a pod ask until it is answered by `target`, which sees it as `address`; seconds that it took, or LabError."""
    began = time.monotonic()
    while (seen := udp(source.namespace, str(target.address), port, _REPEAT)).seen_as != address:
        if time.monotonic() - began > patience:
            raise LabError(f"{source.name} is seen as {seen.seen_as or 'nobody'} after {patience:.0f} s, not {address}")
    return time.monotonic() - began


def senders(frames: list[Frame], port: int) -> set[str]:
    """The sources of the UDP datagrams to a port that are among frames."""
    return {frame.source for frame in list(frames) if _is_to(frame, port)}


def _is_to(frame: Frame, port: int) -> bool:
    octets = frame.octets
    return frame.kind == ETH_P_IP and octets[23] == _UDP and int.from_bytes(octets[36:38]) == port
