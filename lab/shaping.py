"""What limits, a DSCP and a mirror do to real packets; the part about them of the demonstration of services."""

from __future__ import annotations

import socket
import time

from lab.frames import ETH_P_IP, Frame, Sniffer
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.story import Story
from lab.transfers import transfer

RATE = 16_000_000  # bits a second
SIZE = 4_000_000  # bytes
DISCARD = 9  # RFC 863
_DSCP = 46


def seconds(source: Pod, target: Pod, size: int = SIZE) -> float:
    """How long it takes until all of a transfer is there. OSError when it stalls, AssertionError when it is harmed."""
    begun = time.monotonic()
    done = transfer(source.namespace, target.namespace, str(target.known_to(source)), size)
    assert done.intact, done
    return time.monotonic() - begun


def least_seconds(size: int = SIZE, rate: int = RATE) -> float:
    """How long a transfer takes at least at a limit, of which a quarter of a second's may come at once."""
    return (size * 8 - rate / 4) / rate


def carried(source: Host, target: Host, own: int) -> int | None:
    """The DSCP with which a datagram arrives that was sent with one of its own; None when it does not."""
    address, words = str(target.known_to(source)), b"marked"

    def is_it(frame: Frame) -> bool:
        return frame.kind == ETH_P_IP and frame.octets.endswith(words)

    with Sniffer(target.namespace) as seen, source.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, own << 2)
        sock.sendto(words, (address, DISCARD))
        if not seen.caught(is_it):
            return None
        return next(frame.octets[15] >> 2 for frame in seen.frames if is_it(frame))


def show(lab: Lab, story: Story) -> None:
    """Limit a pod, give its network a DSCP, and mirror it to a pod that its network may not talk with."""
    source, far, other = (lab.pods_by_name[name] for name in ("fir/a", "fir/c", "elm/a"))
    lab.api.post("/v1/pods", {"project": "fir", "pod": "a", "egress_bandwidth": f"{RATE}"})
    took, least = seconds(source, far), least_seconds()
    words = f"{SIZE * 8 / 1e6:.0f} Mbit at a limit of {RATE / 1e6:.0f} Mbit/s: {took:.2f} s"
    story.expect(words, "not before", f"{'not before' if took >= least else 'before'} {least:.2f} s")
    lab.api.delete("/v1/pods/fir/a")
    lab.api.patch("/v1/networks/fir", {"dscp": _DSCP})
    for target in (far, lab.outside):
        what = f"a datagram of fir/a, sent with DSCP 10, comes to {target.name} with DSCP"
        story.expect(what, str(_DSCP), str(carried(source, target, 10)))
    lab.api.patch("/v1/networks/fir", {"dscp": None})
    _mirror(lab, story, (source, far, other))


def _mirror(lab: Lab, story: Story, pods: tuple[Pod, Pod, Pod]) -> None:
    source, far, target = pods
    project, pod = target.name.split("/")
    lab.api.post("/v1/mirrors", {"name": "watch", "network": "fir", "target": {"project": project, "pod": pod}})
    with Sniffer(target.namespace) as seen:
        answered = bool(source.ping(far))
        copied = seen.caught(lambda frame: (frame.source, frame.destination) == (str(source.address), str(far.address)))
    lab.api.delete("/v1/mirrors/watch")
    story.expect(f"{source.name} pings {far.name}, which", "answers", "answers" if answered else "does not answer")
    told = f"{'copies' if copied else 'nothing'}, and {'an' if source.ping(target) else 'no'} answer of its own"
    story.expect(f"{target.name} on {target.node.name}, to which fir is mirrored, gives", "copies, and no answer", told)
