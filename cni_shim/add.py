"""ADD: a veth into the pod's namespace, a port on the switch, the controller's assignment, and its word that it is in.

Whatever fails, everything done so far is taken back in reverse. The order keeps all three parties busy at once: the
switch opens the port while the controller assigns addresses while the pod's end is configured.
"""

from __future__ import annotations

import errno
from _socket import if_nametoindex
from time import monotonic

from cni_shim import attachment as ports
from cni_shim import ethtool, netlink
from cni_shim.attachment import Assignment, Attachment
from cni_shim.controller import Controller, read_token
from cni_shim.errors import INTERFACE_EXISTS, IO_FAILURE, POOL_EXHAUSTED, REFUSED, TRY_AGAIN, RefusedError, ShimError
from cni_shim.netns import Namespace
from cni_shim.ovsdb import Database
from cni_shim.result import result

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
    work = _Add(request, log)
    try:
        return work.run()
    except BaseException:
        work.undo()
        raise
    finally:
        work.close()


class _Add:
    """One ADD. `_undo`: what takes back what was done, in the order it was done."""

    def __init__(self, request: Request, log: Log) -> None:
        network = request.network
        self._request = request
        self._log = log
        self._deadline = monotonic() + network.timeout
        self._attachment = Attachment(network.name, request.container, request.ifname)
        self._path = self._attachment.path(network.node)
        self._undo: list[Callable[[], object]] = []
        self._close: list[Callable[[], object]] = []

    def run(self) -> dict[str, Any]:
        network = self._request.network
        token = read_token(network.token_file)
        namespace = Namespace(self._request.netns)
        self._close.append(namespace.close)
        database = Database(network.ovsdb, network.timeout)
        self._close.append(database.close)
        controller = Controller(network.controllers, token, network.ca_file, network.timeout)
        self._close.append(controller.close)
        kernel, most = self._make_link(namespace)
        self._begin_port(database)
        assignment = self._report(controller)
        userspace = self._finish_port(database, assignment)
        mtu = min(most, assignment.mtu or most)
        if mtu < most:
            kernel.do(netlink.set_mtu(self._attachment.host, mtu))
        self._configure(namespace, assignment, userspace, mtu)
        self._await(controller)
        database.finish()  # the MAC address in the row, begun in _finish_port: its answer is there by now
        return result(self._request, self._attachment, assignment, mtu)

    def undo(self) -> None:
        """Take back in reverse order; what cannot be taken back is logged, and the rest still is."""
        while self._undo:
            try:
                self._undo.pop()()
            except (ShimError, OSError) as error:
                self._log(f"ADD failed, and so did its undoing: {error}")

    def close(self) -> None:
        while self._close:
            self._close.pop()()

    def _make_link(self, namespace: Namespace) -> tuple[netlink.Netlink, int]:
        """The node's own kernel, and the MTU that both ends have: the most that a pod may have here."""
        try:
            mtu = ethtool.mtu(TUN_PORT)
        except OSError as error:
            raise ShimError(
                IO_FAILURE, f"this node has no {TUN_PORT}", f"{error.strerror}; is heddle-node running here?"
            ) from None
        mine, kernel = self._attachment, netlink.Netlink()
        self._close.append(kernel.close)
        veth = netlink.new_veth(
            mine.host, mine.host_mac, ports.LINK_GROUP, mtu, (self._request.ifname, namespace.descriptor)
        )
        try:
            kernel.do(veth)
        except netlink.NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise self._exists() from None
            raise
        self._undo.append(lambda: kernel.do(netlink.delete_link(mine.host)))
        kernel.do(netlink.host_end_up(mine.host, mine.alias))
        return kernel, mtu

    def _exists(self) -> ShimError:
        request = self._request
        try:
            if_nametoindex(self._attachment.host)
        except OSError:
            what, remedy = f"in {request.netns}", "choose another CNI_IFNAME"
        else:
            what, remedy = f"for container {request.container}", "call DEL before a second ADD"
        return ShimError(INTERFACE_EXISTS, f"interface {request.ifname} exists already {what}", remedy)

    def _begin_port(self, database: Database) -> None:
        mine, bridge = self._attachment, self._request.network.bridge
        self._undo.append(lambda: self._remove_port(database))
        database.begin(ports.add_port(bridge, mine.host, ports.external_ids(mine, self._iface_id(), "")))

    def _remove_port(self, used: Database) -> None:
        if used.unanswered:
            # The transaction that adds the port must not come after the one that removes it.
            try:
                used.finish()
            except ShimError as error:
                self._log(f"undoing goes on although {error}")
        database = Database(self._request.network.ovsdb)  # what is left to read on the other one is not known
        try:
            ports.remove_port(database, self._attachment.host)
        finally:
            database.close()

    def _finish_port(self, database: Database, assignment: Assignment) -> bool:
        """Whether the bridge is in userspace; the switch has been told of the port, and is told its MAC address."""
        mine, bridge = self._attachment, self._request.network.bridge
        ids = ports.external_ids(mine, self._iface_id(), assignment.mac)
        try:
            found = database.finish()[0]["rows"]
        except ShimError as error:
            if "constraint violation" not in error.msg:
                raise
            # The link was made just now, so a row with its name is left from before a reboot.
            ports.remove_port(database, mine.host)
            found = database.transact(*ports.add_port(bridge, mine.host, ids))[0]["rows"]
        if not found:
            raise ShimError(IO_FAILURE, f"the switch has no bridge {bridge}", "is heddle-node running on this node?")
        database.begin([ports.set_external_ids(mine.host, ids)])
        return str(found[0]["datapath_type"]) == "netdev"

    def _iface_id(self) -> str:
        return f"{self._request.project}/{self._request.pod}/{self._request.ifname}"

    def _report(self, controller: Controller) -> Assignment:
        request = self._request
        body = {
            "project": request.project,
            "pod": request.pod,
            "pod_uid": request.pod_uid,
            "host_interface": self._attachment.host,
        }
        self._undo.append(lambda: self._forget(controller))
        try:
            return Assignment(controller.call("PUT", self._path, body)[1])
        except RefusedError as error:
            if error.status < 500 or error.status == 507:
                self._undo.pop()  # nothing was made, and what another pod has under this name must stay
            if error.status == 507:
                raise ShimError(POOL_EXHAUSTED, error.msg, error.details) from None
            raise

    def _forget(self, controller: Controller) -> None:
        controller.call("DELETE", self._path)

    def _configure(self, namespace: Namespace, assignment: Assignment, userspace: bool, mtu: int) -> None:
        """Give the pod's end its MTU (bytes), MAC address, addresses and routes."""
        name = self._request.ifname
        with namespace:
            index = if_nametoindex(name)
            kernel = netlink.Netlink()
            if userspace:
                ethtool.transmit_checksum_off(name)
                self._limit_window()
        self._close.append(kernel.close)
        kernel.do(
            netlink.set_mtu(name, mtu),
            netlink.link_up(name, assignment.mac_bytes),
            *(netlink.new_address(index, address) for address, _ in assignment.addresses),
        )
        # Where another interface of the pod has this route already, the first one keeps it, as in other plugins.
        routes = [netlink.new_route(index, destination, gateway) for destination, gateway in assignment.routes]
        kernel.do(*routes, ignore=errno.EEXIST)
        if userspace:
            ethtool.transmit_checksum_off(self._attachment.host)

    def _limit_window(self) -> None:
        try:
            with open("/proc/sys/net/ipv4/tcp_rmem", "wb", buffering=0) as switch:
                switch.write(USERSPACE_TCP_RMEM.encode())
        except OSError as error:
            self._log(f"the pod's tcp_rmem stays as it is ({error}): long TCP streams may see retransmissions")

    def _await(self, controller: Controller) -> None:
        """Return once the controller says that the port's flows are in the switch."""
        while True:
            left = self._deadline - monotonic()
            if left <= 0:
                raise ShimError(
                    TRY_AGAIN, f"the flows of {self._iface_id()} are not in the switch in time",
                    f"waited {self._request.network.timeout:.0f} s; is this node's switch connected to the controller?",
                )  # fmt: skip
            wait = max(1, int(min(left, LONGEST_POLL)))
            _, port = controller.call("GET", f"{self._path}?wait={wait}", wait=wait)
            phase = port.get("phase") if isinstance(port, dict) else None
            if phase == "Committed":
                return
            if phase == "Failed":
                raise ShimError(
                    REFUSED, f"the port of {self._iface_id()} failed", str(port.get("reason") or "no reason")
                )
            if phase != "Pending":
                raise ShimError(IO_FAILURE, "the controller's answer cannot be used", f"phase {phase!r}")
