"""The store of row 7, and the bundles of the old way: five flows of each pod, on each node that hosts the network."""

from __future__ import annotations

from pathlib import Path

from bench.framing import whole_messages
from bench.rewriting import FLOWS_OF_A_POD, rewritten
from bench.world import pair_names, seed_pairs
from ryu_apps.openflow.wire import MessageType


def test_pairs_among_many(tmp_path: Path) -> None:
    snapshot = seed_pairs(tmp_path / "store.sqlite", 4, (3, 8), 20)
    assert len(snapshot.networks) == 20 + 1
    for size, hosts in ((3, 3), (8, 4)):
        for name in pair_names(size):
            assert sum(snapshot.hosted[node, name] for node in snapshot.hosts[name]) == size
            assert len(snapshot.hosts[name]) == hosts
    others = set(snapshot.hosts) - {name for size in (3, 8) for name in pair_names(size)}
    assert len(others) == 16


def test_five_flows_of_each_pod(tmp_path: Path) -> None:
    snapshot = seed_pairs(tmp_path / "store.sqlite", 4, (8,), 5)
    one, other = (snapshot.networks[name] for name in pair_names(8))
    there, back = (rewritten(snapshot, one.name, vnid) for vnid in (other.vnid, one.vnid))
    assert set(there) == set(back) == {snapshot.nodes[node].dpid for node in snapshot.hosts[one.name]}
    kinds = [kind for bundle in there.values() for kind, _, _ in whole_messages(bytearray(bundle))]
    assert kinds.count(MessageType.BUNDLE_ADD) == 8 * FLOWS_OF_A_POD
    assert there != back
