"""Multicast by real packets and real kernels: members get what is sent to their group, others do not, wherever."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from cni_shim.node.igmp import checksum
from cni_shim.node.members import MOST_GROUPS
from lab.frames import ETH_P_IP, ethernet, send, udp_packet
from lab.laboratory import Lab
from lab.links import mac_address
from lab.multicast import PORT, Member, say, set_version
from lab.node import Node
from lab.pod import Pod
from tests.lab.watching import eventually, marked, overtake, watching
from topology.pipeline import Table

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

GROUP, OTHER = "239.1.1.1", "239.1.1.2"
SAME_MAC = "239.129.1.1"  # as GROUP (RFC 1112, section 6.4)
PLACES = {
    "red/a": "n1",
    "red/b": "n1",
    "red/c": "n2",
    "red/d": "n3",
    "blue/a": "n1",
    "blue/c": "n2",
    "fir/a": "n1",
    "fir/d": "n3",
    "off/a": "n1",
    "off/c": "n2",
}
_WORDS = itertools.count()


@pytest.fixture(scope="module")
def world(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return red, joined with blue, and fir, which is joined with none, all with multicast; and off, without."""
    with Lab(unique_name(), nodes=3) as lab:
        for name in ("red", "blue", "fir", "off"):
            lab.network(name)
        for name in ("red", "blue", "fir"):
            lab.api.patch(f"/v1/networks/{name}", {"multicast": True})
        lab.join("red", "blue")
        lab.join("red", "off")
        lab.pods(PLACES)
        yield lab


def members(lab: Lab, network: str, group: str = GROUP) -> set[str]:
    """Return who gets what a network sends to a group, as the controller says."""
    found = lab.api.get(f"/v1/networks/{network}/groups")["groups"]
    return {member["pod"] for each in found if each["group"] == group for member in each["members"]}


def is_known(lab: Lab, *pods: str, network: str = "red", group: str = GROUP) -> bool:
    """Whether exactly these are members before long, and the switches do so."""
    return eventually(lambda: members(lab, network, group) == {*pods}, 20) and eventually(lambda: settled(lab))


def settled(lab: Lab) -> bool:
    return all(each["phase"] == "InSync" for each in lab.api.get("/v1/switches")["switches"])


def reached(lab: Lab, sender: str, listening: dict[str, Member], group: str = GROUP, ttl: int = 1) -> set[str]:
    """Say something to a group; return who has heard it: each once, from the sender's own address."""
    words, source = f"word {next(_WORDS)}".encode(), lab.pods_by_name[sender]
    say(source, group, words, ttl)
    overtake(lab, source)
    heard = {name: member.heard(words) for name, member in listening.items()}
    assert all(each in ([], [str(source.address)]) for each in heard.values()), heard
    return {name for name, each in heard.items() if each}


def join(stack: ExitStack, lab: Lab, *names: str, group: str = GROUP) -> dict[str, Member]:
    return {name: stack.enter_context(Member(lab.pods_by_name[name], group)) for name in names}


@pytest.fixture(autouse=True)
def nobody_left(world: Lab) -> Iterator[None]:
    """Let every test begin and end without members."""
    yield
    for network in ("red", "fir"):
        for group in (GROUP, OTHER):
            assert is_known(world, network=network, group=group)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("ttl", [1, 32])
def test_members_get_what_is_sent_to_their_group(world: Lab, version: int, ttl: int) -> None:
    """On the sender's node and on others, of its network and of a connected one, and nobody else, by either version."""
    everybody = ("red/b", "red/c", "blue/a", "blue/c", "fir/a", "fir/d", "off/a")
    for name in everybody:
        set_version(world.pods_by_name[name].namespace, version)
    not_joined = [world.pods_by_name["red/d"], world.pods_by_name["off/c"]]
    with ExitStack() as stack, watching(not_joined) as seen:
        listening = join(stack, world, *everybody)
        assert is_known(world, "red/b", "red/c", "blue/a", "blue/c")
        assert is_known(world, "fir/a", "fir/d", network="fir")
        assert reached(world, "red/a", listening, ttl=ttl) == {"red/b", "red/c", "blue/a", "blue/c"}
        assert reached(world, "red/d", listening, ttl=ttl) == {"red/b", "red/c", "blue/a", "blue/c"}  # no member itself
        assert reached(world, "fir/d", listening, ttl=ttl) == {"fir/a"}
        assert reached(world, "blue/a", listening, ttl=ttl) == {"red/b", "red/c", "blue/c"}
        assert reached(world, "off/c", listening, ttl=ttl) == set()
        assert reached(world, "red/a", listening, OTHER, ttl) == set()
        assert reached(world, "red/a", listening, SAME_MAC, ttl) == set()
        listening["red/c"].leave()
        listening["blue/a"].leave()
        assert is_known(world, "red/b", "blue/c")
        assert reached(world, "red/a", listening, ttl=ttl) == {"red/b", "blue/c"}
        assert not any(marked(sniffer, b"word ") for sniffer in seen.values())
    for name in everybody:
        set_version(world.pods_by_name[name].namespace, 0)


def test_a_member_by_source_gets_all_and_its_kernel_chooses(world: Lab) -> None:
    """Also who wants none of its sources any more leaves (BLOCK_OLD_SOURCES)."""
    a, c = world.pods_by_name["red/a"], world.pods_by_name["red/c"]
    with Member(c, GROUP, [str(a.address)]) as member:
        assert is_known(world, "red/c")
        assert reached(world, "red/a", {"red/c": member}) == {"red/c"}
        with watching([c]) as seen:
            assert reached(world, "red/b", {"red/c": member}) == set()
            assert marked(seen["red/c"], b"word ")
    assert is_known(world)


def test_each_node_gets_one_copy_by_the_tunnel(world: Lab) -> None:
    with ExitStack() as stack:
        listening = join(stack, world, "red/c", "blue/c")
        assert is_known(world, "red/c", "blue/c")
        before = arrived(world, "n2")
        assert reached(world, "red/a", listening) == {"red/c", "blue/c"}
        assert eventually(lambda: arrived(world, "n2") == before + 1)
        assert reached(world, "red/a", listening) == {"red/c", "blue/c"}
        assert eventually(lambda: arrived(world, "n2") == before + 2)


def arrived(lab: Lab, node: str) -> int:
    """Return how many packets to groups have come to a node by the tunnel."""
    flows = lab.node(node).ovs_ofctl("dump-flows", f"table={int(Table.TUNNEL_INGRESS)},ip,nw_dst=224.0.0.0/4")
    return sum(int(found) for found in re.findall(r"n_packets=(\d+)", flows))


def frames_for(pod: Pod, group: str, words: bytes, source: str | None = None) -> bytes:
    inner = udp_packet(source or str(pod.address), group, (4000, PORT), words)
    return ethernet("01:00:5e:01:01:01", mac_address(pod.namespace, "eth0"), ETH_P_IP, inner)


def test_nobody_says_it_is_somebody_else_and_local_control_stays_local(world: Lab) -> None:
    a, b, c = (world.pods_by_name[name] for name in ("red/a", "red/b", "red/c"))
    with ExitStack() as stack, watching([b, c]) as seen:
        join(stack, world, "red/b", "red/c")
        stack.enter_context(Member(c, "224.0.0.200"))
        assert is_known(world, "red/b", "red/c")
        send(a.namespace, "eth0", frames_for(a, GROUP, b"forged", str(world.pods_by_name["red/d"].address)))
        send(a.namespace, "eth0", frames_for(a, "224.0.0.200", b"local"))
        send(a.namespace, "eth0", frames_for(a, GROUP, b"honest"))
        assert eventually(lambda: all(marked(sniffer, b"honest") for sniffer in seen.values()))
        overtake(world, a)
        assert not any(marked(sniffer, words) for sniffer in seen.values() for words in (b"forged", b"local"))


def test_a_member_that_is_killed_is_forgotten_with_its_pod(world: Lab) -> None:
    pod = world.pod("red/gone", on="n2")
    member = Member(pod, GROUP)
    assert is_known(world, "red/gone")
    member.leave()
    world.remove_pod("red/gone")
    assert is_known(world)


def test_a_restart_of_the_nodes_program_forgets_nobody(world: Lab) -> None:
    """While it is down members get everything; afterwards they are asked, and who left meanwhile is no member."""
    with ExitStack() as stack:
        listening = join(stack, world, "red/b", "red/c", "blue/c")
        assert is_known(world, "red/b", "red/c", "blue/c")
        world.node("n2").stop_keeper()
        assert reached(world, "red/a", listening) == {"red/b", "red/c", "blue/c"}
        listening["blue/c"].leave()
        world.node("n2").start_keeper()
        assert is_known(world, "red/b", "red/c")
        assert reached(world, "red/a", listening) == {"red/b", "red/c"}


def test_a_restart_of_the_controller_forgets_nobody(world: Lab) -> None:
    """It does not keep who is a member: the nodes tell it again."""
    with ExitStack() as stack:
        listening = join(stack, world, "red/b", "red/c")
        assert is_known(world, "red/b", "red/c")
        world.controller.restart()
        start = time.monotonic()
        assert is_known(world, "red/b", "red/c")
        assert time.monotonic() - start < 15
        assert reached(world, "red/a", listening) == {"red/b", "red/c"}


def test_switching_it_off_and_on_again(world: Lab) -> None:
    """Who had joined before it was switched on is asked, and need not join again."""
    with ExitStack() as stack:
        listening = join(stack, world, "red/b", "red/c", "off/a")
        assert is_known(world, "red/b", "red/c")
        world.api.patch("/v1/networks/off", {"multicast": True})
        assert is_known(world, "off/a", "red/b", "red/c")
        assert reached(world, "red/a", listening) == {"off/a", "red/b", "red/c"}
        world.api.patch("/v1/networks/off", {"multicast": False})
        assert is_known(world, "red/b", "red/c")
        assert reached(world, "red/a", listening) == {"red/b", "red/c"}
        assert reached(world, "off/c", listening) == set()


def report(group: int, pod: Pod) -> bytes:
    """Return a frame of a pod that joins a group by IGMPv2."""
    address = socket.inet_aton(f"239.9.{group >> 8}.{group & 255}")
    body = b"\x16\0\0\0" + address
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    head = b"\x45\0\0\x1c\0\0\0\0\x01\x02\0\0" + socket.inet_aton(str(pod.address)) + address
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return ethernet("01:00:5e:09:00:01", mac_address(pod.namespace, "eth0"), ETH_P_IP, head + body)


def flood(pod: Pod, frames: list[bytes], seconds: float) -> int:
    """Send frames as fast as they go; return how many."""
    sent, deadline = 0, time.monotonic() + seconds
    with pod.namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        while time.monotonic() < deadline:
            for frame in frames:
                sock.send(frame)
            sent += len(frames)
    return sent


def test_a_pod_that_floods_reports_disturbs_nobody(world: Lab) -> None:
    """It gets as many groups as a port may have; others on its node join as before."""
    flooding, keeper = world.pods_by_name["fir/a"], world.node("n1")
    frames = [report(group, flooding) for group in range(500)]
    before = cpu_seconds(keeper)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        sent = pool.submit(flood, flooding, frames, 6)
        time.sleep(1)
        listening = join(stack, world, "red/b", "red/c")
        assert is_known(world, "red/b", "red/c")
        assert not sent.done()
        assert reached(world, "red/a", listening) == {"red/b", "red/c"}
        assert sent.result() > 20_000
        assert cpu_seconds(keeper) - before < 3
        assert 0 < len(world.api.get("/v1/networks/fir/groups")["groups"]) <= MOST_GROUPS
    world.remove_pod("fir/a")
    world.pod("fir/a", on="n1")
    assert eventually(lambda: world.api.get("/v1/networks/fir/groups")["groups"] == [])


def cpu_seconds(node: Node) -> float:
    """Return what heddle-node of a node has used of the processor."""
    process = node._keeper
    assert process is not None
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_command_line_tells_where_a_group_goes(world: Lab) -> None:
    with ExitStack() as stack:
        join(stack, world, "red/c", "blue/c")
        assert is_known(world, "red/c", "blue/c")
        trace = world.api.get(f"/v1/trace?from=red/a&to={GROUP}&protocol=udp&port=5001")
        assert trace["verdict"] == "delivered"
        assert {"red/c", "blue/c"} <= {*trace["reason"].replace(",", "").split()}
        assert world.api.get("/v1/verification")["proven"]
        nobody = world.api.get(f"/v1/trace?from=red/a&to={OTHER}&protocol=udp&port=5001")
        assert (nobody["verdict"], nobody["at"]["table_name"]) == ("dropped", "GROUPS")
