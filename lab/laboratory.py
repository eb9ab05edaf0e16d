"""The laboratory: everything a description asks for, started, and cleaned up whatever happens. Reads like Mininet."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from lab.api import Api
from lab.behind import behind
from lab.bindings import binding
from lab.controller import Controller
from lab.description import PodName, Topology
from lab.echo import EchoServers
from lab.errors import LabError
from lab.hosts import Host, Target, address_of
from lab.namespaces import Namespace
from lab.node import Node
from lab.ovs import check_programs
from lab.pings import Path as PingPath
from lab.pings import Pings
from lab.pod import Pod, create
from lab.probes import together
from lab.signals import undisturbed
from lab.state import ROOT, State
from lab.underlay import Underlay


def _silent(_: str) -> None:
    """Say nothing."""


class Lab:
    """A laboratory that runs while its context is open; several run side by side under different names.

    with Lab("demo", nodes=3) as lab:
        lab.network("red")
        a, b = lab.pods({"red/a": "n1", "red/b": "n2"})
        assert a.ping(b)
    """

    underlay: Underlay
    controller: Controller
    outside: Host
    nodes: dict[str, Node]

    def __init__(
        self,
        name: str,
        nodes: int | Topology = 3,
        port: int = 0,
        say: Callable[[str], None] = _silent,
        root: Path = ROOT,
    ) -> None:
        """Describe it; nothing is started yet.

        `nodes`: how many, or a whole description. `port`: REST on the root namespace's 127.0.0.1, 0 for a free one.
        `say` is told of progress. `root` is the directory where laboratories keep their state.
        """
        self.name = name
        self.description = nodes if isinstance(nodes, Topology) else Topology.of(nodes)
        self.nodes = {}
        self.pods_by_name: dict[str, Pod] = {}
        self._port = port
        self._say = say
        self._root = root
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def start(self) -> None:
        """Start underlay, controller, and Open vSwitch and heddle-node on every node; return when all are ready.

        Raises LabError, with the name of what did not start and its last words; cleanup() is the caller's then.
        """
        self._claim()
        self._say(f"starting Open vSwitch on {len(self.nodes)} nodes, and the controller")
        together([self.controller.start, *(node.ovs.start for node in self.nodes.values())])
        self._say("registering the nodes, starting heddle-node on each")
        for node in self.nodes.values():
            node.register(self.api, self.controller.underlay_url)
            node.start_keeper()
        together([partial(node.wait_ready, self.api) for node in self.nodes.values()])

    def cleanup(self) -> None:
        """Remove everything: processes, namespaces, files. Signals that would end us wait. Twice is no error."""
        with undisturbed():
            self._undo.close()
        self.pods_by_name.clear()

    @property
    def api(self) -> Api:
        """The controller's REST interface, with an administrator's rights."""
        return self.controller.api

    def settle(self) -> None:
        """Let every switch decide the next packet by the tables that it has committed.

        Open vSwitch acknowledges a bundle before it has revalidated what its datapath has cached of the old tables. Who
        changes something and asks at once, once, would now and then still hear the old decision. What is cached is
        purged: to wait for revalidators would take two rounds of theirs, of half a second each.
        """
        together([partial(node.ovs_appctl, "revalidator/purge") for node in self.nodes.values()])

    @property
    def hosts(self) -> list[Host]:
        """Pods, nodes and the outside host."""
        return [*self.pods_by_name.values(), *self.nodes.values(), self.outside]

    def node(self, name: str) -> Node:
        """The node called `name`; LabError when there is none."""
        if name not in self.nodes:
            raise LabError(f"there is no node {name!r}; there are {', '.join(self.nodes)}")
        return self.nodes[name]

    def network(
        self,
        name: str,
        projects: Iterable[str] | None = None,
        subnets: Iterable[str] = (),
        flat: bool = False,
        mtu: int | None = None,
    ) -> None:
        """Create a network with these projects; without any named, with one of the network's own name.

        `subnets`: CIDRs of its own; without, its pods have addresses of the cluster's range. `flat`: an address may be
        on any node. `mtu` in bytes. ProblemError when the controller refuses.
        """
        chosen = [name] if projects is None else list(projects)
        own = [{"name": f"s{number}", "cidr": cidr} for number, cidr in enumerate(subnets, 1)]
        self.api.post("/v1/networks", {"name": name, "projects": chosen, "subnets": own, "flat": flat, "mtu": mtu})

    def project(self, name: str, network: str | None = None, labels: Mapping[str, str] | None = None) -> None:
        """Create a project, at home on `network` (None: as the controller is set up), or replace its labels."""
        self.api.post("/v1/projects", {"name": name, "network": network, "labels": labels and dict(labels)})

    def bind(self, name: str, **fields: Any) -> None:
        """Make or replace a binding; `fields` as for lab.bindings.binding. ProblemError when the controller refuses."""
        self.api.post("/v1/bindings", {"name": name, **binding(**fields)})

    def unbind(self, name: str) -> None:
        """Remove a binding; ProblemError when the controller refuses."""
        self.api.delete(f"/v1/bindings/{name}")

    def label_pod(self, name: str, labels: Mapping[str, str] | None = None, networks: Iterable[str] = ()) -> None:
        """Say what a tenant would of the pod `project/pod`: its labels, and the networks that it asks for.

        It counts when the pod is made.
        """
        pod = PodName.parse(name)
        body = {"project": pod.project, "pod": pod.pod, "labels": dict(labels or {}), "networks": list(networks)}
        self.api.post("/v1/pods", body)

    def join(
        self,
        first: str,
        second: str,
        one_way: bool = False,
        ports: Iterable[str] = (),
        services_only: bool = False,
    ) -> None:
        """Connect two networks, or change what they may begin; returns when the change is in force.

        `one_way`: the second may begin nothing. `ports`, as `80/tcp`, and `services_only` narrow what may be begun.
        ProblemError when the controller refuses.
        """
        scopes = _scopes(one_way, ports, services_only)
        self.api.post("/v1/connections", {"networks": [first, second], **scopes})

    def join_translated(self, first: str, second: str, one_way: bool = False, ports: Iterable[str] = ()) -> None:
        """Connect two networks whose ranges may overlap: each knows the other's by prefixes that are allotted now."""
        scopes = _scopes(one_way, ports, services_only=False)
        self.api.post("/v1/connections", {"networks": [first, second], **scopes, "translated": True})

    def known_as(self, pod: Pod, source: Pod) -> str:
        """The address by which one pod knows another, in the controller's words."""
        walk = self.api.get(f"/v1/trace?from={source.name}&to={pod.name}")
        return str(walk["destination"])

    def isolate(self, first: str, second: str) -> None:
        """Take the connection of two networks away; returns when the change is in force."""
        self.api.delete(f"/v1/connections/{first}/{second}")

    def move(self, project: str, network: str) -> None:
        """Take a project with its pods to another network; returns when they are there. ProblemError when refused."""
        self.api.patch(f"/v1/projects/{project}", {"network": network})
        for pod in self.pods_by_name.values():
            if pod.project == project:
                pod.network = network

    def pod(self, name: str, on: str) -> Pod:
        """Make the pod `project/pod` on a node, by executing the CNI plugin. CniError when it refuses."""
        pod = create(self._state, PodName.parse(name), self.node(on), self._echo, self._pod_uid(name, on))
        self.pods_by_name[name] = pod
        port = f"{pod.attachment.container}/{pod.attachment.interface}"
        pod.network = self.api.get(f"/v1/nodes/{on}/ports/{port}")["network"]
        if len(pod.interfaces) > 1:
            pod.networks = self._networks_of(pod)
        return pod

    def _pod_uid(self, name: str, on: str) -> str:
        """The uid that a runtime would tell; without Kubernetes there is none."""
        return ""

    def pods(self, placement: Mapping[str, str]) -> list[Pod]:
        """Make several pods at once, `{"project/pod": "node"}`; in the order given."""
        return together([partial(self.pod, name, node) for name, node in placement.items()])

    def remove_pod(self, name: str) -> None:
        """DEL and remove a pod; LabError when there is none of that name."""
        if name not in self.pods_by_name:
            raise LabError(f"there is no pod {name!r}; there are {', '.join(self.pods_by_name)}")
        pod = self.pods_by_name.pop(name)
        pod.detach()
        self._echo.silence(pod.namespace)
        self._state.forget(pod.namespace)

    def behind(self, pod: Pod, port: int, mtu: int) -> AbstractContextManager[Namespace]:
        """A namespace that the pod routes its TCP `port` to, on a link with `mtu` bytes, while the context is open."""
        return behind(self._state, pod, port, mtu)

    def pings(self, pairs: Sequence[tuple[Host, Target]], interval: float = 0.02) -> Pings:
        """Pings that go on while the context that this returns is open, one for each pair, every `interval` s."""
        return Pings([_ping_path(source, target) for source, target in pairs], interval)

    def _networks_of(self, pod: Pod) -> dict[str, str]:
        """The networks of a pod's interfaces, by these' names."""
        ports = self.api.get(f"/v1/ports?node={pod.node.name}")["ports"]
        own = {one["interface"]: one["network"] for one in ports if one["container"] == pod.attachment.container}
        return {name: own[name] for name in pod.interfaces}

    def _claim(self) -> None:
        """Claim the name, wire the underlay, and describe what runs on it. Nothing runs yet but the echo servers."""
        check_programs("nft")
        self._state = State(self.name, self._root)
        self._undo.callback(self._state.release)
        self._undo.callback(self._state.clear)
        self._echo = EchoServers()
        self._undo.callback(self._echo.close)
        self.underlay = Underlay(self._state, self.description)
        hosts = self.underlay.hosts
        self.outside = Host("outside", hosts["outside"], self.description.outside, self._echo)
        self.nodes = {
            spec.name: Node(spec, hosts[spec.name], self._state.folder(spec.name), self._echo)
            for spec in self.description.nodes
        }
        for node in self.nodes.values():
            self._undo.callback(node.stop_keeper, signal.SIGKILL)
        folder = self._state.folder("controller")
        self.controller = Controller(hosts["controller"], folder, self.description.controller, self._port)
        self.controller.flags = (*self.controller.flags, *self.description.flags)
        self._undo.callback(self.controller.close)
        self.controller.api.settle = self.settle


def _scopes(one_way: bool, ports: Iterable[str], services_only: bool) -> dict[str, Any]:
    """What either network may begin, as the API is told it."""
    numbers = [one.partition("/") for one in ports]
    named = [{"protocol": protocol.upper(), "port": int(number)} for number, _, protocol in numbers]
    scope = {"services_only": services_only, "ports": named}
    return {"forward": scope, "backward": None if one_way else scope}


def _ping_path(source: Host, target: Target) -> PingPath:
    named = target.name if isinstance(target, Host) else str(target)
    return PingPath(f"{source.name} -> {named}", source.namespace, address_of(target, source))
