"""SCTP by services, by real associations: a stack of its own in each pod, which checks tags and checksums."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.laboratory import Lab
from lab.probes import Verdict
from lab.services import Service
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

NODE_PORT = 30750
PATIENCE = 0.8  # seconds


@pytest.fixture
def service(lab: Lab) -> Iterator[Service]:
    """One of red, by cluster address and node port, whose endpoint is the pod on the second node."""
    made = Service(lab.api, "red", "sctp", "172.30.0.130", NODE_PORT).make([lab.pods_by_name["red/c"]])
    lab.pods_by_name["red/c"].listen_sctp(NODE_PORT)
    lab.forget_connections()
    yield made
    lab.pods_by_name["red/c"].silence_sctp()
    made.remove()


def test_associations_by_a_service(lab: Lab, service: Service) -> None:
    """From handshake to shutdown, with several packets of data; what is not whole never gets to the end."""
    client, own = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    for _ in range(2):
        seen = client.sctp(service.address, NODE_PORT)
        assert (seen.by, seen.seen_as) == ("red/c", str(client.address))
    assert lab.node("n1").sctp(service.address, NODE_PORT).by == "red/c"
    assert own.sctp(service.address, NODE_PORT).seen_as == "169.254.42.1"
    assert lab.pods_by_name["blue/a"].sctp(service.address, NODE_PORT, PATIENCE).verdict is Verdict.SILENT


def test_associations_from_outside(lab: Lab, service: Service) -> None:
    service.make([lab.pods_by_name["red/c"]], external_local=True)
    assert eventually(lambda: lab.outside.sctp(lab.node("n2"), NODE_PORT, PATIENCE).seen_as == str(lab.outside.address))
    assert eventually(lambda: lab.outside.sctp(lab.node("n1"), NODE_PORT, PATIENCE).verdict is Verdict.SILENT)


def test_an_association_with_nobody_is_refused_at_once(lab: Lab, service: Service) -> None:
    service.serve([])
    for source, target in ((lab.pods_by_name["red/a"], service.address), (lab.outside, str(lab.node("n1").address))):
        lab.forget_connections()
        seen = source.sctp(target, NODE_PORT)
        assert (seen.verdict, seen.seconds < 0.05) == (Verdict.REFUSED, True)
