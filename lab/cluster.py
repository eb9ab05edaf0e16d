"""A laboratory with an API server and two replicas of the controller: lab nodes are its Nodes, pods its Pods.

As `Lab` but for what people make: networks are objects of the API, and projects are namespaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kube.client import Resource
from kube.errors import NotFound
from kube.objects import NAMESPACES, NODES, PODS
from kube.resources import (
    BINDINGS,
    CONNECTIONS,
    CUSTOM_RESOURCES,
    GROUP,
    NETWORKS,
    PROJECT_NETWORKS,
    VERSION,
    CustomResource,
)
from kube.schema import definition
from kube.writing import document
from lab.api import Api
from lab.apiservers import LabApiServer
from lab.controller import Controller
from lab.description import UNDERLAY, NodeSpec, PodName, Topology
from lab.errors import LabError
from lab.laboratory import Lab, _silent
from lab.probes import together

SYSTEM = "heddle-system"
API_ADDRESS = UNDERLAY[3]
SECOND = UNDERLAY[2]
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
TOKEN = "laboratory-admin-0123456789"
_DEADLINE = 60.0


class ClusterLab(Lab):
    """A laboratory of a cluster, with the replicas `controller` and `second`; `flags` are for both."""

    server: LabApiServer
    second: Controller

    def __init__(
        self, name: str, nodes: int = 3, say: Callable[[str], None] = _silent, flags: Iterable[str] = ()
    ) -> None:
        topology = Topology.of(nodes)
        others = (("second", SECOND), ("apiserver", API_ADDRESS))
        super().__init__(name, Topology(topology.nodes, topology.mtu, others=others), say=say)
        self._flags = tuple(flags)

    def start(self) -> None:
        """Start API server, controllers, and the nodes; return when all are ready. LabError."""
        self._claim()
        self._say("starting the API server")
        self.server.start()
        self._install()
        for spec in self.description.nodes:
            self.join_node(spec)
        self._say(f"starting Open vSwitch on {len(self.nodes)} nodes, and the controllers")
        together([self.controller.start, *(node.ovs.start for node in self.nodes.values())])
        self._until(partial(self._leads_all, "controller"), "the first replica does not answer for everything")
        self.second.start()
        self._say("starting heddle-node on each node")
        for node in self.nodes.values():
            token = self._until(partial(self._token, node.name), f"node {node.name} is not known to the controller")
            node.configure(token, [self.controller.underlay_url, self.second.underlay_url])
            node.start_keeper()
        together([partial(node.wait_ready, self.api) for node in self.nodes.values()])

    # --- what people and kubelets make ---------------------------------------------------------

    def join_node(self, spec: NodeSpec) -> None:
        """Make a Node, as a kubelet does."""
        self.server.apply(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": spec.name}})
        addresses = [{"type": "InternalIP", "address": str(spec.underlay)}, {"type": "Hostname", "address": spec.name}]
        condition = {"type": "NetworkUnavailable", "status": "True", "reason": "NoRoute", "message": "not yet"}
        status = {"addresses": addresses, "conditions": [condition]}
        self.server.client.patch_status(NODES, spec.name, {"status": status})

    def ask(self, resource: CustomResource, name: str, **spec: Any) -> None:
        """Make or change an object of ours; return when it is in force. LabError when it is refused."""
        self.server.apply(_at(resource), document(resource, name, {}, spec))
        self._until(partial(self._is_active, resource, name), f"{resource.singular} {name} is not active")

    def network(
        self,
        name: str,
        projects: Iterable[str] | None = None,
        subnets: Iterable[str] = (),
        flat: bool = False,
        mtu: int | None = None,
    ) -> None:
        """See `Lab.network`: a Network, and namespaces."""
        own = [{"cidr": cidr} for cidr in subnets]
        spec = {"subnets": own, "flat": flat, "mtu": mtu}
        self.ask(NETWORKS, name, **{key: value for key, value in spec.items() if value})
        for project in [name] if projects is None else projects:
            self.project(project, name)

    def project(self, name: str, network: str | None = None, labels: Mapping[str, str] | None = None) -> None:
        """See `Lab.project`: a Namespace, and a ProjectNetwork if it is to be on a network."""
        if network is not None:
            self.server.apply(_at(PROJECT_NETWORKS), document(PROJECT_NETWORKS, name, {}, {"network": network}))
        metadata = {"name": name, "labels": dict(labels or {})}
        self.server.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self._until(partial(self._is_on, name, network), f"project {name} is not on network {network}")

    def move(self, project: str, network: str) -> None:
        """See `Lab.move`: by spec.network of the ProjectNetwork."""
        self.server.client.patch(_at(PROJECT_NETWORKS), project, {"spec": {"network": network}})
        self._until(partial(self._has_moved, project, network), f"project {project} did not move to {network}")
        for pod in self.pods_by_name.values():
            if pod.project == project:
                pod.network = network

    def join(
        self, first: str, second: str, one_way: bool = False, ports: Iterable[str] = (), services_only: bool = False
    ) -> None:
        """See `Lab.join`: a Connection. Everything, both ways."""
        if one_way or services_only or tuple(ports):
            raise LabError("write the Connection's spec with ask()")
        names = sorted((first, second))
        self.ask(CONNECTIONS, ".".join(names), networks=names)

    def isolate(self, first: str, second: str) -> None:
        """See `Lab.isolate`: the Connection is deleted; return when it is gone."""
        name = ".".join(sorted((first, second)))
        self.server.client.delete(_at(CONNECTIONS), name)
        self._until(lambda: self.server.get(_at(CONNECTIONS), name) is None, f"connection {name} does not go")

    def bind(self, name: str, **fields: Any) -> None:
        """See `Lab.bind`: a Binding; `fields` is its spec."""
        self.ask(BINDINGS, name, **fields)

    def remove_pod(self, name: str) -> None:
        """DEL, and the Pod's end."""
        super().remove_pod(name)
        pod = PodName.parse(name)
        body = {"gracePeriodSeconds": 0}
        self.server.client.delete(PODS, pod.pod, pod.project, options=body)

    def _pod_uid(self, name: str, on: str) -> str:
        """Make the Pod, as a scheduler leaves it; its uid."""
        pod = PodName.parse(name)
        metadata = {"name": pod.pod, "namespace": pod.project}
        spec = {"nodeName": on, "containers": [{"name": "main", "image": "none"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return str(self.server.apply(PODS, body, pod.project)["metadata"]["uid"])

    # --- faults --------------------------------------------------------------------------------

    def cut_off(self, controller: Controller) -> None:
        """Let a controller not reach the API server any more."""
        hook = "{ type filter hook output priority 0; }"
        drop = f"add rule inet cut out ip daddr {self.server.address} drop"
        controller.namespace.run(["nft", f"add table inet cut; add chain inet cut out {hook}; {drop}"])

    def mend(self, controller: Controller) -> None:
        """Let it reach the API server again."""
        controller.namespace.run(["nft", "delete table inet cut"])

    # --- inside --------------------------------------------------------------------------------

    def _install(self) -> None:
        for resource in CUSTOM_RESOURCES:
            self.server.apply(DEFINITIONS, definition(resource))
        for resource in CUSTOM_RESOURCES:
            self._until(partial(self._is_served, resource), f"{resource.full_name} is not served")
        self.server.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})

    def _is_served(self, resource: CustomResource) -> bool:
        try:
            self.server.client.list(_at(resource), {"limit": 1})
        except NotFound:
            return False
        return True

    def _is_active(self, resource: CustomResource, name: str) -> bool:
        found = self.server.get(_at(resource), name)
        status = {} if found is None else found.get("status", {})
        if found is None or status.get("observedGeneration") != found["metadata"]["generation"]:
            return False
        for condition in status.get("conditions", ()):
            if condition["type"] == "Accepted" and condition["status"] == "False":
                raise LabError(f"{resource.singular} {name}: {condition['message']}")
        return bool(status.get("phase") == "Active")

    def _leads_all(self, replica: str) -> bool:
        found = self.api.get("/v1/replicas")["replicas"]
        return any(one["name"] == replica and len(one["nodes"]) == len(self.nodes) for one in found)

    def _is_on(self, project: str, network: str | None) -> bool:
        found = {each["name"]: each["network"] for each in self.api.get("/v1/projects")["projects"]}
        return project in found and network in (None, found[project])

    def _has_moved(self, project: str, network: str) -> bool:
        found = {each["name"]: each for each in self.api.get("/v1/projects")["projects"]}
        return bool(found[project]["network"] == network and found[project]["moving"] is None)

    def _token(self, node: str) -> str | None:
        try:
            return str(self.api.post(f"/v1/nodes/{node}/token", {})["token"])
        except LabError:
            return None

    def _until(self, found: Callable[[], Any], otherwise: str) -> Any:
        deadline = time.monotonic() + _DEADLINE
        while not (value := found()):
            if time.monotonic() > deadline:
                raise LabError(otherwise)
            time.sleep(0.02)
        return value

    def _claim(self) -> None:
        super()._claim()
        hosts = self.underlay.hosts
        self.server = LabApiServer(hosts["apiserver"], self._state.folder("apiserver"), API_ADDRESS)
        self._undo.callback(self.server.stop)
        self.second = Controller(hosts["second"], self._state.folder("second"), SECOND)
        self._undo.callback(self.second.close)
        token = self._state.folder("controller") / "admin-token"
        token.write_text(TOKEN)
        for name, replica in (("controller", self.controller), ("second", self.second)):
            replica.api = Api(replica.url, TOKEN)
            replica.flags = (
                "--heddle-kubernetes",
                f"--heddle-kubeconfig={self.server.kubeconfig}",
                f"--heddle-admin-token-file={token}",
                f"--heddle-replica={name}",
                *self._flags,
            )


def _at(resource: CustomResource) -> Resource:
    return Resource(GROUP, VERSION, resource.plural)
