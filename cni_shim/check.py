"""CHECK: what ADD said (`prevResult`) against the pod's namespace, the switch and the controller. Changes nothing."""

from __future__ import annotations

from cni_shim import attachment as ports
from cni_shim import netlink
from cni_shim.attachment import (
    CONTAINER_KEY,
    IFNAME_KEY,
    NETWORK_KEY,
    OTHERS_KEY,
    WITH_KEY,
    Assignment,
    Attachment,
)
from cni_shim.controller import Controller, read_token
from cni_shim.errors import BAD_CONFIGURATION, CHANGED, RefusedError, ShimError
from cni_shim.netns import Namespace
from cni_shim.ovsdb import Database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from cni_shim.plugin import Log
    from cni_shim.request import Request

    Found = tuple[netlink.Link, Assignment]  # the end in the pod, and what the controller has for it


def check(request: Request, _log: Log) -> None:
    """Raise ShimError CHANGED for the first difference; UNKNOWN_CONTAINER when the namespace is gone."""
    previous = request.network.prev_result
    if previous is None:
        raise ShimError(
            BAD_CONFIGURATION, "field 'prevResult' of the network configuration is missing", "CHECK needs it"
        )
    mine = Attachment(request.network.name, request.container, request.ifname)
    parts = _said(previous, mine, request)
    if not parts:
        raise _changed(f"prevResult has no {mine.host} with {request.ifname} of {request.netns}", "ADD said so")
    namespace = Namespace(request.netns)
    try:
        with namespace:
            inside = netlink.Netlink()
    finally:
        namespace.close()
    try:
        others = tuple(one.attachment.ifname for one in parts[1:])
        found = [_check_interface(inside, request, one, others) for one in parts]
        _check_routes(inside, previous, found)
        if others:
            _check_sources(inside, request.netns, found)
    finally:
        inside.close()


def _check_interface(inside: netlink.Netlink, request: Request, one: _Said, others: tuple[str, ...]) -> Found:
    """`others`: the names of those that ADD said came with the primary interface."""
    link = _check_container(inside, one, request.netns)
    if _check_switch(request, one, others) != ports.INTERNAL:
        _check_host(one, link)
    assignment = _check_controller(request, one, others)
    _check_addresses(inside, link, assignment)
    return link, assignment


def _changed(what: str, details: str) -> ShimError:
    return ShimError(CHANGED, what, details)


def _same(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise _changed(f"{what} has changed", f"it is {seen!r}, ADD left {wanted!r}")


def _check_container(inside: netlink.Netlink, one: _Said, netns: str) -> netlink.Link:
    name = one.attachment.ifname
    link = netlink.links(inside).get(name)
    if link is None:
        raise _changed(f"interface {name} is not in {netns}", "ADD put it there")
    _same(f"the MAC address of {name}", link.mac, one.container.get("mac"))
    if "mtu" in one.container:
        _same(f"the MTU of {name}", link.mtu, one.container["mtu"])
    _same(f"the state of {name}", _state(link), "up")
    return link


def _check_addresses(inside: netlink.Netlink, link: netlink.Link, assignment: Assignment) -> None:
    """In the pod are the addresses that the controller has for it, which the result need not name."""
    have = netlink.addresses(inside, link.index)
    for address, _ in assignment.addresses:
        if address not in have:
            there = ", ".join(sorted(have)) or "none"
            raise _changed(f"address {address} is not on {link.name}", f"there are {there}")


def _check_routes(inside: netlink.Netlink, previous: dict[str, Any], found: Sequence[Found]) -> None:
    there = [netlink.routes(inside, link.index) for link, _ in found]
    for said_route in previous.get("routes") or []:
        try:
            route = netlink.same_route(str(said_route.get("dst")), str(said_route.get("gw") or ""))
        except ValueError:
            continue  # what we said can be read
        number = _owner(route, [assignment for _, assignment in found])
        if number is not None and route not in there[number]:
            what = f"route {route[0]} by {route[1] or 'link'} is not over {found[number][0].name}"
            raise _changed(what, "ADD put it there")


def _owner(route: tuple[str, str], assignments: Sequence[Assignment]) -> int | None:
    """Over which of our interfaces ADD made a route of the result; None when it is another plugin's to check.

    That which it was assigned to, the first of several; else, when it is by one of our gateways, that which has this.
    """
    for number, assignment in enumerate(assignments):
        if route in {netlink.same_route(*own) for own in assignment.routes}:
            return number
    for number, assignment in enumerate(assignments):
        if route[1] in {gateway for _, gateway in assignment.addresses}:
            return number
    return None


def _check_sources(inside: netlink.Netlink, netns: str, found: Sequence[Found]) -> None:
    """Each of the pod's several interfaces has its rules and its table."""
    from cni_shim import rules, several

    there = rules.rules(inside)
    for link, assignment in found:
        for rule in several.rules_of(link.name, link.index, assignment):
            if rule not in there:
                raise _changed(f"rule {rules.words(rule)} is not in {netns}", "ADD put it there")
        table = several.FIRST_TABLE + link.index
        routes = netlink.routes(inside, link.index, table)
        for route in several.routes_of(assignment):
            if route not in routes:
                what = f"route {route[0]} by {route[1] or 'link'} is not over {link.name} in table {table}"
                raise _changed(what, "ADD put it there")


def _state(link: netlink.Link) -> str:
    return "up" if link.up else "down"


def _check_host(one: _Said, peer: netlink.Link) -> None:
    host = one.attachment.host
    if not one.host:
        raise _changed(f"prevResult has no {host} with {peer.name}", "ADD said so")
    kernel = netlink.Netlink()
    try:
        link = netlink.links(kernel).get(host)
    finally:
        kernel.close()
    if link is None or link.index != peer.peer or link.peer != peer.index:
        raise _changed(f"interface {host} is not the other end of {peer.name}", "ADD made them as one veth")
    _same(f"the MAC address of {host}", link.mac, one.host.get("mac"))
    _same(f"the state of {host}", _state(link), "up")
    _same(f"the link group of {host}", link.group, ports.LINK_GROUP)


def _check_switch(request: Request, one: _Said, others: tuple[str, ...]) -> str:
    """The type of the interface that the switch has."""
    mine, bridge = one.attachment, request.network.bridge
    database = Database(request.network.ovsdb)
    try:
        row = ports.find_port(database, bridge, mine.host)
    finally:
        database.close()
    if row is None:
        raise _changed(f"port {mine.host} is not on bridge {bridge}", "ADD put it there")
    ids = row["external_ids"]
    wanted = {NETWORK_KEY: mine.network, CONTAINER_KEY: mine.container, IFNAME_KEY: mine.ifname}
    wanted |= {"attached-mac": str(one.container.get("mac")), WITH_KEY: mine.primary}
    wanted[OTHERS_KEY] = "" if mine.primary else " ".join(others)
    for key, value in wanted.items():
        _same(f"external_ids:{key} of port {mine.host}", ids.get(key, ""), value)
    if row["error"] or not isinstance(row["ofport"], int) or row["ofport"] < 1:
        raise _changed(f"port {mine.host} is not in the switch", str(row["error"] or "ovs-vswitchd has not opened it"))
    return str(row["type"])


def _check_controller(request: Request, one: _Said, others: tuple[str, ...]) -> Assignment:
    network, mine = request.network, one.attachment
    named = f"the port {mine.ifname}" if mine.primary else "the port"
    controller = Controller(network.controllers, read_token(network.token_file), network.ca_file)
    try:
        _, port = controller.call("GET", mine.path(network.node))
    except RefusedError as error:
        if error.status != 404:
            raise
        raise _changed(f"the controller does not know {named}: its address is not reserved", error.details) from None
    finally:
        controller.close()
    assignment = Assignment(port)
    _same(f"the controller's MAC address for {named}", assignment.mac, one.container.get("mac"))
    _same(f"the controller's addresses for {named}", dict(assignment.told), one.addresses)
    missing = [] if mine.primary else [name for name in assignment.others if name not in others]
    if missing:
        # One that it does not list any more is no fault in the pod: it is asked for each that ADD made.
        raise _changed(f"the pod lacks {' '.join(missing)}", "the controller lists it among the pod's interfaces")
    _same(f"the phase of {named}'s flows", port.get("phase"), "Committed")
    return assignment


class _Said:
    """What ADD said about one interface. `host`, `container`: its ends; `addresses`: with their gateways."""

    __slots__ = ("addresses", "attachment", "container", "host")

    def __init__(self, attachment: Attachment, ends: tuple[dict[str, Any], dict[str, Any]], ips: list[Any]) -> None:
        self.attachment: Final = attachment
        self.host, self.container = ends
        self.addresses: Final = {str(ip.get("address")): str(ip.get("gateway") or "") for ip in ips}


def _said(previous: dict[str, Any], primary: Attachment, request: Request) -> list[_Said]:
    """What ADD said, out of a `prevResult`, the primary interface first; empty when it is not in there."""
    first = _said_of(previous, primary, request.netns)
    if first is None:
        return []
    interfaces = previous.get("interfaces") or []
    names = [str(i.get("name")) for i in interfaces if i.get("sandbox") and i.get("name") != primary.ifname]
    others = [Attachment(primary.network, primary.container, name, primary.ifname) for name in dict.fromkeys(names)]
    found = [_said_of(previous, mine, request.netns) for mine in others]
    # Another plugin's interface has no host's end of ours. A tap has none either; its switch knows which are ours.
    ours = frozenset() if first.host else _others(request, primary)
    return [first, *(one for one in found if one is not None and (one.host or one.attachment.ifname in ours))]


def _others(request: Request, primary: Attachment) -> frozenset[str]:
    """The names of the interfaces that came with `primary`, as its port in the switch tells them."""
    database = Database(request.network.ovsdb)
    try:
        row = ports.find_port(database, request.network.bridge, primary.host)
    finally:
        database.close()
    return frozenset(row["external_ids"].get(OTHERS_KEY, "").split()) if row is not None else frozenset()


def _said_of(previous: dict[str, Any], mine: Attachment, netns: str) -> _Said | None:
    interfaces = previous.get("interfaces") or []
    hosts = [i for i in interfaces if i.get("name") == mine.host and not i.get("sandbox")]
    # A runtime may have the namespace under another path than at ADD: the name decides when the path does not.
    inside = [n for n, i in enumerate(interfaces) if i.get("name") == mine.ifname and i.get("sandbox")]
    exact = [n for n in inside if interfaces[n]["sandbox"] == netns] or inside
    if not exact:
        return None
    ips = [ip for ip in previous.get("ips") or [] if ip.get("interface") == exact[0]]
    return _Said(mine, (hosts[0] if hosts else {}, interfaces[exact[0]]), ips)
