"""Networks and requests from a seed: for tests that count what they tried, as Hypothesis does not let them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.topology.strategies import (
    CLUSTER,
    CONTAINERS,
    EGRESS_ADDRESSES,
    EGRESSES,
    ENDPOINT_PORTS,
    ENDPOINTS,
    NETWORKS,
    NODE_PORT_NUMBERS,
    NODES,
    PROJECTS,
    RANGES,
    SCOPES,
    SERVICE_ADDRESSES,
    SERVICE_PORTS,
    SERVICES,
    SLICES,
    UNDERLAYS,
    after,
)
from topology import requests
from topology.model import (
    DEFAULT_NETWORK,
    Address,
    Egress,
    Endpoint,
    EndpointSlice,
    Mirror,
    Pod,
    PodKey,
    PortKey,
    Service,
    ServiceKey,
    SliceKey,
)
from topology.requests import Request
from topology.snapshot import Snapshot, empty


def network(chance: Random) -> Snapshot:
    """Return two or three nodes with three tenants and their pods, connections, services and endpoints."""
    nodes = NODES[: chance.choice((2, 3))]
    asked: list[Request] = [requests.SetCluster(CLUSTER)]
    asked += [requests.CreateNode(name, underlay) for name, underlay in zip(nodes, UNDERLAYS, strict=False)]
    for name, projects in (("red", ("red", "red-test")), ("blue", ("blue",)), ("green", ("green",))):
        subnets = chance.choice((*RANGES, RANGES[0], RANGES[0]))
        flat = bool(subnets) and chance.random() < 0.3
        asked.append(requests.CreateNetwork(name, None, chance.random() < 0.15, projects, subnets, flat))
    for _ in range(chance.choice((0, 1, 2, 3))):
        join = requests.JoinNetworks(*chance.sample(NETWORKS, 2), chance.choice(SCOPES), chance.choice(SCOPES))
        # Translated if that can be, or only if it must be.
        tries = chance.choice(((True, False), (False, True)))
        asked += [replace(join, translate=translate) for translate in tries]
    asked += [_service(chance) for _ in range(chance.choice((0, 1, 2, 2)))]
    for node in nodes:
        for container in chance.sample(CONTAINERS, chance.choice((2, 2, 3))):
            asked += [_report(chance, node, container), requests.PortSeen(node, f"v{container}", 3 + int(container[1]))]
            if chance.random() < 0.1:
                asked.pop()
    snapshot = after(empty(), *asked)
    found = [each for service in sorted(snapshot.services) for each in _endpoints(chance, service, snapshot)]
    egresses = [_egress(chance) for _ in range(chance.choice((0, 1, 2)))]
    return after(snapshot, *found, *egresses, *_limits(snapshot), *_mirrored(snapshot))


def _egress(chance: Random) -> requests.CreateEgress:
    addresses = tuple(chance.sample(EGRESS_ADDRESSES, chance.choice((1, 1, 2))))
    nodes = tuple(chance.sample(NODES, chance.choice((0, 0, 1))))
    made = Egress(chance.choice(EGRESSES), chance.choice(NETWORKS), addresses, None, nodes, chance.random() < 0.3)
    if chance.random() < 0.4:
        via = PodKey(chance.choice(PROJECTS), f"pod-{chance.choice(CONTAINERS)}")
        made = replace(made, addresses=(), nodes=(), via=via)
    return requests.CreateEgress(made)


def _limits(snapshot: Snapshot) -> Iterator[requests.SetPod]:
    """Limit every second pod in what it sends, and every third in what it gets."""
    for place, (project, name) in enumerate(sorted(snapshot.port_by_pod)):
        limits = (None if place % 3 else 10**6, None if place % 2 else 10**9)
        yield requests.SetPod(Pod(PodKey(project, name), (), (), *limits))


def _mirrored(snapshot: Snapshot) -> Iterator[requests.CreateMirror]:
    """Mirror a network to the first pod, and the last pod to the second."""
    pods = [PodKey(*pod) for pod in sorted(snapshot.port_by_pod)]
    yield requests.CreateMirror(Mirror("m1", 0, pods[0], "red"))
    yield requests.CreateMirror(Mirror("m2", 0, pods[1], None, pods[-1], received=False))


def _endpoints(chance: Random, service: ServiceKey, snapshot: Snapshot) -> list[requests.PutEndpoints]:
    """Return slices of a service: pods of its project's, of others, and some that are no pods; mostly ready ones."""
    pods: dict[bool, list[Address]] = {True: [], False: []}
    for port in snapshot.ports.values():
        own = port.network == snapshot.projects[service.project].network
        pods[own].append((port.cluster_addresses or port.addresses)[0])
    addresses = sorted({*pods[True], *chance.sample(sorted(pods[False]), min(2, len(pods[False]))), ENDPOINTS[-1]})
    found = [_endpoint(chance, address) for address in addresses if chance.random() < 0.8]
    divided = chance.randrange(len(found) + 1)
    return [
        requests.PutEndpoints(EndpointSlice(SliceKey(service.project, f"{service.name}-{n}"), service.name, ports, of))
        for n, (ports, of) in enumerate(
            ((ENDPOINT_PORTS, tuple(found[:divided])), (SERVICE_PORTS, tuple(found[divided:])))
        )
    ]


def _endpoint(chance: Random, address: Address) -> Endpoint:
    ready, serving, terminating = (chance.random() < often for often in (0.8, 0.7, 0.3))
    return Endpoint(address, chance.choice(("", *NODES)), ready, serving, terminating)


def _report(chance: Random, node: str, container: str) -> requests.ReportPort:
    project = chance.choice((*PROJECTS, *PROJECTS, DEFAULT_NETWORK))
    return requests.ReportPort(PortKey(node, container, "eth0"), project, f"pod-{container}", f"v{container}")


def _service(chance: Random) -> requests.CreateService:
    key = ServiceKey(chance.choice((*PROJECTS, DEFAULT_NETWORK)), chance.choice(SERVICES))
    node_port = chance.choice((0, *NODE_PORT_NUMBERS))
    offers = tuple(port._replace(node_port=node_port) for port in chance.sample(SERVICE_PORTS, chance.choice((1, 2))))
    affinity, local = chance.choice((0, 0, 10800)), chance.random() < 0.2
    return requests.CreateService(Service(key, chance.choice(SERVICE_ADDRESSES[:2]), offers, affinity, local))


def _slice(chance: Random) -> requests.PutEndpoints:
    key = SliceKey(chance.choice((*PROJECTS, DEFAULT_NETWORK)), chance.choice(SLICES))
    ports = tuple(chance.sample(ENDPOINT_PORTS, chance.choice((2, 3))))
    found = tuple(_endpoint(chance, address) for address in chance.sample(ENDPOINTS, chance.choice((1, 2, 3))))
    return requests.PutEndpoints(EndpointSlice(key, chance.choice(SERVICES), ports, found))


def request(chance: Random) -> Request:
    """Return any request of an administrator, a node or a switch."""
    network_names = (*NETWORKS, DEFAULT_NETWORK)
    one, other = chance.sample(network_names, 2)
    node, container = chance.choice(NODES), chance.choice(CONTAINERS)
    made: tuple[Request, ...] = (
        _report(chance, node, container),
        requests.PortSeen(node, f"v{container}", chance.randrange(3, 9)),
        requests.PortVanished(node, f"v{container}"),
        requests.ForgetPort(PortKey(node, container, "eth0")),
        requests.JoinNetworks(one, other, chance.choice(SCOPES), chance.choice(SCOPES)),
        requests.JoinNetworks(one, other),
        requests.JoinNetworks(one, other, chance.choice(SCOPES), chance.choice(SCOPES), translate=True),
        requests.IsolateNetworks(one, chance.choice((other, None))),
        requests.SetGlobal(one, chance.random() < 0.6),
        requests.CreateNetwork(one, None, False, (chance.choice(PROJECTS),), chance.choice(RANGES)),
        requests.DeleteNetwork(one),
        requests.CreateProject(chance.choice(PROJECTS), one),
        requests.DeleteProject(chance.choice(PROJECTS)),
        requests.CreateNode(node, chance.choice(UNDERLAYS)),
        requests.DeleteNode(node, chance.random() < 0.5),
        _service(chance),
        requests.DeleteService(ServiceKey(chance.choice(PROJECTS), chance.choice(SERVICES))),
        _slice(chance),
        requests.DeleteEndpoints(SliceKey(chance.choice(PROJECTS), chance.choice(SLICES))),
        _egress(chance),
        requests.DeleteEgress(chance.choice(EGRESSES)),
        requests.NodeLost(node),
        requests.NodeFound(node),
        requests.SetPod(_limited(chance, container)),
        requests.SetDscp(one, chance.choice((None, 0, 46))),
        requests.SetNode(node, chance.choice((None, "vxlan", "geneve"))),
        requests.CreateMirror(_mirror(chance, one)),
        requests.DeleteMirror(chance.choice(("m1", "m2"))),
    )
    weights = (4, 4, 1, 1, 3, 2, 3, 2, 2, 2, 1, 1, 1, 1, 1, 2, 1, 3, 1, 3, 1, 2, 1, 3, 1, 2, 2, 1)
    return chance.choices(made, weights)[0]


def _limited(chance: Random, container: str) -> Pod:
    some = (None, 10**6, 10**7)
    key = PodKey(chance.choice((*PROJECTS, DEFAULT_NETWORK)), f"pod-{container}")
    return Pod(key, (), (), chance.choice(some), chance.choice(some))


def _mirror(chance: Random, network: str) -> Mirror:
    target, pod = (PodKey(chance.choice(PROJECTS), f"pod-{chance.choice(CONTAINERS)}") for _ in range(2))
    sent, received = chance.choice(((True, True), (True, False), (False, True)))
    source = (network, None) if chance.random() < 0.5 else (None, pod)
    return Mirror(chance.choice(("m1", "m2")), 0, target, *source, sent, received)


def about_services(chance: Random) -> Request:
    """Return a request about a service or its endpoints."""
    made: tuple[Request, ...] = (
        _service(chance),
        _slice(chance),
        requests.DeleteService(ServiceKey(chance.choice(PROJECTS), chance.choice(SERVICES))),
        requests.DeleteEndpoints(SliceKey(chance.choice(PROJECTS), chance.choice(SLICES))),
    )
    return chance.choices(made, (3, 4, 1, 1))[0]


def administration(chance: Random) -> Request:
    """Return a request about who may talk to whom."""
    one, other = chance.sample((*NETWORKS, DEFAULT_NETWORK), 2)
    made: tuple[Request, ...] = (
        requests.JoinNetworks(one, other, chance.choice(SCOPES), chance.choice(SCOPES)),
        requests.JoinNetworks(one, other),
        requests.IsolateNetworks(one, chance.choice((other, None))),
        requests.SetGlobal(one, chance.random() < 0.6),
    )
    return chance.choice(made)
