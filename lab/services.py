"""Services of a laboratory: made of pods, and asked many times over. What they should do is said by who asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from lab.api import Api
from lab.echo import ECHO_PORT
from lab.hosts import Address, Host
from lab.pod import Pod
from lab.probes import Outcome, Verdict

PORT = 80
_PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass
class Service:
    """A service of a project at `address`, whose port 80 leads to the pods' echo servers, by every protocol.

    So does `node_port` of every node's own address, if it has one.
    """

    api: Api
    project: str
    name: str
    address: str
    node_port: int = 0

    def make(self, pods: Iterable[Pod], **fields: Any) -> Service:
        """Make it, with these pods as endpoints; `fields` as the API has them (affinity, …)."""
        body = {"project": self.project, "name": self.name, "address": self.address, "ports": self._offers(), **fields}
        self.api.post("/v1/services", body)
        self.serve(pods)
        return self

    @property
    def ingress(self) -> str:
        """The address of the pool that it has."""
        (address,) = self.api.get(f"/v1/services/{self.project}/{self.name}")["ingress"]
        return str(address)

    def serve(self, pods: Iterable[Pod], leaving: Iterable[Pod] = ()) -> None:
        """Let these pods be the endpoints, and `leaving` end what they are at; returns when that is in force."""
        ending = {"ready": False, "serving": True, "terminating": True}
        self._lead_to([*map(_endpoint, pods), *({**_endpoint(pod), **ending} for pod in leaving)])

    def point_to(self, address: Address, port: int = ECHO_PORT) -> None:
        """Let one address be the only endpoint: a node's, of a machine outside, or whose ever."""
        self._lead_to([{"address": str(address)}], port)

    def remove(self) -> None:
        """Remove it, and its endpoints."""
        self.api.delete(f"/v1/services/{self.project}/{self.name}")
        self.api.delete(f"/v1/endpoints/{self.project}/{self.name}-1")

    def _offers(self) -> list[dict[str, Any]]:
        return [{**port, "node_port": self.node_port} for port in _ports(PORT)]

    def _lead_to(self, endpoints: list[dict[str, Any]], port: int = ECHO_PORT) -> None:
        body = {"project": self.project, "name": f"{self.name}-1", "service": self.name, "ports": _ports(port)}
        self.api.post("/v1/endpoints", {**body, "endpoints": endpoints})
        self.api.settle()


def _endpoint(pod: Pod) -> dict[str, Any]:
    return {"address": str(pod.cluster_address), "node": pod.node.name}


def _ports(number: int) -> list[dict[str, Any]]:
    return [{"name": protocol.lower(), "protocol": protocol, "port": number} for protocol in _PROTOCOLS]


def spread(source: Host, service: Service, times: int) -> Counter[str]:
    """Who answered how many of so many connections, one after the other; "" for those that nobody did."""
    return Counter(source.tcp(service.address, PORT).by for _ in range(times))


def chi_square(counts: Sequence[int]) -> float:
    """Pearson's statistic of counts that should be equal."""
    mean = sum(counts) / len(counts)
    return sum((count - mean) ** 2 for count in counts) / mean


@dataclass
class Load:
    """While the context is open, so many connections a second from `source` to a service; then, what came of them."""

    source: Host
    service: Service
    per_second: int
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """What was not answered."""
        return [outcome for outcome in self.outcomes if outcome.verdict is not Verdict.ANSWERED]

    def __enter__(self) -> Load:
        self._ended = Event()
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._thread = Thread(target=self._run, name="load")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._pool.shutdown()

    def _run(self) -> None:
        asked: list[Future[Outcome]] = []
        began = time.monotonic()
        while not self._ended.is_set():
            asked.append(self._pool.submit(self.source.tcp, self.service.address, PORT))
            time.sleep(max(0.0, began + len(asked) / self.per_second - time.monotonic()))
        self.outcomes = [each.result() for each in asked]
