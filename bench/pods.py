"""Adding and removing pods on a rig, one after the other, seen on the wire. Which rigs are compared is the row's.

The controller is told of each pod by REST beforehand, as by a node's shim. A raw contender answers the same messages
with the bytes that the controller sent for them a moment ago, on bridges that hold the same flows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bench import answers
from bench.answers import Recorded
from bench.dummies import MOST_BRIDGES
from bench.ground import underlay
from bench.rigs import ControllerRig, RawRig, Site
from bench.tap import Message
from bench.world import FIRST_POD_PORT, network_name, report
from ryu_apps.openflow.decode import bundle_reply
from ryu_apps.openflow.wire import MessageType

_SETTLE = 0.003  # seconds after a commit reply in which what else it causes is seen too
_BUNDLE = (MessageType.BUNDLE_CONTROL, MessageType.BUNDLE_ADD)


class WrongEndError(RuntimeError):
    """A contender did not do what was measured."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod to be added: its node, its port, its project."""

    number: int
    name: str
    ofport: int

    @property
    def interface(self) -> str:
        """The name of its port on the switch."""
        return report(self.number, self.name, "").host_interface


@dataclass(frozen=True, slots=True)
class Seen:
    """One port's message and what followed, on the wire: nanoseconds, what was sent, and to how many switches."""

    total: int  # from the port's message to the commit reply
    reaction: int  # from the port's message to the last byte of the commit request
    bundle: bytes
    flow_mods: int
    switches: int


@dataclass(frozen=True, slots=True)
class Round:
    """Pods added, and CPU-milliseconds of all additions by program."""

    added: tuple[Seen, ...]
    cpu_ms: Mapping[str, float]
    flows: tuple[int, ...]  # on each real bridge when all were added


def pods_of_round(number: int, nodes: int, count: int, base: int) -> tuple[Pod, ...]:
    """`count` pods for round `number`, in turn on nodes 1 to `nodes`, which have `base` pods already."""
    return tuple(
        Pod(position % nodes + 1, f"r{number}x{position // nodes}", FIRST_POD_PORT + base + position // nodes)
        for position in range(count)
    )


def seen(messages: Sequence[Message], node: IPv4Address) -> Seen:
    """What the messages after a port's message of `node` amount to. WrongEndError when its bundle is not committed."""
    own = [message for message in messages if message.switch[0] == node]
    events = [message for message in own if message.kind == MessageType.PORT_STATUS]
    bundle = [message for message in own if message.to_switch and message.kind in _BUNDLE]
    replies = [one for one in own if not one.to_switch and one.kind == MessageType.BUNDLE_CONTROL]
    commits = [one for one in replies if bundle_reply(one.raw).committed]
    if not events or not bundle or not commits:
        raise WrongEndError(f"the switch at {node}: {len(events)} events, {len(commits)} commit replies")
    adds = [one for one in messages if one.to_switch and one.kind == MessageType.BUNDLE_ADD]
    return Seen(
        total=commits[-1].at - events[0].at,
        reaction=bundle[-1].at - events[0].at,
        bundle=b"".join(message.raw for message in bundle),
        flow_mods=len(adds),
        switches=len({message.switch for message in adds}),
    )


@dataclass(slots=True)
class Feed:
    """What the controller sent, for raw contenders to repeat: first of all, and in the latest round."""

    preludes: dict[int, bytes] = field(default_factory=dict)
    latest: dict[tuple[int, bytes, bool], bytes] = field(default_factory=dict)

    def record_preludes(self, messages: Iterable[Message]) -> None:
        """Keep the bundles that programmed switches when they connected, by datapath id."""
        for message in messages:
            if message.to_switch and message.kind in _BUNDLE:
                dpid = int(message.switch[0]) - int(underlay(1)) + 1
                self.preludes[dpid] = self.preludes.get(dpid, b"") + message.raw


class PodAdditions:
    """Adds pods to one rig, round by round."""

    def __init__(self, rig: ControllerRig | RawRig, feed: Feed, count: int) -> None:
        """`count`: pods in a round. A controller's rig fills the feed, a raw one lives on it."""
        self._rig = rig
        self._feed = feed
        self._count = count

    def __call__(self, number: int) -> Round:
        """Add the pods of round `number` and remove them again; what was seen of the additions."""
        site, size = self._rig.site, self._rig.site.size
        pods = pods_of_round(number, min(size.real, MOST_BRIDGES), self._count, size.pods)
        self._announce(pods)
        programs = self._rig.programs()
        before = programs.read()
        added = [_tell(site, pod, gone=False) for pod in pods]
        spent = programs.read().since(before)
        flows = tuple(site.flow_count(one) for one in range(1, min(size.real, MOST_BRIDGES) + 1))
        removed = [_tell(site, pod, gone=True) for pod in pods]
        if isinstance(self._rig, ControllerRig):
            self._feed.latest = {**_recorded(pods, added, gone=False), **_recorded(pods, removed, gone=True)}
        return Round(tuple(added), spent, flows)

    def _announce(self, pods: Iterable[Pod]) -> None:
        if isinstance(self._rig, RawRig):
            file = self._rig.site.ground.folder("recorded") / "bundles"
            answers.write(file, self._feed.latest)
            self._rig.answers.remote.ask("bundles", path=str(file))
            return
        for position, pod in enumerate(pods):
            project = network_name(position % self._rig.site.size.plan.networks)
            request = report(pod.number, pod.name, project)
            key = request.key
            body = {"project": project, "pod": request.pod, "host_interface": request.host_interface}
            self._rig.controller.put_port(f"/v1/nodes/{key.node}/ports/{key.container}/{key.interface}", body)


def _tell(site: Site, pod: Pod, *, gone: bool) -> Seen:
    site.tap.skip()
    site.tell_port(pod.number, pod.ofport, pod.interface, gone=gone)
    time.sleep(_SETTLE)
    return seen(list(site.tap.read()), underlay(pod.number))


def _recorded(pods: Sequence[Pod], seen_of: Sequence[Seen], *, gone: bool) -> Recorded:
    return {(pod.number, pod.interface.encode(), gone): one.bundle for pod, one in zip(pods, seen_of, strict=True)}
