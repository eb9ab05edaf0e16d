#!/usr/bin/python3 -I
"""`pod`: makes pods on a node in a container, as a container runtime would: by executing the CNI plugin.

A stand-in for kubelet and containerd, for trying things out; nothing of Heddle is imported, and nothing here decides
anything about the network. A pod is a process in a network namespace of its own. (A name below /run/netns would need
mount(2), which AppArmor's profile for containers forbids.)
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CONFIGURATIONS = Path(os.environ.get("CNI_CONF_DIR", "/etc/cni/net.d"))
PLUGINS = os.environ.get("CNI_PATH", "/opt/cni/bin")
RECORDS = Path(os.environ.get("POD_DIR", "/run/heddle-pods"))
INTERFACE = "eth0"
HOLD = "ip link set lo up && echo ready && exec sleep infinity >&-"
"""What a pod runs: it says when its namespace is there, and then keeps it."""
DESCRIPTION = "Makes a pod on this node and prints its address; with a command, runs that in a pod that is there."

Record = dict[str, Any]


class PodError(Exception):
    """What went wrong, and what to do about it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; the exit status: 0, 1 when it failed, or that of the command in the pod."""
    parser = argparse.ArgumentParser("pod", description=DESCRIPTION)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list this node's pods with their addresses")
    what.add_argument("--remove", metavar="PROJECT/POD", help="remove a pod")
    parser.add_argument("name", metavar="PROJECT/POD", nargs="?", help="the pod; its project must be on a network")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="what to run in it, for example: ping -c 3 10.128.0.2"
    )
    options = parser.parse_args(arguments)
    try:
        if options.list:
            for record in _records():
                print(record["name"], record["address"])
        elif options.remove:
            _remove(_known(options.remove))
        elif options.name is None:
            parser.error("name a pod: project/pod")
        elif options.command:
            _enter(_known(options.name), options.command)
        else:
            print(_add(options.name)["address"])
    except PodError as error:
        print(f"pod: {error}", file=sys.stderr)
        return 1
    return 0


def _add(name: str) -> Record:
    """Make the pod, or return the one that is there."""
    path = _path(name)
    if path.exists():
        return _known(name)
    plugin = _plugin()  # first: without a network there is nothing to make
    holder = _hold()
    record: Record = {"name": name, "pid": holder, "container": secrets.token_hex(32), "plugin": plugin}
    try:
        record["result"] = _execute("ADD", record)
        record["address"] = record["result"]["ips"][0]["address"].partition("/")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    except BaseException:
        with suppress(PodError):
            _execute("DEL", record)
        os.kill(holder, signal.SIGKILL)
        raise
    return record


def _remove(record: Record) -> None:
    _execute("DEL", record)
    with suppress(ProcessLookupError):
        os.kill(record["pid"], signal.SIGKILL)
    _path(record["name"]).unlink()


def _enter(record: Record, command: list[str]) -> None:
    """Become `command` in the pod's network."""
    try:
        os.execvp("nsenter", ["nsenter", f"--net={_netns(record)}", "--", *command])
    except OSError as error:
        raise PodError(f"cannot run nsenter: {error.strerror}") from None


def _hold() -> int:
    """Start a process in a new network namespace; its pid, once the namespace is there."""
    holder = subprocess.Popen(
        ["unshare", "--net", "--", "sh", "-c", HOLD],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert holder.stdout is not None
    with holder.stdout as said:
        if said.readline() != b"ready\n":
            raise PodError("cannot make a network namespace; that needs root with the capability SYS_ADMIN")
    return holder.pid


def _plugin() -> Record:
    """What the plugin of the first configuration is given (CNI 1.1.0, section 3)."""
    for path in sorted(CONFIGURATIONS.glob("*.conflist")):
        network = json.loads(path.read_text())
        (plugin,) = network["plugins"]
        return {**plugin, "name": network["name"], "cniVersion": network["cniVersion"]}
    raise PodError(f"this node is not ready: there is no network in {CONFIGURATIONS}; `heddle switches` may tell why")


def _execute(command: str, record: Record) -> Record:
    """Run the plugin (CNI 1.1.0, section 2); its result."""
    project, _, pod = record["name"].partition("/")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": record["container"],
        "CNI_NETNS": _netns(record),
        "CNI_IFNAME": INTERFACE,
        "CNI_PATH": PLUGINS,
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={project};K8S_POD_NAME={pod}",
    }
    given = {**record["plugin"], **({"prevResult": record["result"]} if "result" in record else {})}
    executable = os.path.join(PLUGINS, record["plugin"]["type"])
    done = subprocess.run(
        [executable], env=environment, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    answer: Record = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode:
        raise PodError(f"{record['name']}: {command}: {answer.get('msg', done.stderr)}: {answer.get('details', '')}")
    return answer


def _netns(record: Record) -> str:
    return f"/proc/{record['pid']}/ns/net"


def _path(name: str) -> Path:
    project, slash, pod = name.partition("/")
    if not (project and slash and pod) or "/" in pod:
        raise PodError(f"{name!r} names no pod: write project/pod")
    return RECORDS / f"{project}.{pod}.json"


def _known(name: str) -> Record:
    try:
        record: Record = json.loads(_path(name).read_text())
    except FileNotFoundError:
        raise PodError(f"there is no pod {name} on this node; make it with: pod {name}") from None
    return record


def _records() -> list[Record]:
    return [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]


if __name__ == "__main__":
    sys.exit(main())
