"""A pod's attachment in three parties' words: the kernel's (names), the switch's (rows), the controller's (paths)."""

from __future__ import annotations

from _blake2 import blake2b

from cni_shim.errors import UNDECODABLE, ShimError
from cni_shim.netlink import packed, prefix
from cni_shim.ovsdb import Database, as_set, decode_row, encode_map, encode_set, select
from cni_shim.request import is_interface_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from cni_shim.ovsdb import Operation, Row

NETWORK_KEY, CONTAINER_KEY, IFNAME_KEY = "heddle-network", "heddle-container", "heddle-ifname"
WITH_KEY = "heddle-with"  # on another interface's row: the one that the runtime asked for, with which it comes and goes
OTHERS_KEY = "heddle-others"  # on that one's rows: the names of the others
MTU_KEY = "heddle-mtu"  # on an Interface row: the MTU of the pod's end, if less than the node's
NETNS_KEY = "heddle-netns"  # on an Interface row of a tap: where it belongs, when ovs-vswitchd has made it anew
INTERNAL = "internal"  # type of an Interface row whose link ovs-vswitchd makes: a tap, to its userspace data path
LINK_GROUP = 0x6864  # of every pod's host end; the node's guard rules know it (node/firewall.py)
ALIAS = "heddle"  # the host end's alias is "heddle NETWORK CONTAINER IFNAME", and "with PRIMARY" for another interface
_INTERFACE_COLUMNS = ["name", "type", "external_ids", "ofport", "error"]


class Attachment:
    """One interface of one container in one network (a conflist's name).

    `primary`: the interface that the runtime asked for, when the controller gave the pod this one besides; else "".
    """

    __slots__ = ("container", "host", "host_mac", "ifname", "network", "primary")

    def __init__(self, network: str, container: str, ifname: str, primary: str = "") -> None:
        self.network: Final = network
        self.container: Final = container
        self.ifname: Final = ifname
        self.primary: Final = primary
        digest = blake2b(f"{container}/{ifname}".encode(), digest_size=7)
        self.host: Final = f"v{digest.hexdigest()}"
        self.host_mac: Final = b"\x06" + digest.digest()[:5]  # locally administered, so that udev leaves it alone

    @property
    def asked(self) -> tuple[str, str]:
        """Container and interface as the runtime knows them."""
        return self.container, self.primary or self.ifname

    @property
    def alias(self) -> str:
        beside = f" with {self.primary}" if self.primary else ""
        return f"{ALIAS} {self.network} {self.container} {self.ifname}{beside}"[:255]

    def path(self, node: str) -> str:
        """Of this port in the controller's API."""
        return f"/v1/nodes/{node}/ports/{self.container}/{_quoted(self.ifname)}"


def _quoted(text: str) -> str:
    """Percent-encoding (RFC 3986) of what an interface may be named."""
    return "".join(c if c.isalnum() or c in "-._~" else f"%{ord(c):02X}" for c in text)


class Assignment:
    """What the controller gave a port, checked: its MAC address, addresses with gateways, routes, and perhaps an MTU.

    `addresses` go into the pod. `told` are those by which everybody outside the pod's network reaches it, and which
    the result therefore carries: the cluster addresses of a pod that has some, else the same. `others`: the names of
    interfaces that the pod must have besides.
    """

    __slots__ = ("addresses", "mac", "mac_bytes", "mtu", "others", "routes", "told")

    def __init__(self, content: Any) -> None:
        try:
            self.mac: Final = str(content["mac"]).lower()
            self.mac_bytes: Final = _mac(self.mac)
            found = [(str(item["address"]), item.get("gateway")) for item in content["addresses"]]
            self.addresses: Final = tuple((address, gateway or "") for address, gateway in found)
            self.routes: Final = tuple((str(r["dst"]), str(r.get("gw") or "")) for r in content["routes"])
            for address, gateway in self.addresses:
                _check(prefix(address)[0], gateway)
            for destination, gateway in self.routes:
                _check(prefix(destination)[0], gateway)
            if not self.addresses:
                raise ValueError("no address")
            cluster = tuple((_single(str(address)), "") for address in content.get("cluster_addresses") or ())
            self.told: Final = cluster or self.addresses
            self.mtu: Final = _mtu(content.get("mtu"))
            self.others: Final = _others(content.get("others"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ShimError(
                UNDECODABLE, "the controller's assignment cannot be used", f"{type(error).__name__}: {error}"
            ) from None


def _mac(text: str) -> bytes:
    octets = bytes.fromhex(text.replace(":", ""))
    if len(octets) != 6 or len(text) != 17 or octets[0] & 1:
        raise ValueError(f"{text!r} is not a station's MAC address")
    return octets


def _single(address: str) -> str:
    """ADDRESS/LENGTH of one address without a subnet around it."""
    return f"{address}/{len(packed(address)[1]) * 8}"


def _mtu(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 16):
        raise ValueError(f"{value!r} is not an MTU")
    return value


def _others(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    good = isinstance(value, list) and all(isinstance(name, str) and is_interface_name(name) for name in value)
    if not good or len({*value}) < len(value):
        raise ValueError(f"{value!r} is not a list of different interfaces' names")
    return tuple(value)


def _check(family: int, gateway: str) -> None:
    if gateway and packed(gateway)[0] != family:
        raise ValueError(f"gateway {gateway} is of another address family")


def external_ids(attachment: Attachment, pod: str, mac: str, others: tuple[str, ...] = ()) -> dict[str, str]:
    """Of the Interface row, and the Port row. `mac`: "" until the controller has given it, and `others` with it."""
    found = {
        NETWORK_KEY: attachment.network,
        CONTAINER_KEY: attachment.container,
        IFNAME_KEY: attachment.ifname,
        "iface-id": pod,
    }
    if attachment.primary:
        found[WITH_KEY] = attachment.primary
    if others:
        found[OTHERS_KEY] = " ".join(others)
    return {**found, "attached-mac": mac} if mac else found


def add_port(bridge: str, name: str, ids: dict[str, str], kind: str = "") -> list[Operation]:
    """Put link `name` into `bridge`. Nothing in it waits for the switch; without that bridge, nothing is made.

    `kind`: type of the interface; with INTERNAL, the switch makes the link.

    The first result is the bridge's row, with its `datapath_type`.
    """
    interface = {"name": name, "type": kind, "external_ids": encode_map(ids)}
    port = {"name": name, "interfaces": ["named-uuid", "interface"], "external_ids": encode_map(ids)}
    member = [["ports", "insert", encode_set([["named-uuid", "port"]])]]
    return [
        select("Bridge", ["datapath_type"], [["name", "==", bridge]]),
        {"op": "insert", "table": "Interface", "row": interface, "uuid-name": "interface"},
        {"op": "insert", "table": "Port", "row": port, "uuid-name": "port"},
        {"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": member},
    ]


def set_external_ids(name: str, ids: dict[str, str], table: str = "Interface") -> Operation:
    row = {"external_ids": encode_map(ids)}
    return {"op": "update", "table": table, "where": [["name", "==", name]], "row": row}


def remove_port(database: Database, name: str) -> bool:
    """Take port `name` out of whatever bridge it is in; False when there is none."""
    found = database.transact(select("Port", [], [["name", "==", name]]))[0]["rows"]
    if found:
        database.transact(*taken_out(found))
    return bool(found)


def taken_out(rows: list[Row]) -> list[Operation]:
    """Take Port rows, of which the `_uuid` is enough, out of whatever bridges they are in."""
    references = [encode_set([row["_uuid"]]) for row in rows]
    return [
        {
            "op": "mutate", "table": "Bridge", "where": [["ports", "includes", reference]],
            "mutations": [["ports", "delete", reference]],
        }
        for reference in references
    ]  # fmt: skip


def find_port(database: Database, bridge: str, name: str) -> Row | None:
    """The decoded Interface row of port `name` in `bridge`, or None."""
    where = [["name", "==", name]]
    bridges, ports, interfaces = database.transact(
        select("Bridge", ["ports"], [["name", "==", bridge]]),
        select("Port", [], where),
        select("Interface", _INTERFACE_COLUMNS, where),
    )
    if not (bridges["rows"] and ports["rows"] and interfaces["rows"]):
        return None
    members = as_set(decode_row(bridges["rows"][0])["ports"])
    return decode_row(interfaces["rows"][0]) if decode_row(ports["rows"][0])["_uuid"] in members else None


def pod_interfaces(database: Database) -> list[Row]:
    """The decoded Interface rows of all pods' ports on this node."""
    found = database.rows("Interface", _INTERFACE_COLUMNS)
    return [row for row in found if CONTAINER_KEY in row["external_ids"]]
