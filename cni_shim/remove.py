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
from cni_shim.attachment import ALIAS, CONTAINER_KEY, IFNAME_KEY, NETWORK_KEY, OTHERS_KEY, WITH_KEY, Attachment
from cni_shim.controller import Controller, read_token
from cni_shim.errors import BAD_CONFIGURATION, INCOMPLETE, IO_FAILURE, ShimError
from cni_shim.ovsdb import Database, decode_row, encode_map, select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni_shim.plugin import Log
    from cni_shim.request import Network, Request

PATIENCE = 2.0  # seconds for a switch or a controller that DEL can do without
LINK_PATIENCE = 1.0  # seconds for a link to go in the background
_POLL = 0.0002


def delete(request: Request, log: Log) -> None:
    """Detach the pod, with the interfaces that came with this one; succeeds when there is nothing, any number of times.

    The rows tell which interfaces these are. Where they cannot, the links do, and they keep it until they go.
    """
    mine = Attachment(request.network.name, request.container, request.ifname)
    seen: dict[str, Attachment] = {}
    complete = False
    try:
        database = Database(request.network.ovsdb, PATIENCE)
        try:
            seen, complete = _remove_ports(database, mine)
        finally:
            database.close()
    except ShimError as error:
        log(f"{error}; heddle-node removes port {mine.host} later")
    group = {mine.host: mine, **seen}
    if not complete:
        group = {**_with_links(mine), **group}
    if len(group) > 1 or not complete:
        _remove_rules(request.netns, [one.ifname for one in group.values()], log)
    _delete_links_aside(group)
    # The controller releases an address when the switch tells it of the vanished port. Of these none vanished.
    _forget(request.network, [one for host, one in group.items() if host not in seen], log)


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
            if mine.asked in valid:
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


def _remove_ports(database: Database, primary: Attachment) -> tuple[dict[str, Attachment], bool]:
    """Take out the port of `primary`, and those of the others that came with it, all at once.

    Returns whose ports were there, by their names, and whether these are known to be all that there ever were.
    """
    own = select("Port", ["external_ids"], [["name", "==", primary.host]])
    rows = database.transact(own)[0]["rows"]
    found = {primary.host: primary} if rows else {}
    others = decode_row(rows[0])["external_ids"].get(OTHERS_KEY, "").split() if rows else []
    if others or not rows:
        marks = encode_map({CONTAINER_KEY: primary.container, WITH_KEY: primary.ifname})
        besides = select("Port", ["name", "external_ids"], [["external_ids", "includes", marks]])
        rows += database.transact(besides)[0]["rows"]
        found |= {str(row["name"]): _of_row(decode_row(row)["external_ids"]) for row in rows[len(found) :]}
    if rows:
        database.transact(*ports.taken_out(rows))
    return found, primary.host in found and {one.ifname for one in found.values()} >= {*others}


def _delete_link(name: str) -> None:
    kernel = netlink.Netlink()
    try:
        kernel.do(netlink.delete_link(name))
    except netlink.NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
    finally:
        kernel.close()


def _delete_links_aside(names: Iterable[str]) -> None:
    """Return when links `names` are gone from the namespace; processes of their own wait for the kernel to free them.

    Both ends leave their namespaces after 2-5 ms; then the kernel waits 20 ms for readers that may still hold them.
    """
    there = [name for name in names if _exists(name)]
    for name in there:
        child = posix.fork()
        if child == 0:
            _delete_in_grandchild(name)
        posix.waitpid(child, 0)
    deadline = monotonic() + LINK_PATIENCE
    for name in there:
        while _exists(name):
            if monotonic() > deadline:
                _delete_link(name)  # waits, and tells the kernel's reason
                break
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


def _with_links(mine: Attachment) -> dict[str, Attachment]:
    """The others that came with `mine`, by the names of those links that are still there. ShimError: no netlink."""
    return {host: one for host, one in _linked().items() if one.primary and one.asked == mine.asked}


def _remove_rules(netns: str, names: list[str], log: Log) -> None:
    if netns:
        from cni_shim.several import remove_rules

        remove_rules(netns, names, log)


def _forget(network: Network, vanished: list[Attachment], log: Log) -> None:
    if not vanished:
        return
    try:
        controller = Controller(network.controllers, read_token(network.token_file), network.ca_file, PATIENCE)
        try:
            for mine in vanished:
                controller.call("DELETE", mine.path(network.node))
        finally:
            controller.close()
    except ShimError as error:
        log(f"{error}; the controller finds out from the switch")


def _linked() -> dict[str, Attachment]:
    """Whose host ends are on this node, by their names."""
    found: dict[str, Attachment] = {}
    kernel = netlink.Netlink()
    try:
        for link in netlink.links(kernel).values():
            mine = of_alias(link.alias) if link.group == ports.LINK_GROUP else None
            if mine is not None:
                found[link.name] = mine
    finally:
        kernel.close()
    return found


def _attachments(database: Database, name: str) -> Iterable[Attachment]:
    """All attachments of network `name` that left a trace: a row of the switch, or a link with our alias."""
    rows = {row["name"]: row["external_ids"] for row in ports.pod_interfaces(database)}
    found = {host: _of_row(ids) for host, ids in rows.items() if ids.get(NETWORK_KEY) == name}
    return {**{host: mine for host, mine in _linked().items() if mine.network == name}, **found}.values()


def _release(network: Network, database: Database, valid: frozenset[tuple[str, str]]) -> int:
    """Have the controller forget ports that no row of the switch stands for (whatever network's); how many."""
    controller = Controller(network.controllers, read_token(network.token_file), network.ca_file)
    try:
        _, answer = controller.call("GET", f"/v1/nodes/{network.node}/ports")
        rows = [row["external_ids"] for row in ports.pod_interfaces(database)]
        here = {(ids[CONTAINER_KEY], ids.get(IFNAME_KEY, "")) for ids in rows}
        here |= {(one.container, one.ifname) for one in _linked().values() if one.asked in valid}
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


def of_alias(alias: str) -> Attachment | None:
    """Whose host end has this alias; None when it is nobody's."""
    words = alias.split(" ")
    if words[0] != ALIAS or not (len(words) == 4 or (len(words) == 6 and words[4] == "with")):
        return None
    return Attachment(words[1], words[2], words[3], words[5] if len(words) == 6 else "")


def _of_row(ids: dict[str, str]) -> Attachment:
    """Whose Interface row, one of `pod_interfaces`, has these external_ids."""
    names = ids.get(NETWORK_KEY, ""), ids[CONTAINER_KEY], ids.get(IFNAME_KEY, "")
    return Attachment(*names, ids.get(WITH_KEY, ""))
