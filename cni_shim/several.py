"""What a pod with several interfaces needs so that each answers for itself: rules by source, and strict ARP.

Imported only for such a pod. Each interface, the primary one too, has a routing table of its own, numbered by its
index, and what comes from one of its addresses, or from a socket bound to it, is routed by that. What an interface
sends with another one's address would be dropped as spoofed. See docs/decisions/source-rules.md.
"""

from __future__ import annotations

import errno
from _socket import inet_ntop

from cni_shim import netlink
from cni_shim.errors import UNKNOWN_CONTAINER, ShimError
from cni_shim.netlink import Netlink, packed, prefix, same_route
from cni_shim.netns import Namespace
from cni_shim.rules import Rule, delete_rule, new_rule, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cni_shim.add import Shared
    from cni_shim.attachment import Assignment
    from cni_shim.plugin import Log
    from cni_shim.result import Part

FIRST_TABLE = 1000  # an interface's table is this and its index in the pod: never that of `main`, `local`, `default`
# Answer and announce each address on its own interface only (Documentation/networking/ip-sysctl.rst).
ARP = {"arp_ignore": "1", "arp_announce": "2"}
# An answer may come back by an interface that the main table would not choose: loose, also where the node is strict.
LOOSE = {"rp_filter": "2"}


def route_by_source(shared: Shared, parts: Sequence[Part]) -> None:
    """Have each interface of the pod answer for itself; what is made is taken back with the rest."""
    with shared.namespace:
        kernel = Netlink()
        for part in parts:
            _write_settings(part.attachment.ifname, ARP | (LOOSE if part.attachment.primary else {}), shared.log)
    shared.closing.append(kernel.close)
    wanted = [rule for part in parts for rule in rules_of(part.attachment.ifname, part.index, part.assignment)]
    shared.undo.append(lambda: kernel.do(*map(delete_rule, wanted), ignore=errno.ENOENT))
    for part in parts:
        table = FIRST_TABLE + part.index
        found = routes_of(part.assignment)
        kernel.do(*(netlink.new_route(part.index, *route, table) for route in found), ignore=errno.EEXIST)
    kernel.do(*map(new_rule, wanted), ignore=errno.EEXIST)


def rules_of(name: str, index: int, assignment: Assignment) -> list[Rule]:
    """The rules of interface `name`, in the order in which they are made.

    Of two interfaces with the same address the first one's rule decides.
    """
    table = FIRST_TABLE + index
    sources = [packed(address.partition("/")[0]) for address, _ in assignment.addresses]
    found = [(family, f"{inet_ntop(family, octets)}/{len(octets) * 8}", "", table) for family, octets in sources]
    return [*found, *((family, "", name, table) for family in dict(sources))]


def routes_of(assignment: Assignment) -> list[tuple[str, str]]:
    """Destination and gateway of what an interface's own table has, each once, in the order in which they are made."""
    subnets = [(_subnet(address), "") for address, _ in assignment.addresses]
    ways = [(_everywhere(gateway), gateway) for _, gateway in assignment.addresses if gateway]
    return list(dict.fromkeys(same_route(*route) for route in (*subnets, *assignment.routes, *ways)))


def remove_rules(path: str, names: Collection[str], log: Log) -> None:
    """Delete our rules for interfaces `names`, and for those that are gone, in the namespace at `path`.

    The kernel keeps a rule when its interface goes. Without the namespace there is nothing to do.
    """
    try:
        namespace = Namespace(path)
        try:
            with namespace:
                kernel = Netlink()
        finally:
            namespace.close()
        try:
            staying = {link.index for link in netlink.links(kernel).values() if link.name not in names}
            gone = [rule for rule in rules(kernel) if rule[3] - FIRST_TABLE not in staying]
            kernel.do(*map(delete_rule, gone), ignore=errno.ENOENT)
        finally:
            kernel.close()
    except (ShimError, OSError) as error:
        if not (isinstance(error, ShimError) and error.code == UNKNOWN_CONTAINER):
            log(f"rules of {', '.join(names)} may be left in {path}: {error}")


def _subnet(address: str) -> str:
    """The subnet of `ADDRESS/LENGTH`, as a CIDR."""
    family, octets, length = prefix(address)
    spare = len(octets) * 8 - length
    number = int.from_bytes(octets, "big") >> spare << spare
    return f"{inet_ntop(family, number.to_bytes(len(octets), 'big'))}/{length}"


def _everywhere(gateway: str) -> str:
    return "::/0" if ":" in gateway else "0.0.0.0/0"


def _write_settings(name: str, settings: dict[str, str], log: Log) -> None:
    """Write keys of net.ipv4.conf.NAME in the caller's network namespace, as well as it can."""
    for key, value in settings.items():
        try:
            with open(f"/proc/sys/net/ipv4/conf/{name}/{key}", "wb", buffering=0) as switch:
                switch.write(value.encode())
        except OSError as error:
            log(f"{key} of {name} stays as it is ({error}): another interface's addresses may be announced there")
