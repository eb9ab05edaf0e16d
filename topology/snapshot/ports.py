"""What a port changes in a snapshot: who holds which address and number, and which node hosts which network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from topology.model import Hosting, Port
from topology.snapshot.events import Change, Event
from topology.snapshot.index import before_after, count, exclude, include, mark, release
from topology.snapshot.multicast import follow_port
from topology.snapshot.value import Snapshot, places


def keep_port(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Port)
    key = event.value.key
    before, after = before_after(snapshot.ports, key, event)
    if before == after:
        return snapshot, ()
    if before is not None and after is not None and replace(before, ofport=after.ofport) == after:
        return _renumber(snapshot, before, after), (Change(before, after),)
    changes = [Change(before, after)]
    state = snapshot
    if before is not None:
        state = _forget_port(state, before)
    if after is not None:
        state = _remember_port(state, after)
        if before is None or before.addresses != after.addresses:
            given = after.cluster_addresses or after.addresses
            latest = {(after.node, address.version): address for address in given}
            state = replace(state, latest=state.latest.update(latest))
    state, listening = follow_port(state, before, after)
    changes.extend((*listening, *_hosting_changes(snapshot, state, before, after)))
    return state, tuple(changes)


def _renumber(snapshot: Snapshot, before: Port, after: Port) -> Snapshot:
    """The usual change, and a short way: the switch told a port's number."""
    by_ofport = release(snapshot.port_by_ofport, (before.node, before.ofport), before.key)
    if after.ofport is not None:
        by_ofport = by_ofport.set((after.node, after.ofport), after.key)
    return replace(snapshot, ports=snapshot.ports.set(after.key, after), port_by_ofport=by_ofport)


def _forget_port(snapshot: Snapshot, port: Port) -> Snapshot:
    key, place = port.key, (port.node, port.network)
    interface, pod = (port.node, port.host_interface), (port.project, port.pod)
    holder, taken = snapshot.holder, snapshot.taken
    for held in places(port):
        holder = release(holder, held, key)
        taken = mark(taken, held, held in holder or held in snapshot.quarantined)
    hosted = count(snapshot.hosted, place, -1)
    last = place not in hosted
    return replace(
        snapshot,
        ports=snapshot.ports.delete(key),
        ports_on=exclude(snapshot.ports_on, port.node, key),
        port_by_interface=release(snapshot.port_by_interface, interface, key),
        port_by_ofport=release(snapshot.port_by_ofport, (port.node, port.ofport), key),
        port_by_pod=exclude(snapshot.port_by_pod, pod, key),
        ports_in=count(snapshot.ports_in, port.project, -1),
        ports_of=exclude(snapshot.ports_of, (port.project, port.network), key),
        port_by_mac=release(snapshot.port_by_mac, (port.space, port.mac), key),
        holder=holder,
        taken=taken,
        hosted=hosted,
        hosts=exclude(snapshot.hosts, port.network, port.node) if last else snapshot.hosts,
        hosting=exclude(snapshot.hosting, port.node, port.network) if last else snapshot.hosting,
    )


def _remember_port(snapshot: Snapshot, port: Port) -> Snapshot:
    key, place = port.key, (port.node, port.network)
    interface, pod = (port.node, port.host_interface), (port.project, port.pod)
    holder, taken, by_ofport = snapshot.holder, snapshot.taken, snapshot.port_by_ofport
    for held in places(port):
        holder = holder.set(held, key)
        taken = mark(taken, held, True)
    first = place not in snapshot.hosted
    return replace(
        snapshot,
        ports=snapshot.ports.set(key, port),
        ports_on=include(snapshot.ports_on, port.node, key),
        port_by_interface=snapshot.port_by_interface.set(interface, key),
        port_by_ofport=by_ofport if port.ofport is None else by_ofport.set((port.node, port.ofport), key),
        port_by_pod=include(snapshot.port_by_pod, pod, key),
        ports_in=count(snapshot.ports_in, port.project, 1),
        ports_of=include(snapshot.ports_of, (port.project, port.network), key),
        port_by_mac=snapshot.port_by_mac.set((port.space, port.mac), key),
        holder=holder,
        taken=taken,
        hosted=count(snapshot.hosted, place, 1),
        hosts=include(snapshot.hosts, port.network, port.node) if first else snapshot.hosts,
        hosting=include(snapshot.hosting, port.node, port.network) if first else snapshot.hosting,
    )


def _hosting_changes(old: Snapshot, new: Snapshot, before: Port | None, after: Port | None) -> Iterator[Change]:
    concerned = {(port.node, port.network) for port in (before, after) if port is not None}
    for place in sorted(concerned):
        was, now = place in old.hosted, place in new.hosted
        if was != now:
            fact = Hosting(*place)
            yield Change(fact if was else None, fact if now else None)
