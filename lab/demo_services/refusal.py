"""What has no endpoint is refused at once, to those who may know that it is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lab.demo_services.stage import service
from lab.hosts import Host
from lab.laboratory import Lab
from lab.probes import Outcome, Verdict, together
from lab.services import PORT
from lab.story import Story
from lab.trials import NOBODY

AT_ONCE = 0.05  # seconds
NOBODYS = 32767  # a node port that no service has
_REFUSED = f"refused in less than {1000 * AT_ONCE:.0f} ms"


def show(lab: Lab, story: Story) -> None:
    """From pods, nodes and outside; another network's pod hears nothing."""
    none, pods, node = service(lab, "fir/none", 30, []), lab.pods_by_name, str(lab.node("n2").address)
    for source in (pods["fir/a"], lab.node("n1")):
        for protocol, probe in _probes(source, none.address, (PORT, none.sctp_port)).items():
            lab.forget_connections()
            _judge(story, f"{source.name} asks a service without endpoints by {protocol}", probe(), _REFUSED)
    for protocol, probe in _probes(lab.outside, node, (NOBODYS, NOBODYS)).items():
        lab.forget_connections()
        _judge(story, f"outside asks a node port that no service has by {protocol}", probe(), _REFUSED)
    others = _probes(pods["elm/a"], none.address, (PORT, none.sctp_port))
    for protocol, outcome in zip(others, together([*others.values()]), strict=True):
        _judge(story, f"elm/a asks that service of another network by {protocol}", outcome, NOBODY)


def _probes(source: Host, address: str, ports: tuple[int, int]) -> dict[str, Callable[[], Outcome]]:
    """By TCP and UDP, and by SCTP at the second of the ports."""
    port, sctp_port = ports
    return {
        "TCP": partial(source.tcp, address, port),
        "UDP": partial(source.udp, address, port),
        "SCTP": partial(source.sctp, address, sctp_port),
    }


def _judge(story: Story, what: str, outcome: Outcome, expected: str) -> None:
    story.expect(f"{what}: {1000 * outcome.seconds:.1f} ms", expected, _seen(outcome))


def _seen(outcome: Outcome) -> str:
    if outcome.verdict is Verdict.SILENT:
        return NOBODY
    if outcome.verdict is Verdict.REFUSED and outcome.seconds < AT_ONCE:
        return _REFUSED
    return str(outcome.verdict.value)
