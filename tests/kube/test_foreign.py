"""Kubernetes' own objects are changed by nobody but Kubernetes: what is said to who tries."""

from __future__ import annotations

import pytest

from kube.foreign import of_kubernetes, of_node
from kube.objects import ZONE, Metadata, Node
from tests.topology.asking import endpoints, service
from topology import requests
from topology.model import Pod, PodKey, ServiceKey, SliceKey
from topology.requests import Reason, Request


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (service(), 'service "red/api": is Kubernetes\' own (service), and only read here; change it there: '),
        (service(), "kubectl apply -f FILE -n red"),
        (requests.DeleteService(ServiceKey("red", "api")), "kubectl delete service api -n red"),
        (endpoints("10.128.0.2"), 'endpoints "red/api-1": is Kubernetes\' own (endpointslice)'),
        (requests.DeleteEndpoints(SliceKey("red", "api-1")), "kubectl delete endpointslice api-1 -n red"),
        (requests.SetPod(Pod(PodKey("red", "a"))), 'pod "red/a": is Kubernetes\' own (pod)'),
        (requests.DeletePod(PodKey("red", "a")), "kubectl delete pod a -n red"),
    ],
)
def test_who_would_change_them_is_told_where(request_: Request, said: str) -> None:
    refused = of_kubernetes(request_)
    assert refused is not None
    assert refused.reason is Reason.TAKEN
    assert said in str(refused)


@pytest.mark.parametrize("request_", [requests.CreateNetwork("red"), requests.JoinNetworks("red", "blue")])
def test_others_are_ours(request_: Request) -> None:
    assert of_kubernetes(request_) is None


@pytest.mark.parametrize(
    ("zone", "said"), [("zone-b", f"kubectl label node n1 {ZONE}=zone-b --overwrite"), ("", f"label node n1 {ZONE}-")]
)
def test_a_node_stands_where_its_label_says(zone: str, said: str) -> None:
    nodes = {"n1": Node(metadata=Metadata(name="n1", labels={ZONE: "zone-a"}))}
    assert of_node(requests.SetZone("n1", "zone-a"), nodes) is None
    assert of_node(requests.SetZone("n2", zone), nodes) is None, "nobody else says where that stands"
    assert of_node(requests.SetNode("n1", "geneve"), nodes) is None
    refused = of_node(requests.SetZone("n1", zone), nodes)
    assert refused is not None
    assert refused.reason is Reason.TAKEN
    assert said in str(refused)
