"""`python -m lab.demo_datapath`: encapsulations, tunnels that are cut, large packets and taps, by real packets.

Exit status 0 only if everything behaved as expected, 1 if something did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Collection

from lab import demo_relay
from lab.frames import ETH_P_IP, Frame, Sniffer
from lab.laboratory import Lab
from lab.matrix import Party
from lab.pod import Pod
from lab.probes import together
from lab.story import Story, tell
from lab.takeover import wait_for
from lab.transfers import path_mtu, transfer
from lab.underlay import UPLINK

VETHS = {"red/a": "n1", "red/b": "n2", "red/c": "n3", "low/a": "n1", "low/b": "n2"}
TAPS = {"red/s": "n1", "red/t": "n2", "blue/t": "n1"}
ENCAPSULATIONS = {"vxlan": 4789, "geneve": 6081}
"""Their UDP ports (RFC 7348, RFC 8926)."""

BETWEEN = 0.3  # seconds from one node's change to the next one's
LOW = 1300  # bytes
BIG = 8_000_000  # octets


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        _make(lab, story)
        _encapsulations(lab, story)
        demo_relay.relays(lab, story)
        _large(lab, story)
        _taps(lab, story)
        story.say("cleaning up")


def _make(lab: Lab, story: Story) -> None:
    story.say(f"creating the networks red and blue, and low with an MTU of {LOW}, which is joined with red")
    lab.network("red")
    lab.network("blue")
    lab.network("low", mtu=LOW)
    lab.join("red", "low")
    story.say("starting five pods on veths, and three on taps")
    lab.pods(VETHS)
    for node in lab.nodes.values():
        node.runtime.overrides["interface"] = "tap"
    lab.pods(TAPS)


# --- encapsulations ------------------------------------------------------------------------------


def _encapsulations(lab: Lab, story: Story) -> None:
    """Every node changes from VXLAN to Geneve and back, one after the other, under pings."""
    pods = [lab.pods_by_name[name] for name in ("red/a", "red/b", "red/c")]
    pairs = [(one, other) for one in pods for other in pods if one is not other]
    for encapsulation in ("geneve", "vxlan"):
        with lab.pings(pairs) as pings:
            for node in lab.nodes:
                lab.api.patch(f"/v1/nodes/{node}", {"encapsulation": encapsulation})
                time.sleep(BETWEEN)
        sent, lost = sum(len(each.sent) for each in pings.tallies.values()), sum(map(len, pings.lost.values()))
        story.expect(f"all nodes change to {encapsulation} under pings", "0 of", f"{lost} of {sent} lost")
        lab.settle()
        story.expect("what n2 gets from n1 then", f"UDP {ENCAPSULATIONS[encapsulation]}", _tunnelled(lab, *pods[:2]))


def _tunnelled(lab: Lab, source: Pod, target: Pod) -> str:
    """Ping once; return by which UDP ports the target's node was sent something by the source's."""
    with Sniffer(target.node.namespace, UPLINK) as sniffer:
        source.ping(target)
        sniffer.caught(lambda frame: _port(frame, str(source.node.address)) in ENCAPSULATIONS.values())
    ports = {_port(frame, str(source.node.address)) for frame in list(sniffer.frames)} - {0}
    return ", ".join(f"UDP {port}" for port in sorted(ports))


def _port(frame: Frame, source: str) -> int:
    """Return the UDP port that a frame from an address is for, 0 if it is none of UDP or from somebody else."""
    if frame.kind != ETH_P_IP or frame.octets[23] != socket.IPPROTO_UDP or frame.source != source:
        return 0
    transport = 14 + (frame.octets[14] & 15) * 4
    return int.from_bytes(frame.octets[transport + 2 : transport + 4])


# --- large packets -------------------------------------------------------------------------------


def _large(lab: Lab, story: Story) -> None:
    """Who sends what is too large, and may not be fragmented, hears it; transfers then complete."""
    source = lab.pods_by_name["red/a"]
    for name in ("low/a", "low/b"):
        target = lab.pods_by_name[name]
        place = "the same node" if target.node is source.node else "another node"
        what = f"1,428 bytes to a pod on {place} whose network's MTU is {LOW}"
        story.expect(what, f"Frag needed and DF set (mtu = {LOW})", _complaint(source, target))
        seen = path_mtu(source.namespace, str(target.address))
        story.expect("the path MTU that the sender's kernel takes", str(LOW), str(seen))
        _transfer(story, source, target)


def _complaint(source: Pod, target: Pod) -> str:
    """Send packets of 1,428 bytes that nobody may fragment; return what the sender hears of the first that is answered.

    Once it has heard, its kernel sends none any more. Before heddle-node knows the network's MTU nobody answers.
    """
    heard: list[str] = []

    def ask() -> bool:
        said = source.run(f"ping -c1 -W0.3 -Mdo -s1400 {target.address}").stdout.splitlines()
        heard.extend(line for line in said if "Frag needed" in line)
        return bool(heard)

    wait_for(ask, "nobody complains of a large packet")
    return heard[0]


def _transfer(story: Story, source: Pod, target: Pod) -> None:
    arrived = transfer(source.namespace, target.namespace, str(target.address), BIG)
    whole = "whole" if (arrived.octets, arrived.intact) == (BIG, True) else f"{arrived.octets} octets of {BIG}"
    story.expect(f"a transfer of {BIG} octets from {source.name} to {target.name}", "whole", whole)


# --- taps ----------------------------------------------------------------------------------------


def _taps(lab: Lab, story: Story) -> None:
    """Pods on taps and on veths reach each other; also when Open vSwitch was restarted, which takes the taps away."""
    pods = lab.pods_by_name
    names = ("red/a", "red/b", *TAPS)
    parties = [Party.of(pods[name]) for name in names]
    story.explore("Pods on veths (a, b) and on taps (s, t)", parties, parties)
    _transfer(story, pods["red/s"], pods["red/t"])
    story.say("restarting Open vSwitch of n1 and n2")
    together([lab.node(name).restart_ovs for name in ("n1", "n2")])
    _wait_for(story, pods, ("red/a", "red/b", "red/s", "red/t"))
    story.explore("After Open vSwitch was restarted on both nodes", parties, parties)
    _transfer(story, pods["red/a"], pods["red/s"])


def _wait_for(story: Story, pods: dict[str, Pod], names: Collection[str]) -> None:
    """Wait until all reach each other, and say after how long."""
    pairs = [(pods[one], pods[other]) for one in names for other in names if one != other]
    seconds = wait_for(lambda: all(one.ping(other) for one, other in pairs), "pods reach each other again")
    story.say(f"all of red reach each other again after {seconds:.1f} s")


if __name__ == "__main__":
    words = "Encapsulations, relays, large packets and taps, on three nodes and by real packets."
    sys.exit(tell("lab.demo_datapath", words, demonstrate, "every packet fares as it should"))
