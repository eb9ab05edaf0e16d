"""Nodes that hold addresses fail: what is answered, from where, after how long, and by which address pods leave."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from functools import partial

from lab.demo_services.stage import ask
from lab.egress import ADDRESSES, Egress, seconds_until_seen, senders
from lab.frames import Sniffer
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import together
from lab.services import PORT, Service
from lab.story import Story
from lab.takeover import wait_for
from lab.trials import NOBODY

EGRESS = ADDRESSES[0]
ASKED = 4471  # a UDP port of the outside host's that nobody asks otherwise
FAILOVER = 5.0  # seconds
_PATIENCE = 0.25


def show(lab: Lab, story: Story) -> None:
    """An address of the pool by which others come in, and an egress address by which a network leaves."""
    _way_in(lab, story)
    _way_out(lab, story)


def _way_in(lab: Lab, story: Story) -> None:
    service = Service(lab.api, "fir", "balanced", "172.30.0.61")
    address = service.ingress
    first = _holder(lab, address)
    endpoints = [lab.pods_by_name[name] for name in ("fir/b", "fir/c", "fir/d")]
    others = [pod for pod in endpoints if pod.node.name != first]
    service.serve(others)
    lab.node(first).ovs.stop_switch(signal.SIGKILL)
    names = {pod.name for pod in others}
    seconds = wait_for(lambda: lab.outside.tcp(address, PORT, _PATIENCE).by in names, f"nobody answers for {address}")
    _in_time(story, f"{address} of the pool", (first, _holder(lab, address)), seconds)
    _revive(lab, first)


def _way_out(lab: Lab, story: Story) -> None:
    """Fir leaves by an address of its own; the node that holds it fails, then there is none that may."""
    outside, pods = lab.outside, lab.pods_by_name
    outside.listen(ASKED)
    egress = Egress(lab.api, "fir", "fir").make(EGRESS)
    holder = str(egress.holders[EGRESS])
    story.say(f"fir leaves by {EGRESS}, which {holder} holds")
    sources = [pods[name] for name in ("fir/a", "fir/c", "fir/d") if pods[name].node.name != holder]
    _until_seen(sources, outside, EGRESS)
    seen_as = {"fir/a": EGRESS, "fir/c": EGRESS, "fir/d": EGRESS, "oak/a": str(lab.node("n1").address)}
    trials = [each for name, at in seen_as.items() for each in ask(pods[name], outside, "outside", at, 7)]
    story.try_out("By an address of its network's, wherever a pod is; other networks by their nodes", trials)
    with Sniffer(outside.namespace) as sniffer:
        lab.node(holder).ovs.stop_switch(signal.SIGKILL)
        seconds = _until_seen(sources, outside, EGRESS)
        _in_time(story, f"the egress address {EGRESS}", (holder, str(egress.holders[EGRESS])), seconds)
        egress.make(EGRESS, nodes=[holder])
        time.sleep(1)
        closed = {pod.udp(outside, ASKED).seen_as or NOBODY for pod in sources}
        story.expect("no node lives that may hold it, and it fails closed", *_only({NOBODY}, closed))
    came = [frame for frame in sniffer.frames if senders([frame], ASKED)]
    asked = ", ".join(pod.name for pod in sources)
    told = f"sources of the {len(came)} packets of {asked}, which asked all the time, captured outside"
    story.expect(told, *_only({EGRESS}, senders(came, ASKED)))
    _open(lab, story, egress, sources[0], holder)


def _open(lab: Lab, story: Story, egress: Egress, source: Pod, holder: str) -> None:
    egress.make(EGRESS, nodes=[holder], fail="open")
    own = str(source.node.address)
    seconds = seconds_until_seen(source, lab.outside, own, ASKED)
    seen_as = source.udp(lab.outside, ASKED).seen_as
    story.expect(f"declared to fail open, after {seconds:.1f} s {source.name} leaves by", own, seen_as)
    lab.node(holder).ovs.start_switch()
    egress.remove()


def _until_seen(sources: Sequence[Pod], outside: Host, address: str) -> float:
    """Let pods ask until the outside host sees them all under an address; seconds that it took."""
    return max(together([partial(seconds_until_seen, pod, outside, address, ASKED) for pod in sources]))


def _only(expected: set[str], seen: set[str]) -> tuple[str, str]:
    """Both in words that agree only if they are the same."""
    expected_words, seen_words = (f"{', '.join(sorted(each))}, and no other" for each in (expected, seen))
    return f"only {expected_words}", f"only {seen_words}"


def _in_time(story: Story, what: str, nodes: tuple[str, str], seconds: float) -> None:
    first, heir = nodes
    told = f"the switch of {first}, which held {what}, is killed: answered by way of another after {seconds:.1f} s"
    limit = f"in {FAILOVER:.0f} s"
    moved = f"{limit if seconds < FAILOVER else 'later'}, by {'another' if heir not in ('', first) else 'none'}: {heir}"
    story.expect(told, f"{limit}, by another", moved)


def _holder(lab: Lab, address: str) -> str:
    """The node that answers for an address, or \"\"."""
    held = {name: lab.api.get(f"/v1/nodes/{name}/configuration")["held"] for name in lab.nodes}
    return next((name for name, addresses in held.items() if address in addresses), "")


def _revive(lab: Lab, name: str) -> None:
    lab.node(name).ovs.start_switch()

    def in_sync() -> bool:
        return all(each["phase"] == "InSync" for each in lab.api.get("/v1/switches")["switches"])

    wait_for(in_sync, f"the switch of {name} does not come back")
    host: Host = lab.node(name)
    pod = next(pod for pod in lab.pods_by_name.values() if pod.node is host)
    wait_for(lambda: all(pod.ping(other, _PATIENCE) for other in lab.nodes.values()), f"{pod.name} reaches nobody")
