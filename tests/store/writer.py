"""A process for test_kill to kill: moves addresses from quarantine to ports, and counts the commits aloud. No tests."""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from store.sqlite import SqliteStore
from topology.model import Node, Port, PortKey, Quarantine, mac_of
from topology.snapshot import Event, Put, Remove

NODE = Node("n1", 1, IPv4Address("192.0.2.11"), (IPv4Network("10.128.0.0/16"),))
COUNT = 3000


def addresses() -> Iterator[IPv4Address]:
    """All the addresses, in the order in which they move."""
    subnet = NODE.subnets[0]
    assert isinstance(subnet, IPv4Network)
    return (subnet[number] for number in range(2, 2 + COUNT))


def prepare(path: Path) -> None:
    """Make a file with the node and all addresses in quarantine."""
    store = SqliteStore(path)
    store.commit([Put(NODE), *(Put(Quarantine(0, address, "n1")) for address in addresses())])
    store.close()


def move(address: IPv4Address) -> tuple[Event, ...]:
    """Return the events that give an address from quarantine to a port."""
    key = PortKey("n1", f"c{int(address)}", "eth0")
    port = Port(key, "red", "a", "red", f"v{int(address)}", mac_of(address), (address,))
    return Remove(Quarantine(0, address, "n1")), Put(port)


def main() -> None:
    """Go on where the last one was killed."""
    store = SqliteStore(sys.argv[1])
    moved = sum(isinstance(event.value, Port) for event in store.load())
    for number, address in enumerate(addresses()):
        if number >= moved:
            store.commit(move(address))
            sys.stdout.write(f"{number + 1}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
