"""`python -m lab.run`: a laboratory with a few tenants' pods that stays up until Ctrl-C, and how to look at it."""

from __future__ import annotations

import argparse
import signal
import sys

from rich.console import Console

from lab.errors import LabError
from lab.laboratory import Lab
from lab.signals import end_in_order

TENANTS = ("red", "blue")
PLACEMENT = {
    "red/a": "n1",
    "red/b": "n2",
    "blue/a": "n1",
    "blue/b": "n3",
    "default/a": "n2",
}
PORT = 8080


def usage(lab: Lab) -> str:
    """What to type in another shell, with this laboratory's names, addresses and port."""
    red, node = lab.pods_by_name["red/b"], lab.node("n1")
    return f"""
The laboratory [bold]{lab.name}[/] is up: {len(lab.nodes)} nodes and the pods {", ".join(PLACEMENT)}. In another shell:

  export HEDDLE_SERVER={lab.controller.url}
  heddle topology
  heddle trace --from red/a --to blue/b
  heddle join-networks red blue
  heddle flows n1
  curl -s $HEDDLE_SERVER/v1/topology
  curl -s $HEDDLE_SERVER/v1/nodes/n1/flows

Pods and nodes are network namespaces (ip netns):

  ip netns exec {lab.name}-red-a ping {red.address}
  ip netns exec {lab.name}-n1 ip address
  ovs-ofctl -O OpenFlow15 --names dump-flows unix:{node.ovs.directory}/br0.mgmt
  ovs-vsctl --db=unix:{node.ovs.database} show

Logs: {lab.controller.log}
      {node.log}

Ctrl-C ends it and removes everything.
"""


def stay_up(name: str, port: int, console: Console) -> None:
    """Start everything, say how to use it, and wait for a signal. LabError when it does not start."""
    with Lab(name, nodes=3, port=port, say=lambda text: console.print(text, highlight=False)) as lab:
        for tenant in TENANTS:
            lab.network(tenant)
        lab.pods(PLACEMENT)
        console.print(usage(lab), highlight=False, soft_wrap=True)
        signal.pause()


def main() -> int:
    """Keep a laboratory up until a signal comes; the exit status: 0 then, 2 when it does not start."""
    parser = argparse.ArgumentParser(prog="python -m lab.run", description="A laboratory to look at, until Ctrl-C.")
    parser.add_argument("--name", default="heddle", help="the laboratory's name, if several run (default: heddle)")
    parser.add_argument("--port", type=int, default=PORT, help=f"REST on 127.0.0.1 (default: {PORT}; 0: a free one)")
    arguments = parser.parse_args()
    end_in_order()
    console = Console()
    try:
        stay_up(arguments.name, arguments.port, console)
    except LabError as error:
        print(f"lab.run: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit):
        console.print("Ended; everything is removed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
