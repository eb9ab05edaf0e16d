"""Indexes of a snapshot equal those computed from its objects, after any sequence of events."""

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from tests.topology.sequences import events_between
from tests.topology.strategies import any_request, granted, snapshots
from topology.holding import holder
from topology.labels import Handle
from topology.model import Address, Binding, Endpoint, Held, Hosting, Port, Project, ServiceKey
from topology.requests import Request
from topology.snapshot import BLOCK_BITS, Block, Change, Claim, Put, Remove, Snapshot, apply, apply_all, empty, places


def grouped(pairs: list[tuple[Any, Any]]) -> dict[Any, set[Any]]:
    """Return the members of each key."""
    groups: dict[Any, set[Any]] = {}
    for key, member in pairs:
        groups.setdefault(key, set()).add(member)
    return groups


def plain(index: Map[Any, Any]) -> dict[Any, Any]:
    """Return an index as a dictionary, its sets of members as sets."""
    return {key: members(value) if isinstance(value, Map) else value for key, value in index.items()}


def members(found: Map[Any, Any]) -> Any:
    """Return what stands under a key: a set, or more about each of its members."""
    return dict(found) if any(value is not None for value in found.values()) else set(found)


def taken(snapshot: Snapshot) -> dict[Block, int]:
    """Return the bit maps of held and quarantined addresses."""
    held = {place for port in snapshot.ports.values() for place in places(port)}
    blocks: dict[Block, int] = {}
    for space, address in held | set(snapshot.quarantined):
        block = Block(space, address.version, int(address) >> BLOCK_BITS)
        blocks[block] = blocks.get(block, 0) | 1 << (int(address) % (1 << BLOCK_BITS))
    return blocks


def recomputed(snapshot: Snapshot) -> dict[str, dict[Any, Any]]:
    """Return what every index must say, from the objects alone."""
    ports, networks, nodes = snapshot.ports.values(), snapshot.networks.values(), snapshot.nodes.values()
    pairs = [pair for first, second in snapshot.connections for pair in ((first, second), (second, first))]
    return {
        "node_by_dpid": {node.dpid: node.name for node in nodes},
        "node_by_underlay": {node.underlay: node.name for node in nodes},
        "network_by_vnid": {network.vnid: network.name for network in networks},
        "global_networks": {network.name: None for network in networks if network.is_global},
        "terminating": {network.name: None for network in networks if network.terminating},
        "moves_of": grouped(
            [(end, name) for name, move in snapshot.moves.items() for end in (move.source, move.target)]
        ),
        "peers": grouped(pairs),
        "blocks_of": grouped([(block.network, block.prefix) for block in snapshot.blocks.values()]),
        "blocks_at": grouped([(block.node, (block.network, block.prefix)) for block in snapshot.blocks.values()]),
        "blocks_on": grouped([((block.network, block.node), block.prefix) for block in snapshot.blocks.values()]),
        "network_by_zone": {each.zone: each.name for each in networks if each.zone is not None and not each.is_transit},
        "projects_of": grouped([(project.network, name) for name, project in snapshot.projects.items()]),
        "homes_of": grouped([(project.home, name) for name, project in snapshot.projects.items()]),
        **recomputed_bindings(snapshot),
        "services_of": grouped([(key.project, key) for key in snapshot.services]),
        "service_by_address": {service.address: key for key, service in snapshot.services.items()},
        "service_by_node_port": {
            place: key for key, service in snapshot.services.items() for place in service.held_ports
        },
        "services_outside": {
            key: service
            for key, service in snapshot.services.items()
            if service.external or service.ingress or service.external_local
        },
        "near": near(snapshot),
        "ingress_of": grouped([(each, key) for key, service in snapshot.services.items() for each in service.ingress]),
        **recomputed_holding(snapshot),
        "slices_of": grouped([(each.service_key, key) for key, each in snapshot.slices.items()]),
        "slices_in": Counter(key.project for key in snapshot.slices),
        "mirrors_of": grouped([(each.pod or each.network, name) for name, each in snapshot.mirrors.items()]),
        "mirrors_to": grouped([(each.target, name) for name, each in snapshot.mirrors.items()]),
        **recomputed_groups(snapshot),
        "ports_on": grouped([(port.node, port.key) for port in ports]),
        "port_by_interface": {(port.node, port.host_interface): port.key for port in ports},
        "port_by_ofport": {(port.node, port.ofport): port.key for port in ports if port.ofport is not None},
        "port_by_pod": grouped([((port.project, port.pod), port.key) for port in ports]),
        "ports_in": Counter(port.project for port in ports),
        "ports_of": grouped([((port.project, port.network), port.key) for port in ports]),
        "port_by_mac": {(port.space, port.mac): port.key for port in ports},
        "holder": {place: port.key for port in ports for place in places(port)},
        "taken": taken(snapshot),
        "hosted": Counter((port.node, port.network) for port in ports),
        "hosts": grouped([(port.network, port.node) for port in ports]),
        "hosting": grouped([(port.node, port.network) for port in ports]),
    }


def near(snapshot: Snapshot) -> dict[str, dict[ServiceKey, tuple[Endpoint, ...]]]:
    """Endpoints of services with a local policy, by node and service."""
    found: dict[str, dict[ServiceKey, set[Endpoint]]] = {}
    for of in snapshot.slices.values():
        service = snapshot.services.get(of.service_key)
        for endpoint in of.endpoints:
            if service and service.external_local and endpoint.address.version == service.address.version:
                found.setdefault(endpoint.node, {}).setdefault(service.key, set()).add(endpoint)
    found.pop("", None)
    return {node: {key: tuple(sorted(some)) for key, some in of.items()} for node, of in found.items()}


def recomputed_holding(snapshot: Snapshot) -> dict[str, dict[Any, Any]]:
    """Return what the indexes of egresses must say, and who holds their addresses."""
    egresses = snapshot.egresses.values()
    by_address = {address: each for each in egresses for address in each.addresses}
    living = {name for name in snapshot.nodes if name not in snapshot.outages}
    holders = {
        address: holder(address, living.intersection(each.nodes) if each.nodes else living)
        for address, each in by_address.items()
    }
    claims = {address: Claim(f'egress "{each.name}"', each.nodes) for address, each in by_address.items()}
    claims |= claimed_of_pool(snapshot)
    holders |= {
        address: holder(address, living.intersection(each.nodes) if each.nodes else living)
        for address, each in claims.items()
    }
    return {
        "egresses_of": grouped([(each.network, each.name) for each in egresses]),
        "egresses_via": grouped([(each.via, each.name) for each in egresses if each.via is not None]),
        "egress_by_address": {address: each.name for address, each in by_address.items()},
        "claims": claims,
        "held": {address: node for address, node in holders.items() if node is not None},
    }


def claimed_of_pool(snapshot: Snapshot) -> dict[Address, Claim]:
    """Addresses of the pool that services have; of those that lead to endpoints on a node only, by nodes with some."""
    found: dict[Address, Claim] = {}
    for key, service in sorted(snapshot.services.items(), reverse=True):
        endpoints = [
            each
            for of in snapshot.slices.values()
            for each in of.endpoints
            if of.service_key == key and each.node and each.address.version == service.address.version
        ]
        ready = {each.node for each in endpoints if each.ready or service.publish_not_ready}
        nodes = ready or {each.node for each in endpoints if each.serving and each.terminating}
        for address in service.ingress:
            found.pop(address, None)
            is_pooled = any(address in cidr for cidr in snapshot.cluster.load_balancer_pool)
            if is_pooled and (nodes or not service.external_local):
                wanted = tuple(sorted(nodes)) if service.external_local else ()
                found[address] = Claim(f'service "{key.project}/{key.name}"', wanted)
    return found


def recomputed_bindings(snapshot: Snapshot) -> dict[str, dict[Any, Any]]:
    """Return what the indexes of bindings must say: each selector is held against each project."""
    bindings, projects = snapshot.bindings.values(), snapshot.projects.values()
    bound = [(project.name, each) for project in projects for each in bindings if is_selected(project, each)]
    labelled = [(project.name, pair) for project in projects for pair in project.selectable]
    return {
        "projects_labelled": grouped(
            [(handle, name) for name, (key, value) in labelled for handle in (Handle(key, value), Handle(key, None))]
        ),
        "pods_of": grouped([(key.project, key) for key in snapshot.pods]),
        "bindings_wanting": grouped([(handle, each.name) for each in bindings for handle in each.projects.handles()]),
        "bindings_to": grouped([(network, each.name) for each in bindings for network in each.networks]),
        "promised": grouped(
            [
                (address, (each.name, one.network))
                for each in bindings
                for one in each.attachments
                for address in one.addresses
            ]
        ),
        "project_bindings": grouped([(name, each.name) for name, each in bound if each.pods is None]),
        "pod_bindings": grouped(
            [((name, handle), each.name) for name, each in bound if each.pods for handle in each.pods.handles()]
        ),
    }


def is_selected(project: Project, binding: Binding) -> bool:
    return binding.projects.selects((*project.labels, ("kubernetes.io/metadata.name", project.name)))


def check_indexes(snapshot: Snapshot) -> None:
    for name, wanted in recomputed(snapshot).items():
        assert plain(getattr(snapshot, name)) == wanted, name


def recomputed_groups(snapshot: Snapshot) -> dict[str, Any]:
    """Return the indexes of memberships; those of ports that are not there yet stand in none."""
    joined = [(snapshot.ports[key], each) for key, each in snapshot.memberships.items() if key in snapshot.ports]
    return {
        "listeners": grouped([((port.network, group), port.key) for port, each in joined for group in each.groups]),
        "groups_of": grouped([(port.network, group) for port, each in joined for group in each.groups]),
    }


OBJECTS = (
    *("cluster", "nodes", "networks", "projects", "moves", "connections", "blocks", "ports", "services"),
    *("slices", "quarantined", "watermarks", "pods", "bindings", "egresses", "mirrors", "outages", "memberships"),
)


def test_every_index_is_checked() -> None:
    assert {*OBJECTS, *recomputed(empty()), "latest"} == set(Snapshot.__slots__)
    check_indexes(empty())


@given(snapshots(), st.lists(any_request(), max_size=25))
@settings(max_examples=80)
def test_indexes_are_right_after_requests(snapshot: Snapshot, asked: list[Request]) -> None:
    check_indexes(snapshot)
    for request in asked:
        for event in granted(snapshot, request):
            snapshot, _ = apply(snapshot, event)
        check_indexes(snapshot)


@given(snapshots(), snapshots(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_indexes_are_right_after_events_in_any_order(old: Snapshot, new: Snapshot, chance: Random) -> None:
    events = list(events_between(old, new))
    chance.shuffle(events)
    snapshot, _ = apply_all(old, tuple(events))
    check_indexes(snapshot)
    assert all(getattr(snapshot, name) == getattr(new, name) for name in OBJECTS)


@given(snapshots(), st.lists(any_request(), max_size=15))
@settings(max_examples=60)
def test_changes_tell_before_and_after_and_nothing_changes_twice(snapshot: Snapshot, asked: list[Request]) -> None:
    for request in asked:
        for event in granted(snapshot, request):
            after, changes = apply(snapshot, event)
            assert changes, event
            assert changes[0].before != changes[0].after
            assert changes[0].after == (event.value if isinstance(event, Put) else None)
            assert all(isinstance(change.subject, Hosting | Held) for change in changes[1:])
            assert apply(after, event) == (after, ())
            back = Remove(event.value) if changes[0].before is None else Put(changes[0].before)
            restored, undone = apply(after, back)
            assert all(getattr(restored, name) == getattr(snapshot, name) for name in OBJECTS)
            assert set(undone) == {Change(change.after, change.before) for change in changes}
            snapshot = after


def test_first_and_last_port_of_a_network_on_a_node_change_who_hosts_it(two_pods: tuple[Port, Port]) -> None:
    one, other = two_pods
    fact = Hosting(one.node, one.network)
    snapshot, first = apply(empty(), Put(one))
    snapshot, second = apply(snapshot, Put(other))
    snapshot, third = apply(snapshot, Remove(one))
    snapshot, fourth = apply(snapshot, Remove(other))
    assert first == (Change(None, one), Change(None, fact))
    assert second == (Change(None, other),)
    assert third == (Change(one, None),)
    assert fourth == (Change(other, None), Change(fact, None))
    check_indexes(snapshot)
