"""DEL and GC: ports and links go. Neither needs the pod's namespace, and DEL needs neither controller nor switch.

The row goes before the link: a row without a link is then always stale, and heddle-node removes those.
"""

from __future__ import annotations

import errno
import posix
from _socket import if_nametoindex
from time import monotonic, sleep

from cni_shim import attachment as ports
from cni_shim import netlink
from cni_shim.attachment import CONTAINER_KEY, IFNAME_KEY, NETWORK_KEY, Attachment
from cni_shim.controller import Controller, read_token
from cni_shim.errors import BAD_CONFIGURATION, INCOMPLETE, IO_FAILURE, ShimError
from cni_shim.ovsdb import Database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni_shim.plugin import Log
    from cni_shim.request import Network, Request

PATIENCE = 2.0  # seconds for a switch or a controller that DEL can do without
LINK_PATIENCE = 1.0  # seconds for a link to go in the background
_POLL = 0.0002


def delete(request: Request, log: Log) -> None:
    """Detach the pod; succeeds when there is nothing, any number of times."""
    mine = Attachment(request.network.name, request.container, request.ifname)
    seen = False
    try:
        database = Database(request.network.ovsdb, PATIENCE)
        try:
            seen = ports.remove_port(database, mine.host)
        finally:
            database.close()
    except ShimError as error:
        log(f"{error}; heddle-node removes port {mine.host} later")
    _delete_link_aside(mine.host)
    if not seen:
        # The controller releases the address when the switch tells it of the vanished port. Here none vanished.
        _forget(request.network, mine, log)


def collect(request: Request, log: Log) -> None:
    """Remove all attachments of this network that are not among the valid ones; errors are told at the end."""
    network = request.network
    valid = network.valid_attachments
    if valid is None:
        raise ShimError(
            BAD_CONFIGURATION, "field 'cni.dev/valid-attachments' of the network configuration is missing",
            "without it GC would remove every attachment of the network",
        )  # fmt: skip
    database = Database(network.ovsdb)
    try:
        problems, removed = [], 0
        for mine in _attachments(database, network.name):
            if (mine.container, mine.ifname) in valid:
                continue
            try:
                ports.remove_port(database, mine.host)
                _delete_link(mine.host)
                removed += 1
            except ShimError as error:
                problems.append(f"{mine.container}/{mine.ifname}: {error}")
        try:
            removed += _release(network, database, valid)
        except ShimError as error:
            problems.append(f"addresses without a port stay reserved: {error}")
    finally:
        database.close()
    log(f"GC of {network.name}: {removed} removed, {len(valid)} in use")
    if problems:
        raise ShimError(INCOMPLETE, f"GC of {network.name} is incomplete", "; ".join(problems))


def _delete_link(name: str) -> None:
    kernel = netlink.Netlink()
    try:
        kernel.do(netlink.delete_link(name))
    except netlink.NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
    finally:
        kernel.close()


def _delete_link_aside(name: str) -> None:
    """Return when link `name` is gone from the namespace; a process of its own waits for the kernel to free it.

    Both ends leave their namespaces after 2-5 ms; then the kernel waits 20 ms for readers that may still hold them.
    """
    if not _exists(name):
        return
    child = posix.fork()
    if child == 0:
        _delete_in_grandchild(name)
    posix.waitpid(child, 0)
    deadline = monotonic() + LINK_PATIENCE
    while _exists(name):
        if monotonic() > deadline:
            _delete_link(name)  # waits, and tells the kernel's reason
            return
        sleep(_POLL)


def _delete_in_grandchild(name: str) -> None:
    """In a forked process: have a process without parent delete link `name`, and end."""
    try:
        for descriptor in (0, 1, 2):
            posix.close(descriptor)  # the runtime reads until they are closed everywhere
        if posix.fork() == 0:
            _delete_link(name)
    finally:
        posix._exit(0)


def _exists(name: str) -> bool:
    try:
        if_nametoindex(name)
    except OSError:
        return False
    return True


def _forget(network: Network, mine: Attachment, log: Log) -> None:
    try:
        controller = Controller(network.controllers, read_token(network.token_file), network.ca_file, PATIENCE)
        try:
            controller.call("DELETE", mine.path(network.node))
        finally:
            controller.close()
    except ShimError as error:
        log(f"{error}; the controller finds out from the switch")


def _attachments(database: Database, name: str) -> Iterable[Attachment]:
    """All attachments of network `name` that left a trace: a row of the switch, or a link with our alias."""
    found: dict[str, Attachment] = {}
    for row in ports.pod_interfaces(database):
        ids = row["external_ids"]
        if ids.get(NETWORK_KEY) == name:
            found[row["name"]] = Attachment(name, ids[CONTAINER_KEY], ids.get(IFNAME_KEY, ""))
    kernel = netlink.Netlink()
    try:
        for link in netlink.links(kernel).values():
            words = link.alias.split(" ")
            if link.group == ports.LINK_GROUP and words[:2] == [ports.ALIAS, name] and len(words) == 4:
                found.setdefault(link.name, Attachment(name, words[2], words[3]))
    finally:
        kernel.close()
    return found.values()


def _release(network: Network, database: Database, valid: frozenset[tuple[str, str]]) -> int:
    """Have the controller forget ports that no row of the switch stands for (whatever network's); how many."""
    controller = Controller(network.controllers, read_token(network.token_file), network.ca_file)
    try:
        _, answer = controller.call("GET", f"/v1/nodes/{network.node}/ports")
        rows = [row["external_ids"] for row in ports.pod_interfaces(database)]
        here = {(ids[CONTAINER_KEY], ids.get(IFNAME_KEY, "")) for ids in rows}
        known = answer.get("ports") if isinstance(answer, dict) else None
        if not isinstance(known, list):
            raise ShimError(IO_FAILURE, "the controller's list of ports cannot be used")
        pairs = {(str(port.get("container")), str(port.get("interface"))) for port in known if isinstance(port, dict)}
        lost = sorted(pairs - here - valid)
        for container, ifname in lost:
            controller.call("DELETE", Attachment(network.name, container, ifname).path(network.node))
        return len(lost)
    finally:
        controller.close()
