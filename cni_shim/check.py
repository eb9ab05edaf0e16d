"""CHECK: what ADD said (`prevResult`) against the pod's namespace, the switch and the controller. Changes nothing."""

from __future__ import annotations

from cni_shim import attachment as ports
from cni_shim import netlink
from cni_shim.attachment import CONTAINER_KEY, IFNAME_KEY, NETWORK_KEY, Assignment, Attachment
from cni_shim.controller import Controller, read_token
from cni_shim.errors import BAD_CONFIGURATION, CHANGED, RefusedError, ShimError
from cni_shim.netns import Namespace
from cni_shim.ovsdb import Database
from cni_shim.result import own_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni_shim.plugin import Log
    from cni_shim.request import Request


def check(request: Request, _log: Log) -> None:
    """Raise ShimError CHANGED for the first difference; UNKNOWN_CONTAINER when the namespace is gone."""
    previous = request.network.prev_result
    if previous is None:
        raise ShimError(
            BAD_CONFIGURATION, "field 'prevResult' of the network configuration is missing", "CHECK needs it"
        )
    mine = Attachment(request.network.name, request.container, request.ifname)
    said = own_part(previous, mine.host, request.netns, request.ifname)
    if said is None:
        raise _changed(f"prevResult has no {mine.host} with {request.ifname} of {request.netns}", "ADD said so")
    namespace = Namespace(request.netns)
    try:
        with namespace:
            inside = netlink.Netlink()
    finally:
        namespace.close()
    try:
        peer = _check_container(inside, said, request)
        _check_host(mine, said, peer)
        _check_switch(request, mine, said)
        assignment = _check_controller(request, mine, said)
        _check_addresses(inside, peer, assignment, previous)
    finally:
        inside.close()


def _changed(what: str, details: str) -> ShimError:
    return ShimError(CHANGED, what, details)


def _same(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise _changed(f"{what} has changed", f"it is {seen!r}, ADD left {wanted!r}")


def _check_container(inside: netlink.Netlink, said: dict[str, Any], request: Request) -> netlink.Link:
    name = request.ifname
    link = netlink.links(inside).get(name)
    if link is None:
        raise _changed(f"interface {name} is not in {request.netns}", "ADD put it there")
    _same(f"the MAC address of {name}", link.mac, said["container"].get("mac"))
    if "mtu" in said["container"]:
        _same(f"the MTU of {name}", link.mtu, said["container"]["mtu"])
    _same(f"the state of {name}", _state(link), "up")
    return link


def _check_addresses(
    inside: netlink.Netlink, link: netlink.Link, assignment: Assignment, previous: dict[str, Any]
) -> None:
    """What is in the pod: the addresses that the controller has for it, which the result need not name, and routes."""
    have = netlink.addresses(inside, link.index)
    for address, _ in assignment.addresses:
        if address not in have:
            there = ", ".join(sorted(have)) or "none"
            raise _changed(f"address {address} is not on {link.name}", f"there are {there}")
    routes = netlink.routes(inside, link.index)
    for route in _own_routes(previous, assignment):
        if route not in routes:
            raise _changed(f"route {route[0]} by {route[1] or 'link'} is not over {link.name}", "ADD put it there")


def _own_routes(previous: dict[str, Any], assignment: Assignment) -> list[tuple[str, str]]:
    """Those routes of the result that are ours: by one of our gateways (others' are theirs to check)."""
    gateways = {gateway for _, gateway in assignment.addresses}
    found = [(str(r.get("dst")), str(r.get("gw") or "")) for r in previous.get("routes") or []]
    return [netlink.same_route(destination, gateway) for destination, gateway in found if gateway in gateways]


def _state(link: netlink.Link) -> str:
    return "up" if link.up else "down"


def _check_host(mine: Attachment, said: dict[str, Any], peer: netlink.Link) -> None:
    kernel = netlink.Netlink()
    try:
        link = netlink.links(kernel).get(mine.host)
    finally:
        kernel.close()
    if link is None or link.index != peer.peer or link.peer != peer.index:
        raise _changed(f"interface {mine.host} is not the other end of {peer.name}", "ADD made them as one veth")
    _same(f"the MAC address of {mine.host}", link.mac, said["host"].get("mac"))
    _same(f"the state of {mine.host}", _state(link), "up")
    _same(f"the link group of {mine.host}", link.group, ports.LINK_GROUP)


def _check_switch(request: Request, mine: Attachment, said: dict[str, Any]) -> None:
    database = Database(request.network.ovsdb)
    try:
        row = ports.find_port(database, request.network.bridge, mine.host)
    finally:
        database.close()
    if row is None:
        raise _changed(f"port {mine.host} is not on bridge {request.network.bridge}", "ADD put it there")
    ids = row["external_ids"]
    wanted = {NETWORK_KEY: mine.network, CONTAINER_KEY: mine.container, IFNAME_KEY: mine.ifname}
    wanted["attached-mac"] = str(said["container"].get("mac"))
    for key, value in wanted.items():
        _same(f"external_ids:{key} of port {mine.host}", ids.get(key), value)
    if row["error"] or not isinstance(row["ofport"], int) or row["ofport"] < 1:
        raise _changed(f"port {mine.host} is not in the switch", str(row["error"] or "ovs-vswitchd has not opened it"))


def _check_controller(request: Request, mine: Attachment, said: dict[str, Any]) -> Assignment:
    network = request.network
    controller = Controller(network.controllers, read_token(network.token_file), network.ca_file)
    try:
        _, port = controller.call("GET", mine.path(network.node))
    except RefusedError as error:
        if error.status != 404:
            raise
        raise _changed("the controller does not know the port: its address is not reserved", error.details) from None
    finally:
        controller.close()
    assignment = Assignment(port)
    _same("the controller's MAC address for the port", assignment.mac, said["container"].get("mac"))
    _same("the controller's addresses for the port", dict(assignment.told), said["addresses"])
    _same("the phase of the port's flows", port.get("phase"), "Committed")
    return assignment
