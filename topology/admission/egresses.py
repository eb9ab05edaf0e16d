"""Requests about egresses: whose address one may be, and that no two are for the same pods' network."""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import (
    check_takes_in,
    egress_fault,
    known_network,
    known_node,
    known_project,
    require,
)
from topology.admission.families import versions
from topology.admission.selectors import checked_selector
from topology.model import MOST_EGRESS_ADDRESSES, MOST_EGRESS_NODES, Address, Egress, PodKey, in_order
from topology.requests import CreateEgress, DeleteEgress, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot


def create_egress(snapshot: Snapshot, request: CreateEgress) -> tuple[Event, ...]:
    """Make or replace an egress."""
    egress = _checked(snapshot, request.egress)
    if snapshot.egresses.get(egress.name) == egress:
        return ()
    return (Put(egress),)


def delete_egress(snapshot: Snapshot, request: DeleteEgress) -> tuple[Event, ...]:
    """Remove an egress."""
    egress = snapshot.egresses.get(request.name)
    if egress is None:
        raise Refused(Reason.UNKNOWN, _named(request.name), "does not exist", "correct the name")
    return (Remove(egress),)


def _checked(snapshot: Snapshot, egress: Egress) -> Egress:
    """Return an egress with its selector in normal form. Raises Refused when it cannot be."""
    require(names.label_fault, "egress", egress.name)
    subject = _named(egress.name)
    network = known_network(snapshot, egress.network)
    old = snapshot.egresses.get(egress.name)
    if old is None or old.network != egress.network:
        check_takes_in(network)
    if egress.via is None:
        _check_counts(subject, egress)
    else:
        _check_via(snapshot, egress, egress.via)
    for address in egress.addresses:
        _check_address(snapshot, egress, address)
    for name in egress.nodes:
        if old is None or name not in old.nodes:  # one that went since is no hindrance
            known_node(snapshot, name)
    pods = None if egress.pods is None else checked_selector(subject, egress.pods)
    if pods is None:
        _check_alone(snapshot, egress)
    return replace(egress, addresses=in_order(egress.addresses), pods=pods, nodes=tuple(sorted(egress.nodes)))


def _check_counts(subject: str, egress: Egress) -> None:
    if not 1 <= len(egress.addresses) <= MOST_EGRESS_ADDRESSES:
        cause = f"it has {len(egress.addresses)} addresses"
        raise Refused(Reason.INVALID, subject, cause, f"give 1 to {MOST_EGRESS_ADDRESSES}")
    if len(egress.nodes) > MOST_EGRESS_NODES:
        cause = f"it names {len(egress.nodes)} nodes"
        raise Refused(Reason.INVALID, subject, cause, f"name at most {MOST_EGRESS_NODES}, or none for all")
    for kind, given in (("address", egress.addresses), ("node", egress.nodes)):
        twice = next((each for each in given if given.count(each) > 1), None)
        if twice is not None:
            raise Refused(Reason.INVALID, subject, f"it names {kind} {twice} twice", "name each once")


def _check_via(snapshot: Snapshot, egress: Egress, via: PodKey) -> None:
    """The gateway may come later; its project is there. Whose packets it gets, is said by this alone."""
    subject = _named(egress.name)
    for given, what in ((egress.addresses, "addresses"), (egress.nodes, "nodes")):
        if given:
            cause = f"it leads by a pod, and names {what} as well"
            raise Refused(Reason.INVALID, subject, cause, f"name no {what}, or no pod")
    known_project(snapshot, via.project)
    require(names.subdomain_fault, "pod", via.name)
    if 4 not in versions(snapshot.cluster):
        raise Refused(Reason.INVALID, subject, "pods have no IPv4 address", "by a gateway, only IPv4 leaves so far")


def _check_address(snapshot: Snapshot, egress: Egress, address: Address) -> None:
    subject = _named(egress.name)
    fault = egress_fault(address, snapshot.cluster)
    if fault is not None:
        remedy = "give an address of the outside that is nobody's"
        raise Refused(Reason.INVALID, subject, f"address {address} {fault}", remedy)
    if address.version not in versions(snapshot.cluster):
        cause = f"pods have no IPv{address.version} address, and could not leave by {address}"
        raise Refused(Reason.INVALID, subject, cause, "by an egress, only IPv4 leaves so far")
    node = snapshot.node_by_underlay.get(address)
    if node is not None:
        cause = f'address {address} belongs to node "{node}"'
        raise Refused(Reason.TAKEN, subject, cause, "give an address that is nobody's")
    claim = snapshot.claims.get(address)
    if claim is not None and claim.whose != subject:
        cause = f"address {address} belongs to {claim.whose}"
        raise Refused(Reason.TAKEN, subject, cause, "give another address, or delete that one first")


def _check_alone(snapshot: Snapshot, egress: Egress) -> None:
    """A network leaves by one egress; others of it are for pods that they select."""
    for name in sorted(snapshot.egresses_of.get(egress.network, {})):
        if name != egress.name and snapshot.egresses[name].pods is None:
            cause = f'network "{egress.network}" leaves by {_named(name)} already'
            remedy = "select pods, or delete that one first; one egress may have several addresses"
            raise Refused(Reason.TAKEN, _named(egress.name), cause, remedy)


def _named(name: str) -> str:
    return f'egress "{name}"'
