"""Taps that belong into pods: ovs-vswitchd, started again, has made them anew beside these, and those inside are dead.

Each gets its place, index, MAC, MTU, addresses and routes again, all read from the dead one; so connections go on.
"""

from __future__ import annotations

import logging
from _socket import if_nametoindex
from pathlib import Path

from cni_shim import netlink, tap
from cni_shim.attachment import CONTAINER_KEY, IFNAME_KEY, INTERNAL, NETNS_KEY
from cni_shim.errors import ShimError
from cni_shim.netns import Namespace
from cni_shim.node.rows import apply
from cni_shim.node.system import links
from cni_shim.ovsdb import Database, Row

log = logging.getLogger("heddle-node")


def of_pods(database: Database) -> list[Row]:
    """The decoded Interface rows of pods' taps."""
    found = database.rows("Interface", ["name", "external_ids"], [["type", "==", INTERNAL]])
    return [row for row in found if CONTAINER_KEY in row["external_ids"]]


def is_stale(row: Row) -> bool:
    """Whether the pod's namespace is gone, and with it all that the tap was for; not, where that cannot be seen."""
    place = Path(row["external_ids"].get(NETNS_KEY, "/"))
    return place.parent.is_dir() and not place.exists()


def ensure(database: Database) -> list[str]:
    """Put taps that are beside their pods where they belong; what was changed, in words."""
    rows = of_pods(database)
    there = links() if rows else {}
    beside = [row for row in rows if row["name"] in there and not is_stale(row)]
    if beside:
        apply(database, [])  # until ovs-vswitchd has opened them, it looks for them here
    changed = []
    for row in beside:
        try:
            changed += _put_back(row["name"], row["external_ids"])
        except ShimError as error:  # one that is being made, or whose pod has nothing to read: the others go on
            log.warning("tap %s of %s: %s", row["name"], row["external_ids"].get("iface-id", "a pod"), error)
    return changed


def _put_back(name: str, ids: dict[str, str]) -> list[str]:
    ifname = ids[IFNAME_KEY]
    namespace, own = Namespace(ids[NETNS_KEY]), netlink.Netlink()
    try:
        with namespace:
            inside = netlink.Netlink()
        try:
            kept = tap.Kept(inside, ifname)
            try:
                if_nametoindex(name)  # still here, so that the pod's one is another
            except OSError:
                return []  # the plugin has just put it there
            kept.remove(inside)
            tap.take(own, name, (namespace, ifname), kept.index)
            kept.restore(inside)
        finally:
            inside.close()
    finally:
        own.close()
        namespace.close()
    return [f"{ifname} of {ids.get('iface-id', 'a pod')} put back into the pod: ovs-vswitchd has made it anew"]
