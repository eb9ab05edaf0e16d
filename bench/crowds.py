"""Services in numbers, in a laboratory of `ways`: whether the datapath looks at more when there are more of them.

Services have one endpoint each; one more, the widest, has as many as there are services. The client asks them after the
datapath has forgotten everything, and then its megaflows are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Final, NamedTuple

from bench.datapath import Masks, masks
from bench.pods import WrongEndError
from bench.ways import PROJECT
from lab.echo import ECHO_PORT
from lab.hosts import Host
from lab.laboratory import Lab
from lab.node import Node
from lab.pod import Pod
from lab.probes import together

_PORT: Final = 80
_WIDEST: Final = "172.30.254.1"
_FIRST_PORT: Final = 20_000  # of the widest service's endpoints: nobody listens, so that they refuse at once
_PORTS: Final = ("vxlan_sys_4789", "tun0")  # besides pods': the tunnel, as the datapath calls it, and the node
_ASKED: Final = 100  # times the widest service is asked
_AT_ONCE: Final = 64


class Reach(IntEnum):
    """Whom the client asks: pods and the outside, every service too, and the widest one."""

    PODS = 0
    SERVICES = 1
    WIDEST = 2


class Looked(NamedTuple):
    """What the datapaths of both nodes look at, the client's first; and how long the connections took, in seconds."""

    masks: tuple[Masks, ...]
    seconds: tuple[float, ...]


@dataclass
class Crowd:
    """More and more services, which the pods `behind` answer for in turn."""

    lab: Lab
    client: Pod
    others: Sequence[Host]  # whom the client asks besides
    behind: Sequence[Pod]
    count: int = 0

    def grow(self, count: int) -> None:
        """Let there be so many services, and so many endpoints of the widest one."""
        more = range(self.count, count)
        _at_once(partial(self._make, number) for number in more)
        if not self.count and count:
            self._service("widest", _WIDEST)
        _at_once(partial(self._widen, number) for number in more if number % len(self.behind) == 0)
        self.count = count

    def look(self, reach: Reach) -> Looked:
        """Let both datapaths forget, ask, and look. WrongEndError when something is not answered."""
        for node in self.lab.nodes.values():
            node.ovs_appctl("revalidator/purge")
        ask = self.client.tcp
        asked = [partial(ask, host) for host in self.others]
        if reach >= Reach.SERVICES:
            asked += [partial(ask, _address(number), _PORT) for number in range(self.count)]
        outcomes = _at_once(asked)
        if failed := sum(not one for one in outcomes):
            raise WrongEndError(f"{failed} of {len(outcomes)} connections failed")
        if reach >= Reach.WIDEST and self.count:
            self._ask_widest()
        seen = tuple(self._masks(node) for node in self.lab.nodes.values())
        return Looked(seen, tuple(one.seconds for one in outcomes))

    def _ask_widest(self) -> None:
        outcomes = _at_once([partial(self.client.tcp, _WIDEST, _PORT)] * _ASKED)
        if failed := sum(not one.arrived for one in outcomes):
            raise WrongEndError(f"{failed} of {len(outcomes)} connections to the widest service came nowhere")

    def _masks(self, node: Node) -> Masks:
        pods = [pod.host_interface for pod in self.lab.pods_by_name.values() if pod.node is node]
        return masks(node.ovs_appctl("dpctl/dump-flows", "-m"), {*pods, *_PORTS})

    def _make(self, number: int) -> None:
        name = f"s{number}"
        self._service(name, _address(number))
        self._lead(name, name, [self.behind[number % len(self.behind)]], ECHO_PORT)

    def _widen(self, number: int) -> None:
        self._lead("widest", f"widest{number}", self.behind, _FIRST_PORT + number)

    def _service(self, name: str, address: str) -> None:
        body = {"project": PROJECT, "name": name, "address": address, "ports": _ports(_PORT)}
        self.lab.api.post("/v1/services", body)

    def _lead(self, service: str, name: str, pods: Iterable[Pod], port: int) -> None:
        endpoints = [{"address": str(pod.cluster_address), "node": pod.node.name} for pod in pods]
        body = {"project": PROJECT, "name": name, "service": service, "ports": _ports(port), "endpoints": endpoints}
        self.lab.api.post("/v1/endpoints", body)


def _address(number: int) -> str:
    return f"172.30.{number // 250}.{number % 250 + 1}"


def _ports(number: int) -> list[dict[str, Any]]:
    return [{"name": "tcp", "protocol": "TCP", "port": number}]


def _at_once(questions: Iterable[Callable[[], Any]]) -> list[Any]:
    """Some at a time: each has a connection and a thread."""
    todo = list(questions)
    return [one for first in range(0, len(todo), _AT_ONCE) for one in together(todo[first : first + _AT_ONCE])]
