"""ADD: a veth into the pod's namespace, a port on the switch, the controller's assignment, and its word that it is in.

The same for each other interface that the controller gives the pod: the runtime asks once. Whatever fails, everything
done so far is taken back in reverse. The order keeps all three parties busy at once: the switch opens ports while the
controller assigns addresses while the pod's ends are configured.
"""

from __future__ import annotations

import errno
from _socket import if_nametoindex
from time import monotonic

from cni_shim import attachment as ports
from cni_shim import ethtool, netlink
from cni_shim.attachment import Assignment, Attachment
from cni_shim.controller import Controller, read_token
from cni_shim.errors import (
    INTERFACE_EXISTS,
    IO_FAILURE,
    POOL_EXHAUSTED,
    REFUSED,
    TRY_AGAIN,
    UNDECODABLE,
    RefusedError,
    ShimError,
)
from cni_shim.netns import Namespace
from cni_shim.ovsdb import Database
from cni_shim.result import Part, result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cni_shim.plugin import Log
    from cni_shim.request import Request

TUN_PORT = "tun0"  # its MTU is what a pod's packet may have
# A userspace switch reads pods' frames from a socket whose buffer a fast sender overruns: a receive window that fits
# (bytes: least, first, largest) does without a machine-wide setting.
USERSPACE_TCP_RMEM = "4096 65536 131072"
LONGEST_POLL = 10.0  # seconds that the controller may hold one request


def add(request: Request, log: Log) -> dict[str, Any]:
    """Attach the pod; the result to print. ShimError when that cannot be, and then nothing is left of the attempt."""
    shared = Shared(request, log)
    try:
        shared.open()
        return _attach(shared)
    except BaseException:
        shared.take_back()
        raise
    finally:
        shared.close()


def _attach(shared: Shared) -> dict[str, Any]:
    request = shared.request
    first = Interface(shared, Attachment(request.network.name, request.container, request.ifname))
    first.begin()
    assignment = first.report()
    first.finish_port(assignment)
    wired = [(first, assignment)]
    if assignment.others:
        first.settle()  # the rows name the others before there is anything of them: DEL finds them by it
        wired += _begin_others(shared, assignment.others)
    parts = [interface.configure(given) for interface, given in wired]
    if assignment.others:
        from cni_shim.several import route_by_source

        route_by_source(shared, parts)
    for interface, _ in wired:
        interface.wait()
    for interface, _ in wired:
        interface.settle()  # what finish_port began: the answer is there by now
    return result(request, parts)


def _begin_others(shared: Shared, names: tuple[str, ...]) -> list[tuple[Interface, Assignment]]:
    """The pod's other interfaces, as far as the controller's answers; the switch opens all of them meanwhile."""
    request = shared.request
    if request.ifname in names:
        what = f"{request.ifname} is to have {' '.join(names)} besides"
        raise ShimError(UNDECODABLE, "the controller's assignment cannot be used", what)
    made = [
        Interface(shared, Attachment(request.network.name, request.container, name, request.ifname)) for name in names
    ]
    for interface in made:
        interface.begin()
    wired = [(interface, interface.report()) for interface in made]
    for interface, assignment in wired:
        interface.finish_port(assignment)
    return wired


class Shared:
    """What the interfaces of one ADD have in common.

    `undo`: what takes back what was done, in the order it was done; `closing`: what closes what was opened.
    """

    namespace: Namespace
    controller: Controller
    kernel: netlink.Netlink  # the node's own
    most: int  # bytes of the largest packet that a pod may have here

    def __init__(self, request: Request, log: Log) -> None:
        self.request = request
        self.log = log
        self.deadline = monotonic() + request.network.timeout
        self.undo: list[Callable[[], object]] = []
        self.closing: list[Callable[[], object]] = []

    def open(self) -> None:
        """Find the parties; ShimError for one that is not there."""
        network = self.request.network
        token = read_token(network.token_file)
        self.namespace = Namespace(self.request.netns)
        self.closing.append(self.namespace.close)
        self.controller = Controller(network.controllers, token, network.ca_file, network.timeout)
        self.closing.append(self.controller.close)
        try:
            self.most = ethtool.mtu(TUN_PORT)
        except OSError as error:
            raise ShimError(
                IO_FAILURE, f"this node has no {TUN_PORT}", f"{error.strerror}; is heddle-node running here?"
            ) from None
        self.kernel = netlink.Netlink()
        self.closing.append(self.kernel.close)

    def take_back(self) -> None:
        """Take back in reverse order; what cannot be taken back is logged, and the rest still is."""
        while self.undo:
            try:
                self.undo.pop()()
            except (ShimError, OSError) as error:
                self.log(f"ADD failed, and so did its undoing: {error}")

    def close(self) -> None:
        while self.closing:
            self.closing.pop()()


class Interface:
    """One interface of the pod, from its link to its flows. Methods are called in the order in which they stand.

    Each has a connection of its own to the database, so that transactions of several are under way at once.
    """

    def __init__(self, shared: Shared, attachment: Attachment) -> None:
        network = shared.request.network
        self._shared = shared
        self._attachment = attachment
        self._path = attachment.path(network.node)
        self._userspace = False
        self._database = Database(network.ovsdb, network.timeout)
        shared.closing.append(self._database.close)

    def begin(self) -> None:
        """Make the link, and hand its port's row to the database without waiting for an answer."""
        mine, network = self._attachment, self._shared.request.network
        if network.tap:
            from cni_shim import tap

            tap.check_free(self._shared.namespace, mine.ifname)
        else:
            self._make_link()
        self._shared.undo.append(self._remove_port)
        kind = ports.INTERNAL if network.tap else ""
        self._database.begin(ports.add_port(network.bridge, mine.host, self._ids(), kind))

    def report(self) -> Assignment:
        """Tell the controller of the port; what it gives it."""
        shared, request = self._shared, self._shared.request
        body = {
            "project": request.project,
            "pod": request.pod,
            "pod_uid": request.pod_uid,
            "host_interface": self._attachment.host,
        }
        shared.undo.append(self._forget)
        try:
            return Assignment(shared.controller.call("PUT", self._path, body)[1])
        except RefusedError as error:
            if error.status < 500 or error.status == 507:
                shared.undo.pop()  # nothing was made, and what another pod has under this name must stay
            code = POOL_EXHAUSTED if error.status == 507 else error.code
            named = f"{self._attachment.ifname}: " if self._attachment.primary else ""
            raise ShimError(code, f"{named}{error.msg}", error.details) from None

    def finish_port(self, assignment: Assignment) -> None:
        """See that the switch has been told of the port, and begin to tell it the MAC address."""
        mine, bridge = self._attachment, self._shared.request.network.bridge
        ids = self._ids(assignment.mac, () if mine.primary else assignment.others)
        if assignment.mtu is not None and assignment.mtu < self._shared.most:
            ids[ports.MTU_KEY] = str(assignment.mtu)
        try:
            found = self._database.finish()[0]["rows"]
        except ShimError as error:
            if "constraint violation" not in error.msg:
                raise
            # The link was made just now, so a row with its name is left from before a reboot.
            ports.remove_port(self._database, mine.host)
            kind = ports.INTERNAL if self._shared.request.network.tap else ""
            found = self._database.transact(*ports.add_port(bridge, mine.host, ids, kind))[0]["rows"]
        if not found:
            raise ShimError(IO_FAILURE, f"the switch has no bridge {bridge}", "is heddle-node running on this node?")
        told = [ports.set_external_ids(mine.host, ids)]
        if ports.OTHERS_KEY in ids:
            told.append(ports.set_external_ids(mine.host, ids, "Port"))  # DEL reads that one
        self._database.begin(told)
        self._userspace = str(found[0]["datapath_type"]) == "netdev"
        if self._shared.request.network.tap:
            from cni_shim import tap

            self.settle()
            tap.wait_open(self._database, mine.host, self._shared.deadline)
            tap.take(self._shared.kernel, mine.host, (self._shared.namespace, mine.ifname))

    def configure(self, assignment: Assignment) -> Part:
        """Give the pod's end its MTU, MAC address, addresses and routes.

        The host's end keeps the node's MTU: what is too large for the pod alone, heddle-node sees there and answers.
        """
        shared, name, tap = self._shared, self._attachment.ifname, self._shared.request.network.tap
        mtu = min(shared.most, assignment.mtu or shared.most)
        has_six = any(":" in address for address, _ in assignment.addresses)
        if has_six:
            from cni_shim import six

            six.check_mtu(name, mtu)
        with shared.namespace:
            index = if_nametoindex(name)
            if has_six:
                six.prepare(name, shared.log)
            kernel = netlink.Netlink()
            if self._userspace and not tap:
                ethtool.transmit_checksum_off(name)
                self._limit_window()
        shared.closing.append(kernel.close)
        kernel.do(
            netlink.set_mtu(name, mtu),
            netlink.link_up(name, assignment.mac_bytes),
            *(netlink.new_address(index, address) for address, _ in assignment.addresses),
        )
        # Where another interface of the pod has this route already, the first one keeps it, as in other plugins.
        wanted = {netlink.new_route(index, *route): route for route in assignment.routes}
        there = kernel.do(*wanted, ignore=errno.EEXIST)
        if self._userspace and not tap:
            ethtool.transmit_checksum_off(self._attachment.host)
        made = [route for message, route in wanted.items() if message not in there]
        return Part(self._attachment, assignment, (index, mtu, shared.most), made)

    def wait(self) -> None:
        """Return once the controller says that the port's flows are in the switch."""
        shared, named, patience = self._shared, self._iface_id(), self._shared.request.network.timeout
        while True:
            left = shared.deadline - monotonic()
            if left <= 0:
                raise ShimError(
                    TRY_AGAIN, f"the flows of {named} are not in the switch in time",
                    f"waited {patience:.0f} s; is this node's switch connected to the controller?",
                )  # fmt: skip
            wait = max(1, int(min(left, LONGEST_POLL)))
            _, port = shared.controller.call("GET", f"{self._path}?wait={wait}", wait=wait)
            phase = port.get("phase") if isinstance(port, dict) else None
            if phase == "Committed":
                return
            if phase == "Failed":
                raise ShimError(REFUSED, f"the port of {named} failed", str(port.get("reason") or "no reason"))
            if phase != "Pending":
                raise ShimError(IO_FAILURE, "the controller's answer cannot be used", f"phase {phase!r}")

    def settle(self) -> None:
        """Wait for the database's answer to what was begun last."""
        if self._database.unanswered:
            self._database.finish()

    def _make_link(self) -> None:
        shared, mine = self._shared, self._attachment
        peer = (mine.ifname, shared.namespace.descriptor)
        try:
            shared.kernel.do(netlink.new_veth(mine.host, mine.host_mac, ports.LINK_GROUP, shared.most, peer))
        except netlink.NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise self._exists() from None
            raise
        shared.undo.append(lambda: shared.kernel.do(netlink.delete_link(mine.host)))
        shared.kernel.do(netlink.host_end_up(mine.host, mine.alias))

    def _exists(self) -> ShimError:
        request, name = self._shared.request, self._attachment.ifname
        try:
            if_nametoindex(self._attachment.host)
        except OSError:
            another = (
                "name the pod's other interfaces otherwise" if self._attachment.primary else "choose another CNI_IFNAME"
            )
            what, remedy = f"in {request.netns}", another
        else:
            what, remedy = f"for container {request.container}", "call DEL before a second ADD"
        return ShimError(INTERFACE_EXISTS, f"interface {name} exists already {what}", remedy)

    def _remove_port(self) -> None:
        if self._database.unanswered:
            # The transaction that adds the port must not come after the one that removes it.
            try:
                self._database.finish()
            except ShimError as error:
                self._shared.log(f"undoing goes on although {error}")
        database = Database(self._shared.request.network.ovsdb)  # what is left to read on the other one is not known
        try:
            ports.remove_port(database, self._attachment.host)
        finally:
            database.close()

    def _ids(self, mac: str = "", others: tuple[str, ...] = ()) -> dict[str, str]:
        """Of the port's rows; ovs-vswitchd may make a tap anew, and then it has to be known where it belongs."""
        ids = ports.external_ids(self._attachment, self._iface_id(), mac, others)
        request = self._shared.request
        return {**ids, ports.NETNS_KEY: request.netns} if request.network.tap else ids

    def _iface_id(self) -> str:
        request = self._shared.request
        return f"{request.project}/{request.pod}/{self._attachment.ifname}"

    def _forget(self) -> None:
        self._shared.controller.call("DELETE", self._path)

    def _limit_window(self) -> None:
        if self._attachment.primary:
            return  # the pod's, not the interface's: done
        try:
            with open("/proc/sys/net/ipv4/tcp_rmem", "wb", buffering=0) as switch:
                switch.write(USERSPACE_TCP_RMEM.encode())
        except OSError as error:
            self._shared.log(f"the pod's tcp_rmem stays as it is ({error}): long TCP streams may see retransmissions")
