"""Gateway pods: by which pod others leave for the outside. Questions to a snapshot; nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator

from topology.egress import networks_of
from topology.model import Address, Network, PodKey, Port
from topology.snapshot import Snapshot


def port_of(pod: PodKey, snapshot: Snapshot) -> Port | None:
    """Return the port by which a pod is a gateway: its primary one, once it is on its switch."""
    ports = (snapshot.ports[key] for key in sorted(snapshot.port_by_pod.get(pod, {})))
    return next((port for port in ports if port.ofport is not None and not port.is_secondary), None)


def known_as(port: Port) -> Address | None:
    """Return the address by which nodes tell each other of a gateway: nobody else has it."""
    return next((each for each in port.cluster_addresses or port.addresses if each.version == 4), None)


def served_by(pod: PodKey, snapshot: Snapshot) -> Iterator[Network]:
    """Yield the networks whose pods may leave by a gateway, each once."""
    homes = {snapshot.egresses[name].network for name in snapshot.egresses_via.get(pod, {})}
    found = {network.name: network for home in homes for network in networks_of(home, snapshot)}
    yield from (network for _, network in sorted(found.items()))
