"""`python -m lab.demo_kubernetes`: a cluster of three nodes with two controllers, of which each fails in turn.

Namespaces, networks and pods are objects of an API server: the double, or the real one that HEDDLE_KUBE_APISERVER
names. The replica that programs all switches is killed, stopped (SIGSTOP), cut off from the API server, under pings.
Exit status 0 only if all was as expected, 1 if something was not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from kube.objects import NAMESPACES, NODES, PODS
from lab.cluster import TOKEN, ClusterLab
from lab.controller import Controller
from lab.hosts import Host
from lab.pod import Pod
from lab.runtime import CniError
from lab.story import Story, tell
from lab.takeover import Takeover, in_sync, take_over, wait_for

_TRY_AGAIN = 11  # CNI 1.1.0, "Error codes"
_PATIENCE = 30.0
FLAGS = ("--heddle-shards=1", "--heddle-lease-seconds=4")
PLACEMENT = {"red/a": "n1", "red/b": "n2", "red/c": "n3", "blue/a": "n1"}


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with ClusterLab(name, nodes=3, say=story.say, flags=FLAGS) as lab:
        story.say("networks red and blue, namespaces of these names, and four pods")
        lab.network("red")
        lab.network("blue")
        lab.pods(PLACEMENT)
        _first_ping(lab, story)
        _kubectl(lab, story)
        pods = [lab.pods_by_name[each] for each in ("red/a", "red/b", "red/c")]
        pairs = [(source, target) for source in pods for target in pods if source is not target]
        _kill(lab, story, pairs)
        _stop(lab, story, pairs)
        _cut_off(lab, story, pairs)
        _without_api(lab, story, pairs)
        story.say("cleaning up")


Pairs = Sequence[tuple[Host, Host]]


def _first_ping(lab: ClusterLab, story: Story) -> None:
    """From a namespace's creation to the first ping of its pod that is answered, by step."""
    began = time.monotonic()
    if lab.server.is_real and shutil.which("kubectl"):
        lab.server.kubectl("create", "namespace", "fresh")
    else:
        lab.server.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}})
    made = time.monotonic()
    wait_for(lambda: _has_project(lab, "fresh"), "namespace fresh is not known")
    known = time.monotonic()
    pod = lab.pod("fresh/a", "n2")
    added = time.monotonic()
    answered = bool(pod.ping(lab.node("n2").gateway))
    ended = time.monotonic()
    steps = {
        "namespace made": made - began,
        "project decided": known - made,
        "pod made, ADD returned": added - known,
        "ping": ended - added,
    }
    told = ", ".join(f"{step} {1000 * seconds:.0f} ms" for step, seconds in steps.items())
    story.say(f"from namespace to first ping {1000 * (ended - began):.0f} ms: {told}")
    story.expect("the first ping of a new namespace's pod", "answered", "answered" if answered else "lost")
    wait_for(lambda: _annotated(lab), "the pod does not say its networks", 10)
    # What is written back comes after what it tells of; a heddle-node that has just started was not ready before.
    wait_for(lambda: _network_unavailable(lab, "n2").startswith("False"), "n2 stays NetworkUnavailable", 10)
    story.expect("NetworkUnavailable of n2", "False", _network_unavailable(lab, "n2"))


def _network_unavailable(lab: ClusterLab, name: str) -> str:
    """A node's condition: its status and reason."""
    conditions = (lab.server.get(NODES, name) or {}).get("status", {}).get("conditions", [])
    found: dict[str, Any] = next((each for each in conditions if each["type"] == "NetworkUnavailable"), {})
    return f"{found.get('status')} ({found.get('reason')})"


def _annotated(lab: ClusterLab) -> bool:
    found = lab.server.get(PODS, "a", "fresh") or {}
    return "k8s.v1.cni.cncf.io/network-status" in found["metadata"].get("annotations", {})


def _has_project(lab: ClusterLab, name: str) -> bool:
    return any(project["name"] == name for project in lab.api.get("/v1/projects")["projects"])


def _kubectl(lab: ClusterLab, story: Story) -> None:
    if shutil.which("kubectl"):
        for line in lab.server.kubectl("get", "networks,bindings.heddle.sdn,connections,projectnetworks").splitlines():
            story.say(line)
        asked = ("--from", "red/a", "--to", "red/b", "--server", lab.controller.url, "--token", TOKEN)
        for line in lab.server.kubectl("heddle", "trace", *asked).splitlines():
            story.say(line)


def _kill(lab: ClusterLab, story: Story, pairs: Pairs) -> None:
    master = _master(lab)
    story.say(f"kill -9 of the replica {master.name}, which programs all switches")
    _judge(story, "killed", take_over(lab, _other(lab, master), pairs, master.kill))
    _add_pod(lab, story, "red/d", "n1")
    story.say("it is started again; switches go back to it without a flow being touched")
    _judge(story, "back", take_over(lab, master, pairs, master.start))


def _stop(lab: ClusterLab, story: Story, pairs: Pairs) -> None:
    master = _master(lab)
    story.say("SIGSTOP of the replica that programs all switches")
    try:
        _judge(story, "stopped", take_over(lab, _other(lab, master), pairs, master.pause))
    finally:
        master.resume()
    story.say("it goes on, deposed: it takes its share anew, with a newer generation")
    _judge(story, "resumed", take_over(lab, master, pairs, lambda: None))


def _cut_off(lab: ClusterLab, story: Story, pairs: Pairs) -> None:
    master = _master(lab)
    story.say("the API server is unreachable for the replica that programs all switches")
    try:
        _judge(story, "cut off", take_over(lab, _other(lab, master), pairs, lambda: lab.cut_off(master)))
        _add_pod(lab, story, "red/e", "n2")
    finally:
        lab.mend(master)
    _judge(story, "mended", take_over(lab, master, pairs, lambda: None))


def _without_api(lab: ClusterLab, story: Story, pairs: Pairs) -> None:
    """The API server is away for everybody: nothing is decided, and a switch that lost its flows gets them back."""
    _master(lab)
    story.say("the API server is away for both; Open vSwitch of n1 is restarted")
    for replica in (lab.controller, lab.second):
        lab.cut_off(replica)
    try:
        time.sleep(5)
        wanted = set(lab.node("n1").flows())
        lab.node("n1").restart_ovs()
        seconds = wait_for(lambda: set(lab.node("n1").flows()) == wanted, "n1 does not get its flows back")
        story.say(f"n1 has its {len(wanted)} flows again after {seconds:.1f} s")
        try:
            lab.pod("red/f", "n3")
            refused = "attached"
        except CniError as error:
            refused = str(error)
        story.expect("a pod that comes now", "11:", refused)
    finally:
        for replica in (lab.controller, lab.second):
            lab.mend(replica)
    wait_for(lambda: any(in_sync(each, lab.nodes) for each in _alive(lab)), "nobody leads again")
    _add_pod(lab, story, "red/g", "n3")
    reached = sum(bool(source.ping(target)) for source, target in pairs)
    story.expect(
        "pairs that reach each other in the end", f"{len(pairs)} of {len(pairs)}", f"{reached} of {len(pairs)}"
    )


def _add_pod(lab: ClusterLab, story: Story, name: str, node: str) -> None:
    wait_for(lambda: any(in_sync(each, (node,)) for each in _alive(lab)), "nobody answers for the node")
    pod = _attach(lab, name, node)
    other = lab.pods_by_name["red/a"]
    story.expect(f"a new pod {name} reaches red/a", "yes", "yes" if pod.ping(other) else "no")


def _attach(lab: ClusterLab, name: str, node: str) -> Pod:
    """ADD, again while the plugin says "try again later", as a kubelet does."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return lab.pod(name, node)
        except CniError as error:
            if error.code != _TRY_AGAIN or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _judge(story: Story, what: str, seen: Takeover) -> None:
    told = f"{seen.lost} of {seen.sent} pings lost, {seen.written} flows written, {seen.gone} gone"
    story.expect(f"{what}: taken over after {seen.seconds:.1f} s", "0 of", told)
    story.expect(f"{what}: flows that were touched", "0 flows written, 0 gone", told)


def _master(lab: ClusterLab) -> Controller:
    """The replica that programs all switches; waited for."""
    wait_for(lambda: any(in_sync(each, lab.nodes) for each in _alive(lab)), "nobody leads all")
    return next(each for each in _alive(lab) if in_sync(each, lab.nodes))


def _alive(lab: ClusterLab) -> list[Controller]:
    return [each for each in (lab.controller, lab.second) if each.is_running()]


def _other(lab: ClusterLab, replica: Controller) -> Controller:
    return lab.second if replica is lab.controller else lab.controller


if __name__ == "__main__":
    described = "Two controllers of a Kubernetes cluster fail in turn, under pings."
    sys.exit(tell("lab.demo_kubernetes", described, demonstrate, "all was as expected"))
