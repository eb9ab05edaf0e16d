"""`python -m lab.demo_tenancy`: networks with ranges of their own, connections of every kind, bindings; real packets.

Exit status 0 only if everything behaved as expected, 1 if something did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import sys

from lab import demo_bindings
from lab.api import ProblemError
from lab.laboratory import Lab
from lab.matrix import Joined, Party
from lab.pod import Pod
from lab.story import Story, tell
from lab.transfers import path_mtu, transfer
from lab.trials import NOBODY, Trial

RANGE = "10.0.0.0/24"
TWINS = ("red", "blue")
SUBNETS = ("10.5.0.0/30", "10.6.0.0/24")
"""The first has room for one pod only."""

NODES = ("n1", "n2", "n3")
SHARED = {"fir/a": "n1", "fir/b": "n2", "oak/a": "n1", "oak/b": "n3", "elm/a": "n1", "elm/b": "n2"}
WEB, OTHER = 80, 81
BIG = 8_000_000  # octets
INNER, CLOSED = 5001, 9
NARROW = 1000  # bytes


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        _make(lab, story)
        _twins(lab, story)
        _ranges(lab, story)
        _chain(lab, story)
        _one_way(lab, story)
        _ports(lab, story)
        _own_ranges_joined(lab, story)
        _translated(lab, story)
        demo_bindings.several_networks(lab, story)
        demo_bindings.labels(lab, story)
        demo_bindings.move(lab, story)
        demo_bindings.proof(lab, story)
        story.say("cleaning up")


def _make(lab: Lab, story: Story) -> None:
    story.say(f"creating the networks {' and '.join(TWINS)}, both with the range {RANGE}")
    for twin in TWINS:
        lab.network(twin, subnets=[RANGE])
    story.say(f"creating the network duo with the subnets {' and '.join(SUBNETS)}, and fir, oak and elm without")
    lab.network("duo", subnets=SUBNETS)
    for network in ("fir", "oak", "elm"):
        lab.network(network)
    story.say("starting 15 pods by the CNI plugin")
    # Node by node, so that each node's block of addresses is the same for both twins.
    for name, node in zip("abc", NODES, strict=True):
        lab.pods({f"{network}/{name}": node for network in (*TWINS, "duo")})
    lab.pods(SHARED)
    for pod in lab.pods_by_name.values():
        for port in (WEB, OTHER):
            pod.listen(port)


def _pods(lab: Lab, *networks: str) -> list[Pod]:
    return sorted((pod for pod in lab.pods_by_name.values() if pod.network in networks), key=lambda pod: pod.name)


def _show(lab: Lab, story: Story, title: str, networks: tuple[str, ...], joined: Joined = ()) -> None:
    parties = [Party.of(pod) for pod in _pods(lab, *networks)]
    story.explore(title, parties, parties, joined)


def _twins(lab: Lab, story: Story) -> None:
    """Equal addresses, on three nodes, two of them on each; and the way to and from everybody else."""
    pods, nodes = [Party.of(pod) for pod in _pods(lab, *TWINS)], [Party(node) for node in lab.nodes.values()]
    title = "Two tenants with the same addresses: in their network by these, from the nodes by cluster addresses"
    story.explore(title, [*pods, *nodes], [*pods, Party(lab.outside)])
    named = lab.pods_by_name
    trials = [
        Trial(lab.node("n1"), named[f"{twin}/a"], f"{twin}/a", seen_as=str(lab.node("n1").gateway)) for twin in TWINS
    ]
    trials += [
        Trial(
            named[f"{twin}/{pod}"], str(named["red/b"].address), f"{twin}/b", seen_as=str(named[f"red/{pod}"].address)
        )
        for twin in TWINS
        for pod in "ac"
    ]
    trials += [Trial(pod, lab.outside, "outside", seen_as=str(pod.node.address)) for pod in _pods(lab, *TWINS)]
    story.try_out("The same question, another answer for each tenant; and outside as the node (NAT)", trials)


def _ranges(lab: Lab, story: Story) -> None:
    title = "One network with two subnets, beside two networks in one range (the cluster's)"
    _show(lab, story, title, ("duo", "fir", "oak"))


def _chain(lab: Lab, story: Story) -> None:
    story.say("joining fir and oak, and oak and elm")
    lab.join("fir", "oak")
    lab.join("oak", "elm")
    joined = [frozenset({"fir", "oak"}), frozenset({"oak", "elm"})]
    _show(lab, story, "fir and oak joined, oak and elm joined; fir and elm stay apart", ("fir", "oak", "elm"), joined)
    lab.isolate("fir", "oak")
    lab.isolate("oak", "elm")


def _one_way(lab: Lab, story: Story) -> None:
    story.say("letting fir begin towards elm, and duo towards elm, and nothing back: replies pass")
    lab.join("fir", "elm", one_way=True)
    lab.join("duo", "elm", one_way=True)
    joined = [("fir", "elm"), ("duo", "elm")]
    _show(lab, story, "One way, on one node and across nodes", ("fir", "elm", "duo"), joined)
    lab.isolate("fir", "elm")
    lab.isolate("duo", "elm")


def _ports(lab: Lab, story: Story) -> None:
    story.say(f"joining oak and fir, and duo and fir, for {WEB}/tcp")
    lab.join("oak", "fir", ports=[f"{WEB}/tcp"])
    lab.join("duo", "fir", ports=[f"{WEB}/tcp"])
    named = lab.pods_by_name
    trials: list[Trial] = []
    pairs = ("oak/a", "fir/a"), ("fir/a", "oak/a"), ("oak/b", "fir/a"), ("duo/a", "fir/a"), ("fir/b", "duo/c")
    for source, target in ((named[source], named[target]) for source, target in pairs):
        trials.append(Trial(source, target, target.name, "tcp", WEB, str(source.cluster_address)))
        trials.append(Trial(source, target, NOBODY, "tcp", OTHER))
        trials.append(Trial(source, target, NOBODY, "udp", WEB))
        trials.append(Trial(source, target, NOBODY, "icmp"))
    story.try_out("One port only, on one node (a) and across nodes", trials)
    lab.isolate("oak", "fir")
    lab.isolate("duo", "fir")


def _own_ranges_joined(lab: Lab, story: Story) -> None:
    story.say("joining duo and red, whose ranges share no address")
    lab.join("duo", "red")
    duo, red = _pods(lab, "duo"), _pods(lab, "red")
    pairs = [(one, other) for one in duo for other in red] + [(one, other) for one in red for other in duo]
    trials = [Trial(a, str(b.address), b.name, seen_as=str(a.address)) for a, b in pairs]
    story.try_out("Two networks with ranges of their own, joined: each knows the other's addresses", trials)
    story.say("trying to join networks in which an address would mean two pods")
    remedy = "join them with translation (--translate"
    story.expect("red and blue, in which every address means two pods", remedy, _refusal(lab, "red", "blue"))
    story.expect("blue and duo, which is joined with red", remedy, _refusal(lab, "blue", "duo"))


def _translated(lab: Lab, story: Story) -> None:
    story.say("joining red and blue with translation: each knows the other's range by another")
    lab.join_translated("red", "blue")
    for item in lab.api.get("/v1/connections/red/blue")["translations"]:
        other = "blue" if item["network"] == "red" else "red"
        story.say(f"{item['cidr']} of {item['network']} is {item['seen_as']} in {other}")
    red, blue = _pods(lab, "red"), _pods(lab, "blue")
    pairs = [(one, other) for one in red for other in blue] + [(one, other) for one in blue for other in red]
    trials = [Trial(a, lab.known_as(b, a), b.name, seen_as=lab.known_as(a, b)) for a, b in pairs]
    story.try_out("The same addresses on both sides, joined: 10.0.0.2 talks to 10.0.0.2", trials)
    for source, target in ((red[0], blue[-1]), (blue[0], red[-1])):
        arrived = transfer(source.namespace, target.namespace, lab.known_as(target, source), BIG)
        what = f"{BIG} octets from {source.name} to {target.name} over TCP"
        story.expect(what, f"all, intact: {BIG}", f"{'all, intact' if arrived.intact else 'not all'}: {arrived.octets}")
    _narrow(lab, story, red[0], blue[1])


def _narrow(lab: Lab, story: Story, source: Pod, target: Pod) -> None:
    """Path MTU discovery across the translation, and the refusal of a closed port: ICMP errors are understood."""
    address = lab.known_as(target, source)
    story.say(f"{target.name} forwards its port {INNER} to a namespace behind it, on a link with an MTU of {NARROW}")
    with lab.behind(target, INNER, NARROW) as inner:
        arrived = transfer(source.namespace, inner, address, BIG, INNER)
    seen = f"{arrived.octets} octets{', intact' if arrived.intact else ''}, MTU {path_mtu(source.namespace, address)}"
    story.expect(
        f"{source.name} sends to {address}, and learns the path's MTU", f"{BIG} octets, intact, MTU {NARROW}", seen
    )
    story.expect(f"a datagram to a closed port of {address}", "refused", source.udp(address, CLOSED).verdict.value)


def _refusal(lab: Lab, first: str, second: str) -> str:
    """What the controller says to a connection."""
    try:
        lab.join(first, second)
    except ProblemError as error:
        return f"{error.status}: {error.problem.get('detail')}"
    return "joined"


if __name__ == "__main__":
    sys.exit(tell("lab.demo_tenancy", "Networks with ranges of their own.", demonstrate, "everything is as expected"))
