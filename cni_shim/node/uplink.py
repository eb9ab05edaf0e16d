"""The underlay interface: found by its address; for a userspace datapath moved under br-ex, address and routes with it.

A move can be interrupted at any step: what is to be moved is written down first, and taken up again by the next run.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node import bridges, rows
from cni_shim.node.announce import announce
from cni_shim.node.configuration import write_by_rename
from cni_shim.node.settings import Settings
from cni_shim.node.system import addresses, family_flag, ip, ip_json, links, offload_off
from cni_shim.ovsdb import Database

FILE_NAME = "uplink.json"
DEVICE_TIMEOUT = 10.0  # seconds for a tap of ovs-vswitchd to appear
_POLL = 0.02

log = logging.getLogger("heddle-node")


@dataclass(frozen=True)
class Underlay:
    """Where the node's underlay address is (`interface`), the wire behind it (`uplink`), and its MTU in bytes."""

    interface: str
    uplink: str
    mtu: int


@dataclass(frozen=True)
class Moved:
    """What was on the uplink before it went under br-ex: addresses with lengths, and routes as words for `ip route`."""

    uplink: str
    addresses: tuple[str, ...]
    routes: tuple[tuple[str, ...], ...]


def find(address: str, settings: Settings, database: Database) -> Underlay:
    """The underlay of the node with underlay `address`; ShimError when no interface has it."""
    present = links()
    if settings.datapath == "netdev":
        uplink = settings.uplink or _moved_uplink(database) or _holder(present, address)
        if uplink not in present:
            raise ShimError(IO_FAILURE, f"the uplink {uplink} is not there", "set 'uplink' in the settings file")
        return Underlay(bridges.EXTERNAL_BRIDGE, uplink, int(present[uplink]["mtu"]))
    holder = _holder(present, address)
    return Underlay(holder, settings.uplink or holder, int(present[holder]["mtu"]))


def interface_of(address: str, settings: Settings) -> str:
    """The interface on which the node has its underlay address; ShimError when none has it."""
    return bridges.EXTERNAL_BRIDGE if settings.datapath == "netdev" else _holder(links(), address)


def prepare(underlay: Underlay, settings: Settings, database: Database) -> list[str]:
    """Bring the underlay into place; what was changed, in words."""
    if settings.datapath != "netdev":
        return []
    changed = []
    record = settings.state_dir / FILE_NAME
    moved = _record(record, underlay.uplink)
    uplink = links()[underlay.uplink]
    if rows.ensure(database, bridges.external_bridge(underlay.uplink, uplink["address"])):
        changed.append(f"{bridges.EXTERNAL_BRIDGE} with uplink {underlay.uplink}")
    wait_for_device(bridges.EXTERNAL_BRIDGE)
    offload_off(underlay.uplink, log)
    changed += _move(moved, bridges.EXTERNAL_BRIDGE)
    return changed


def restore(settings: Settings, database: Database) -> list[str]:
    """Undo `prepare`: br-ex goes, the uplink gets its addresses and routes back."""
    record = settings.state_dir / FILE_NAME
    moved = _read(record)
    changed = []
    if rows.remove_bridge(database, bridges.EXTERNAL_BRIDGE):
        changed.append(f"{bridges.EXTERNAL_BRIDGE} removed")
    if moved is not None and moved.uplink in links():
        changed += _move(moved, moved.uplink)
        announce_moved(settings, moved.uplink)
    record.unlink(missing_ok=True)
    return changed


def taken(settings: Settings) -> Moved | None:
    """What br-ex has of its uplink's addresses now, None when it has nothing. Does without the database."""
    moved = _read(settings.state_dir / FILE_NAME)
    present = links()
    if moved is None or moved.uplink not in present or bridges.EXTERNAL_BRIDGE not in present:
        return None
    return moved if set(moved.addresses) & set(addresses(present[bridges.EXTERNAL_BRIDGE])) else None


def give_back(moved: Moved, settings: Settings) -> list[str]:
    """Give the uplink what br-ex has taken; the next `prepare` takes it again. What was changed, in words."""
    changed = _move(moved, moved.uplink)
    announce_moved(settings, moved.uplink)
    return changed


def announce_moved(settings: Settings, interface: str = bridges.EXTERNAL_BRIDGE) -> None:
    """Tell the neighbours which MAC address the addresses that were moved to `interface` have there."""
    moved = _read(settings.state_dir / FILE_NAME)
    for address in moved.addresses if moved is not None else ():
        announce(address.partition("/")[0], interface)


def wait_for_device(name: str) -> None:
    """Return once link `name` exists; ShimError when ovs-vswitchd does not make it in time."""
    deadline = time.monotonic() + DEVICE_TIMEOUT
    while not any(link["ifname"] == name for link in ip_json("link", "show")):
        if time.monotonic() > deadline:
            raise ShimError(IO_FAILURE, f"ovs-vswitchd did not make {name}", "see its log; is /dev/net/tun there?")
        time.sleep(_POLL)


def _holder(present: dict[str, dict[str, Any]], address: str) -> str:
    for name, link in present.items():
        if any(item.partition("/")[0] == address for item in addresses(link)):
            return name
    raise ShimError(
        IO_FAILURE,
        f"no interface has the underlay address {address}",
        "give it to this node's interface, or register the node with the address that it has",
    )


def _moved_uplink(database: Database) -> str | None:
    found = database.rows("Bridge", ["external_ids"], [["name", "==", bridges.EXTERNAL_BRIDGE]])
    return found[0]["external_ids"].get(bridges.UPLINK_KEY) if found else None


def _record(path: Path, uplink: str) -> Moved:
    """What is to be moved: what was written down before, and what is on the uplink now (after a reboot, again)."""
    link = links()[uplink]
    present = Moved(uplink, addresses(link, "global"), _routes(uplink))
    before = _read(path)
    if before is None or before.uplink != uplink or present.addresses:
        write_by_rename(path, json.dumps(asdict(present)) + "\n")
        return present
    return before


def _read(path: Path) -> Moved | None:
    try:
        content = json.loads(path.read_text())
        return Moved(content["uplink"], tuple(content["addresses"]), tuple(tuple(r) for r in content["routes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _routes(interface: str) -> tuple[tuple[str, ...], ...]:
    """The routes over `interface` that are not made by its addresses, each as words for `ip route replace`."""
    found = []
    for family in ("-4", "-6"):
        for route in ip_json(family, "route", "show", "dev", interface):
            if route.get("protocol") == "kernel" or str(route.get("dst", "")).startswith("fe80:"):
                continue
            words = [family, str(route["dst"])]
            for key, word in (("gateway", "via"), ("metric", "metric"), ("prefsrc", "src"), ("protocol", "proto")):
                if key in route:
                    words += [word, str(route[key])]
            found.append(tuple(words + (["onlink"] if "onlink" in route.get("flags", ()) else [])))
    # Routes without a gateway first: the others may need them.
    return tuple(sorted(found, key=lambda words: "via" in words))


def _move(moved: Moved, target: str) -> list[str]:
    """Put the addresses and routes of `moved` on `target`, and take them from wherever else they are."""
    changed = []
    present = links()
    source = present.get(bridges.EXTERNAL_BRIDGE if target == moved.uplink else moved.uplink)
    if "UP" not in present[target]["flags"]:
        ip("link", "set", target, "up")
        changed.append(f"{target} up")
    if "UP" not in present[moved.uplink]["flags"]:
        ip("link", "set", moved.uplink, "up")
        changed.append(f"{moved.uplink} up")
    for address in moved.addresses:
        if address not in addresses(present[target]):
            extra = ["nodad"] if ":" in address else []
            ip("address", "add", address, "dev", target, *extra)
            changed.append(f"{address} on {target}")
        if source is not None and address in addresses(source):
            ip("address", "del", address, "dev", source["ifname"])
    kept = {(words[0], words[1]) for words in _routes(target)}
    for family, destination, *rest in moved.routes:
        if (family, destination) not in kept:
            ip(family, "route", "replace", destination, *rest, "dev", target)
            changed.append(f"route {destination} over {target}")
    return changed


def next_hop(address: str) -> tuple[str, str] | None:
    """The neighbour that the kernel would ask for to reach `address`, and the interface; None without a route."""
    try:
        found = ip_json(family_flag(address), "route", "get", address)
    except ShimError:
        return None
    if not found:
        return None
    return str(found[0].get("gateway", ipaddress.ip_address(address))), str(found[0]["dev"])
