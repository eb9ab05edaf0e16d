"""A pod's interface as an internal port of the switch: ovs-vswitchd makes the link, and it is moved into the pod.

What was there is put back when ovs-vswitchd, started again, has made the link anew.
"""

from __future__ import annotations

import errno
from _socket import if_nametoindex
from _struct import unpack_from
from time import monotonic, sleep

from cni_shim import netlink
from cni_shim.errors import INTERFACE_EXISTS, TRY_AGAIN, ShimError
from cni_shim.netns import Namespace

_POLL = 0.001
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_shim.ovsdb import Database

_OWN_ROUTES = (netlink.RTPROT_STATIC, 3)  # ours, and those made by `ip route` (RTPROT_BOOT)


def check_free(namespace: Namespace, ifname: str) -> None:
    """ShimError when the pod has an interface of that name: what the switch has for it must not be touched then."""
    with namespace:
        try:
            if_nametoindex(ifname)
        except OSError:
            return
    raise ShimError(
        INTERFACE_EXISTS, f"interface {ifname} exists already in {namespace.path}", "call DEL before a second ADD"
    )


def wait_open(database: Database, name: str, deadline: float) -> None:
    """Return once ovs-vswitchd has opened port `name`: while it does, it looks for the link where it made it."""
    where = [["name", "==", name]]
    while True:
        found = database.rows("Interface", ["ofport", "error"], where)
        if found and isinstance(found[0]["ofport"], int) and found[0]["ofport"] > 0:
            return
        error = str(found[0]["error"] or "") if found else "its row is gone"
        if monotonic() > deadline or error:
            cause = error or "is ovs-vswitchd running? see its log"
            raise ShimError(TRY_AGAIN, f"the switch has not made {name}", cause)
        sleep(_POLL)


def take(kernel: netlink.Netlink, name: str, into: tuple[Namespace, str], index: int = 0) -> None:
    """Move link `name` into a namespace as an interface of that name."""
    namespace, ifname = into
    try:
        found = if_nametoindex(name)
    except OSError:
        raise ShimError(TRY_AGAIN, f"the switch has no {name} any more", "see ovs-vswitchd's log") from None
    try:
        kernel.do(netlink.move(found, namespace.descriptor, ifname, index))
    except netlink.NetlinkError as error:
        if error.errno == errno.EEXIST:
            raise ShimError(
                INTERFACE_EXISTS, f"interface {ifname} exists already in {namespace.path}", "call DEL before ADD"
            ) from None
        raise


class Kept:
    """What an interface of a pod has, and loses with its link: MAC, MTU, addresses, routes in all tables.

    Made, and `restore` called, in the pod's namespace. ShimError when it has no such interface.
    """

    def __init__(self, kernel: netlink.Netlink, ifname: str) -> None:
        link = netlink.links(kernel).get(ifname)
        if link is None:
            raise ShimError(TRY_AGAIN, f"the pod has no {ifname} any more", "make the pod anew")
        self._link = link
        self.index = link.index
        self._addresses = netlink.addresses(kernel, link.index)
        self._routes = [
            payload
            for payload in netlink.dump_routes(kernel)
            if netlink.route_link(payload) == link.index and unpack_from("=B", payload, 5)[0] in _OWN_ROUTES
        ]

    def remove(self, kernel: netlink.Netlink) -> None:
        """Delete the link that nobody holds any more."""
        kernel.do(netlink.delete_link(self._link.name))

    def restore(self, kernel: netlink.Netlink) -> None:
        """Give it to the link that has this name and index now."""
        mac = bytes.fromhex(self._link.mac.replace(":", ""))
        addresses = [one for one in sorted(self._addresses) if not one.startswith("fe80:")]
        kernel.do(
            netlink.set_mtu(self._link.name, self._link.mtu),
            netlink.link_up(self._link.name, mac),
            *(netlink.new_address(self.index, address) for address in addresses),
        )
        # Those without a gateway first: the others may need them.
        for payload in sorted(self._routes, key=lambda payload: netlink.RTA_GATEWAY in netlink.parse(payload, 12)):
            kernel.do(netlink.same_route_again(payload), ignore=errno.EEXIST)
