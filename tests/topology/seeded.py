"""Networks and requests from a seed: for tests that count what they tried, as Hypothesis does not let them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.topology.strategies import (
    CLUSTER,
    CONTAINERS,
    NETWORKS,
    NODES,
    PROJECTS,
    RANGES,
    SCOPES,
    SERVICE_ADDRESSES,
    SERVICE_PORTS,
    SERVICES,
    UNDERLAYS,
    after,
)
from topology import requests
from topology.model import DEFAULT_NETWORK, PortKey, Service, ServiceKey
from topology.requests import Request
from topology.snapshot import Snapshot, empty


def network(chance: Random) -> Snapshot:
    """Return two or three nodes with three tenants and their pods, connections and services."""
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
    asked += [_service(chance) for _ in range(chance.choice((0, 1, 2)))]
    for node in nodes:
        for container in chance.sample(CONTAINERS, chance.choice((2, 2, 3))):
            asked += [_report(chance, node, container), requests.PortSeen(node, f"v{container}", 3 + int(container[1]))]
            if chance.random() < 0.1:
                asked.pop()
    return after(empty(), *asked)


def _report(chance: Random, node: str, container: str) -> requests.ReportPort:
    project = chance.choice((*PROJECTS, *PROJECTS, DEFAULT_NETWORK))
    return requests.ReportPort(PortKey(node, container, "eth0"), project, f"pod-{container}", f"v{container}")


def _service(chance: Random) -> requests.CreateService:
    key = ServiceKey(chance.choice((*PROJECTS, DEFAULT_NETWORK)), chance.choice(SERVICES))
    offers = tuple(chance.sample(SERVICE_PORTS, chance.choice((1, 2))))
    return requests.CreateService(Service(key, chance.choice(SERVICE_ADDRESSES), offers))


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
    )
    weights = (4, 4, 1, 1, 3, 2, 3, 2, 2, 2, 1, 1, 1, 1, 1, 2, 1)
    return chance.choices(made, weights)[0]


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
