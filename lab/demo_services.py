"""`python -m lab.demo_services`: services without a proxy: who may use them, and what becomes of a connection.

Exit status 0 only if everything behaved as expected, 1 if something did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial

from lab import shaping
from lab.description import EXTERNAL
from lab.egress import ADDRESSES, Egress, seconds_until_seen, senders
from lab.frames import Sniffer
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict, tcp, udp
from lab.sctp import associate
from lab.services import PORT, Load, Service, chi_square, spread
from lab.story import Story, tell
from lab.takeover import wait_for
from lab.trials import NOBODY, Trial

RANGE = "10.0.0.0/24"
TWINS = ("red", "blue")
PLACEMENT = {
    **{f"fir/{name}": node for name, node in zip("abcdefg", ("n1", "n1", "n2", "n3", "n1", "n2", "n3"), strict=True)},
    "oak/a": "n1",
    "oak/b": "n2",
    "elm/a": "n3",
    **{f"{twin}/{name}": node for twin in TWINS for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2"))},
}
HAIRPIN = "169.254.42.1"
SCTP_PORT = 30090
NOBODYS = 32767  # a node port that no service has
AT_ONCE = 0.05  # seconds
TIMES = 600
CHANCE = 23.5  # chi-square, three degrees of freedom: more than this comes by chance once in 30,000 times
STICKY_SECONDS = 2
PER_SECOND = 200
EGRESS = ADDRESSES[0]
ASKED = 4471  # a UDP port of the outside host's that nobody asks otherwise
FAILOVER = 5.0  # seconds


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        _make(lab, story)
        _everywhere(lab, story)
        _tenants(lab, story)
        _outside(lab, story)
        _sctp(lab, story)
        _refused(lab, story)
        _distribution(lab, story)
        _replacement(lab, story)
        _way_out(lab, story)
        shaping.show(lab, story)
        story.say("cleaning up")


def _make(lab: Lab, story: Story) -> None:
    story.say(f"creating fir, oak and elm, and {' and '.join(TWINS)}, both with the range {RANGE}")
    for network in ("fir", "oak", "elm"):
        lab.network(network)
    for twin in TWINS:
        lab.network(twin, subnets=[RANGE])
    story.say(f"starting {len(PLACEMENT)} pods by the CNI plugin")
    lab.pods(PLACEMENT)


def _service(lab: Lab, name: str, last: int, pods: Sequence[str], affinity: int = 0) -> Service:
    project, _, service = name.partition("/")
    made = Service(lab.api, project, service, f"172.30.0.{last}")
    return made.make([lab.pods_by_name[pod] for pod in pods], affinity=affinity)


def _ask(source: Host, service: Service, by: str, seen_as: str = "") -> list[Trial]:
    return [Trial(source, service.address, by, protocol, PORT, seen_as) for protocol in ("tcp", "udp")]


def _everywhere(lab: Lab, story: Story) -> None:
    """From the same node, from another, from the node itself, and to oneself."""
    near, far = _service(lab, "fir/near", 10, ["fir/b"]), _service(lab, "fir/far", 11, ["fir/c"])
    own = _service(lab, "fir/own", 12, ["fir/a"])
    node = _service(lab, "fir/node", 13, [])
    node.point_to(lab.node("n2").address)
    pods, nodes = lab.pods_by_name, lab.nodes
    asked = pods["fir/a"]
    source = str(asked.address)
    trials = [
        *_ask(asked, near, "fir/b", source),
        *_ask(asked, far, "fir/c", source),
        *_ask(asked, own, "fir/a", HAIRPIN),
        *_ask(asked, node, "n2"),
        *(
            trial
            for place in nodes.values()
            for each, by in ((near, "fir/b"), (far, "fir/c"))
            for trial in _ask(place, each, by)
        ),
        *(trial for place in nodes.values() for trial in _ask(place, node, "n2")),
    ]
    story.try_out("Services of pods and of a node, from pods and from nodes", trials)


def _tenants(lab: Lab, story: Story) -> None:
    """A service is there for its network, and for whoever is connected to it; equal addresses change nothing."""
    services = {twin: _service(lab, f"{twin}/web", 20 + number, [f"{twin}/c"]) for number, twin in enumerate(TWINS)}
    pods = lab.pods_by_name
    far = Service(lab.api, "fir", "far", "172.30.0.11")
    trials = []
    for twin in TWINS:
        for other in TWINS:
            trials += _ask(pods[f"{twin}/a"], services[other], f"{twin}/c" if other == twin else NOBODY)
        trials += _ask(pods[f"{twin}/a"], far, NOBODY)
    trials += _ask(pods["oak/a"], far, NOBODY)
    trials += [
        trial for place in lab.nodes.values() for twin in TWINS for trial in _ask(place, services[twin], f"{twin}/c")
    ]
    story.try_out("Services of tenants, two of them with equal addresses", trials)
    story.say("connecting oak to fir, and red to fir, for services only, one way")
    lab.join("oak", "fir", one_way=True, services_only=True)
    lab.join("red", "fir", one_way=True, services_only=True)
    fir = pods["fir/c"]
    for_services = [trial for name in ("oak/a", "oak/b", "red/a") for trial in _ask(pods[name], far, "fir/c")]
    direct = [Trial(pods[name], fir, NOBODY, protocol) for name in ("oak/a", "red/a") for protocol in ("tcp", "udp")]
    back = [Trial(fir, pods["oak/a"], NOBODY), *_ask(fir, services["red"], NOBODY)]
    story.try_out(
        "Across nodes by the service; to the pods behind it, and back, nothing", [*for_services, *direct, *back]
    )
    lab.isolate("fir", "oak")
    lab.isolate("fir", "red")
    lab.settle()
    story.try_out("Isolated again", [trial for name in ("oak/a", "red/a") for trial in _ask(pods[name], far, NOBODY)])


def _outside(lab: Lab, story: Story) -> None:
    """Node ports are there for everybody who reaches a node: from outside, from other nodes, from pods, from itself."""
    numbers = itertools.count(30080)
    services = {
        f"{project}/{pod}": Service(lab.api, project, "outer", f"172.30.0.{50 + number}", next(numbers))
        for number, (project, pod) in enumerate((("fir", "c"), ("red", "c"), ("blue", "c")))
    }
    for by, service in services.items():
        service.make([lab.pods_by_name[by]])
    node = Service(lab.api, "fir", "outer-node", "172.30.0.59", next(numbers)).make([])
    node.point_to(lab.node("n2").address)
    answers = {**{by: services[by].node_port for by in services}, "n2": node.node_port}
    sources = [lab.outside, *lab.nodes.values(), lab.pods_by_name["fir/b"], lab.pods_by_name["elm/a"]]
    trials = [
        Trial(source, place, by, protocol, port)
        for source in sources
        for place in (lab.node("n1"), lab.node("n2"))
        for by, port in answers.items()
        for protocol in ("tcp", "udp")
    ]
    story.try_out("Node ports of two nodes; the second has the endpoints", trials)
    _external(lab, story, services["red/c"])


def _external(lab: Lab, story: Story, with_node_port: Service) -> None:
    """External addresses, which a router of the outside leads to one node; pods and nodes need none for that."""
    first, second = str(EXTERNAL[10]), str(EXTERNAL[11])
    with_node_port.make([lab.pods_by_name["red/c"]], external=[first])
    Service(lab.api, "blue", "outmost", "172.30.0.60").make([lab.pods_by_name["blue/c"]], external=[second])
    for address in (first, second):
        lab.outside.run(f"ip route replace {address} via {lab.node('n1').address}")
    rules = [partial(node.run, "nft list table inet heddle") for node in lab.nodes.values()]
    took = wait_for(lambda: all(second in read().stdout for read in rules), f"no node leads {second} anywhere")
    story.say(f"the nodes know the external addresses: {1000 * took:.0f} ms")
    sources = [lab.outside, *lab.nodes.values(), lab.pods_by_name["fir/b"], lab.pods_by_name["elm/a"]]
    trials = [
        Trial(source, address, by, protocol, PORT)
        for source in sources
        for address, by in ((first, "red/c"), (second, "blue/c"))
        for protocol in ("tcp", "udp")
    ]
    story.try_out("External addresses, one of a service with node ports and one of a service without", trials)


def _sctp(lab: Lab, story: Story) -> None:
    """Of SCTP the userspace data path's conntrack translates addresses only, so all ports are one here."""
    ports = [{"name": "sctp", "protocol": "SCTP", "port": SCTP_PORT, "node_port": SCTP_PORT}]
    body = {"project": "fir", "name": "sctp", "address": "172.30.0.70", "ports": ports}
    lab.api.post("/v1/services", body)
    far = lab.pods_by_name["fir/c"]
    endpoints = {"project": "fir", "name": "sctp-1", "service": "sctp", "endpoints": [{"address": str(far.address)}]}
    lab.api.post("/v1/endpoints", {**endpoints, "ports": [{"name": "sctp", "protocol": "SCTP", "port": SCTP_PORT}]})
    node = str(lab.node("n1").address)
    for source, address in ((lab.pods_by_name["fir/a"], "172.30.0.70"), (lab.outside, node)):
        seen = associate(source.namespace, address, SCTP_PORT, far.namespace, SCTP_PORT)
        what = f"{source.name} asks {address} by SCTP: the INIT ACK of fir/c is from"
        story.expect(what, f"{address}:{SCTP_PORT}", seen)


def _refused(lab: Lab, story: Story) -> None:
    none = _service(lab, "fir/none", 30, [])
    service, node = (none.address, PORT), (str(lab.node("n2").address), NOBODYS)
    for source, (address, port) in (
        (lab.pods_by_name["fir/a"], service),
        (lab.pods_by_name["elm/a"], service),
        (lab.node("n1"), service),
        (lab.outside, node),
    ):
        what = "a service without endpoints" if address == none.address else "a node port that no service has"
        for probe in (tcp, udp):
            outcome = probe(source.namespace, address, port)
            at_once = outcome.verdict is Verdict.REFUSED and outcome.seconds < AT_ONCE
            expected = NOBODY if source.name == "elm/a" else "refused at once"
            seen = (
                "refused at once" if at_once else NOBODY if outcome.verdict is Verdict.SILENT else outcome.verdict.value
            )
            told = f"{source.name} asks {what} by {probe.__name__}: {1000 * outcome.seconds:.1f} ms"
            story.expect(told, expected, seen)


def _distribution(lab: Lab, story: Story) -> None:
    names = ["fir/b", "fir/c", "fir/d", "fir/e"]
    many, sticky = _service(lab, "fir/many", 40, names), _service(lab, "fir/sticky", 41, names, STICKY_SECONDS)
    source = lab.pods_by_name["fir/a"]
    counts = spread(source, many, TIMES)
    statistic = chi_square([counts[name] for name in names])
    fair = "evenly" if not counts[""] and statistic < CHANCE else "unevenly"
    told = ", ".join(f"{name} {counts[name]}" for name in sorted(counts))
    story.expect(f"{TIMES} connections, chi-square {statistic:.1f}: {told}", "evenly", fair)
    kept = spread(source, sticky, 100)
    story.expect("100 connections to a service whose clients stay", "one endpoint", _number(kept))
    chosen = set()
    for _ in range(12):  # four endpoints: all twelve times the same one comes once in four million times
        time.sleep(STICKY_SECONDS + 1.5)
        chosen |= set(spread(source, sticky, 1))
        if len(chosen) > 1:
            break
    story.expect(
        f"after {STICKY_SECONDS} s without a connection the client is free", "several endpoints", _number(chosen)
    )


def _number(found: Sequence[str] | set[str] | dict[str, int]) -> str:
    return f"{'one endpoint' if len(found) == 1 else 'several endpoints'}: {', '.join(sorted(found))}"


def _replacement(lab: Lab, story: Story) -> None:
    """All endpoints are replaced one by one, as a deployment does, while connections are made all the time."""
    pods = lab.pods_by_name
    old, new = [pods[f"fir/{name}"] for name in "bcd"], [pods[f"fir/{name}"] for name in "efg"]
    many = Service(lab.api, "fir", "many", "172.30.0.40")
    present: list[Pod] = list(old)
    with Load(pods["fir/a"], many, PER_SECOND) as load:
        time.sleep(1)
        for gone, come in zip(old, new, strict=True):
            present.append(come)
            many.serve(present)
            time.sleep(0.5)
            present.remove(gone)
            many.serve(present, leaving=[gone])
            time.sleep(0.5)
            many.serve(present)
        time.sleep(1)
    answered = {outcome.by for outcome in load.outcomes}
    what = f"all endpoints replaced under {PER_SECOND} connections a second: {len(load.outcomes)} made, answered by"
    story.expect(f"{what} {', '.join(sorted(answered))}", "failed: 0", f"failed: {len(load.failed)}")


def _way_out(lab: Lab, story: Story) -> None:
    """Fir leaves by an address of its own; the node that holds it fails, then the others that may."""
    outside, pods = lab.outside, lab.pods_by_name
    outside.listen(ASKED)
    story.say(f"fir leaves by {EGRESS}, which n2 or n3 may hold")
    egress = Egress(lab.api, "fir", "fir").make(EGRESS, nodes=["n2", "n3"])
    seconds_until_seen(pods["fir/a"], outside, EGRESS, ASKED)
    seen_as = {"fir/a": EGRESS, "fir/c": EGRESS, "fir/d": EGRESS, "oak/a": str(lab.node("n1").address)}
    trials = [
        Trial(pods[name], outside, "outside", protocol, seen_as=address)
        for name, address in seen_as.items()
        for protocol in ("tcp", "udp")
    ]
    story.try_out("By an address of its network's, wherever a pod is; other networks by their nodes", trials)
    holder = str(egress.holders[EGRESS])
    with Sniffer(outside.namespace) as sniffer:
        lab.node(holder).ovs.stop_switch(signal.SIGKILL)
        seconds = seconds_until_seen(pods["fir/a"], outside, EGRESS, ASKED)
        heir = str(egress.holders[EGRESS])
        what = f"the switch of {holder}, which held it, is killed: answered by way of {heir} after {seconds:.1f} s"
        story.expect(what, f"in {FAILOVER:.0f} s", f"in {FAILOVER:.0f} s" if seconds < FAILOVER else "later")
        egress.make(EGRESS, nodes=[holder])
        time.sleep(1)
        closed = udp(pods["fir/a"].namespace, str(outside.address), ASKED)
        story.expect("no node lives that may hold it, and it fails closed", NOBODY, closed.seen_as or NOBODY)
    seen = ", ".join(sorted(senders(sniffer.frames, ASKED)))
    story.expect("sources of all that came from fir meanwhile, captured outside", EGRESS, seen)
    egress.make(EGRESS, nodes=[holder], fail="open")
    own = str(lab.node("n1").address)
    seconds_until_seen(pods["fir/a"], outside, own, ASKED)
    story.say(f"declared to fail open, it leaves by {own}, its node's")
    lab.node(holder).ovs.start_switch()
    egress.remove()


if __name__ == "__main__":
    words = "Services on three nodes, by real packets and without a proxy."
    sys.exit(tell("lab.demo_services", words, demonstrate, "every service does what it should"))
