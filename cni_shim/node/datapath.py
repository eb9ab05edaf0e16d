"""One pass over the node: whatever differs from the configuration is put right, and said. No waiting, no threads."""

from __future__ import annotations

from cni_shim.attachment import CONTAINER_KEY, INTERNAL
from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node import bridges, conflist, firewall, held, links, rows, taps, uplink
from cni_shim.node.configuration import FILE_NAME, Configuration
from cni_shim.node.settings import Settings
from cni_shim.node.system import family_flag
from cni_shim.node.system import links as present_links
from cni_shim.ovsdb import Database, Operation, as_set

LEAST_MTU = {"-4": 576, "-6": 1280}  # RFC 791, section 3.1; RFC 8200, section 5


def ensure(configuration: Configuration, settings: Settings) -> list[str]:
    """Set up or repair the node; what was changed, in words (nothing, when all was right).

    ShimError names what could not be done; a later pass takes it up again.
    """
    database = Database(settings.database)
    try:
        underlay = uplink.find(configuration.underlay, settings, database)
        userspace = settings.datapath == "netdev"
        # The guard comes before br0, so that no pod meets an unguarded kernel, and after the uplink has moved, so
        # that a move that fails does not cut the node off.
        changed = uplink.prepare(underlay, settings, database)
        changed += firewall.ensure(configuration, underlay.uplink if userspace else None, settings.state_dir)
        if userspace and changed:
            uplink.announce_moved(settings)  # until the guard was there, the uplink's MAC answered too
        changed += _ensure_tls(settings, database)
        bridge = bridges.pod_bridge(configuration, settings, _pods_mtu(configuration, underlay, settings.mtu))
        if rows.ensure(database, bridge):
            changed.append(f"{bridge.name} with its tunnel, {bridges.TUN_PORT}, {bridges.ICMP_PORT} and controllers")
        for device in (bridges.TUN_PORT, bridges.ICMP_PORT, bridges.IGMP_PORT):
            uplink.wait_for_device(device)
        changed += links.ensure(configuration)
        changed += held.ensure(configuration, underlay.interface)
        changed += remove_stale_ports(configuration.bridge, database)
        changed += taps.ensure(database)
    finally:
        database.close()
    return changed


def _pods_mtu(configuration: Configuration, underlay: uplink.Underlay, bound: int | None) -> int:
    """Bytes that a pod's packet may have; `bound`: of the underlay's. ShimError when IP does not work with so few."""
    carried = min(underlay.mtu, bound or underlay.mtu)
    mtu = carried - configuration.mtu_overhead
    least = max(LEAST_MTU[family_flag(gateway)] for gateway in configuration.gateways)
    if mtu < least:
        cause = f"{underlay.uplink} has {carried}, tunnels take {configuration.mtu_overhead} of these"
        raise ShimError(
            IO_FAILURE,
            f"pods would have an MTU of {mtu} bytes, and need {least}",
            f"{cause}: give {underlay.uplink} {least + configuration.mtu_overhead} or more",
        )
    return mtu


def remove_stale_ports(bridge: str, database: Database) -> list[str]:
    """Take pods' ports whose link is gone (a reboot, a DEL while OVS was away) out of the database.

    The plugin makes the link before the row and removes the row before the link, and the rows are read first here:
    a row without a link is never one in the making. Of a tap, the pod's namespace has to be there.
    """
    interfaces = database.rows("Interface", ["name", "type", "external_ids"])
    pods = {row["name"]: row for row in interfaces if CONTAINER_KEY in row["external_ids"]}
    if not pods:
        return []
    there = present_links()
    stale = [
        name for name, row in pods.items() if (taps.is_stale(row) if row["type"] == INTERNAL else name not in there)
    ]
    rows.remove_ports(database, bridge, stale)
    return [f"stale port {name} removed" for name in stale]


def release(configuration: Configuration, settings: Settings) -> list[str]:
    """Let the node get along without ovs-vswitchd, through which a userspace data path leads all of its own traffic.

    What was changed, in words. Pods stay cut off from the kernel; the next `ensure` takes everything up again.
    """
    moved = uplink.taken(settings) if settings.datapath == "netdev" else None
    if moved is None:
        return []
    # First: behind the guard, the uplink would hear nothing.
    changed = firewall.ensure(configuration, "", settings.state_dir)
    return [*changed, *held.release(), *uplink.give_back(moved, settings)]


def tear_down(settings: Settings, bridge: str) -> list[str]:
    """Undo `ensure`; what was changed, in words."""
    changed = [*conflist.absent(settings), *held.release()]
    database = Database(settings.database)
    try:
        if rows.remove_bridge(database, bridge):
            changed.append(f"{bridge} removed")
        changed += uplink.restore(settings, database)
    finally:
        database.close()
    # Only now: while there was a data path, its guard had to be there.
    changed += firewall.remove(settings.state_dir)
    (settings.state_dir / FILE_NAME).unlink(missing_ok=True)
    return changed


def _ensure_tls(settings: Settings, database: Database) -> list[str]:
    """Tell OVS its key and certificates for `ssl:` controllers."""
    if settings.openflow_tls is None:
        return []
    wanted = {
        "private_key": settings.openflow_tls.private_key,
        "certificate": settings.openflow_tls.certificate,
        "ca_cert": settings.openflow_tls.ca_certificate,
    }
    held = as_set(database.rows("Open_vSwitch", ["ssl"])[0]["ssl"])
    present = [row for row in database.rows("SSL", list(wanted)) if row["_uuid"] in held]
    if present and not rows.changes(present[0], wanted):
        return []
    insert: Operation = {"op": "insert", "table": "SSL", "row": wanted, "uuid-name": "ssl0"}
    refer: Operation = {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"ssl": ["named-uuid", "ssl0"]}}
    rows.apply(database, [insert, refer])
    return ["TLS files of OpenFlow"]
