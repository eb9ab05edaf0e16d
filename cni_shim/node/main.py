"""heddle-node: the command line. Reads the settings, holds the lock, and calls what does the work."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node import answering, configuration, datapath, neighbours, offload, settings, status, survey, translator
from cni_shim.node.bridges import ICMP_PORT
from cni_shim.node.configuration import Configuration
from cni_shim.node.controllers import Controllers
from cni_shim.node.events import Stop, pause
from cni_shim.node.resident import Resident, new_events
from cni_shim.node.settings import Settings
from cni_shim.node.vswitchd import Vswitchd

log = logging.getLogger("heddle-node")

DESCRIPTION = (
    "Sets up this node for Heddle and keeps it so: bridges, tunnel, tun0, NAT, guard rules, CNI configuration."
)
COMMANDS = {
    "setup": "set the node up once (a second time changes nothing) and end",
    "run": "set it up, stay, and keep it as the controller asks; SIGTERM ends it and leaves the data path as it is",
    "status": "say how the node is, as JSON; exit status 0 when pods can be added",
    "release": "give the uplink its address back while Open vSwitch does not run; `run` takes it again",
    "teardown": "take everything away again and give the uplink its address back",
}
# Flags that stand for a field of the settings file, and win over it: what differs from node to node in a cluster.
FLAGS = (
    ("--node", "node", "this node's name"),
    ("--controllers", "controllers", "URLs of the controllers' APIs, with commas"),
    ("--apiserver", "apiserver.url", "the API server's own address (https://...), to find the controllers by"),
    ("--apiserver-ca", "apiserver.ca_file", "who signs its certificate (default, in a pod: its account's)"),
    ("--apiserver-token-file", "apiserver.token_file", "token of a ServiceAccount (default, in a pod: its account's)"),
    ("--apiserver-certificate", "apiserver.certificate", "client certificate, in place of a token"),
    ("--apiserver-key", "apiserver.key", "the key that belongs to it"),
)
PATIENCE_WITH_PATHS = 5.0  # seconds for a first look at the ways to peers; `run` looks at all
DEFAULT_SETTINGS = "/etc/heddle/node.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 failed or not ready, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=options.log_level, format="%(asctime)s %(levelname)s %(message)s")
    try:
        chosen = settings.load(Path(options.config), _given(options))
        if options.command == "status":
            return _status(chosen)
        if os.geteuid() != 0:
            raise ShimError(IO_FAILURE, f"{options.command} needs root", "start it with sudo, or as a service")
        if options.command == "release":  # also beside `run`, which does the same a little later
            return _release(chosen)
        with _lock(chosen):
            command = {"setup": _set_up, "run": _run, "teardown": _tear_down}[options.command]
            return command(chosen, options.wait)
    except (ShimError, OSError) as error:
        sys.stderr.write(f"heddle-node: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:{width}}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "heddle-node",
        description=DESCRIPTION,
        epilog=f"commands:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", default=DEFAULT_SETTINGS, help="JSON settings (default %(default)s)"
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="setup: how long to try to reach a controller when none was ever heard (default %(default)s)",
    )
    for flag, _, text in FLAGS:
        parser.add_argument(flag, metavar=flag.rpartition("-")[2].upper(), help=text)
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("command", choices=tuple(COMMANDS))
    return parser


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of the settings that flags give."""
    found: dict[str, Any] = {}
    for flag, field, _ in FLAGS:
        value = getattr(options, flag.removeprefix("--").replace("-", "_"))
        name, _, part = field.partition(".")
        if value is not None and part:
            found.setdefault(name, {})[part] = value
        elif value is not None:
            found[name] = value.split(",") if name == "controllers" else value
    return found


@contextmanager
def _lock(chosen: Settings) -> Iterator[None]:
    """One heddle-node at a time works on a node."""
    try:
        chosen.state_dir.mkdir(parents=True, exist_ok=True)
        file = (chosen.state_dir / "lock").open("a+")
    except OSError as error:
        raise ShimError(IO_FAILURE, f"cannot use state_dir {chosen.state_dir}", str(error)) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ShimError(
                IO_FAILURE, f"another heddle-node works on {chosen.node} (process {holder})", "end it first"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _set_up(chosen: Settings, wait: float) -> int:
    wanted = _configuration(chosen, wait)
    for change in datapath.ensure(wanted, chosen):
        log.info("%s", change)
    if chosen.datapath == "netdev" and wanted.peers:
        vswitchd = Vswitchd(chosen.ovs_rundir)
        for address in neighbours.ensure(wanted.peers, vswitchd):
            log.warning("peer %s does not answer ARP; `run` asks again", address)
        vswitchd.close()
    _survey(wanted, chosen)
    return 0


def _survey(wanted: Configuration, chosen: Settings) -> None:
    try:
        made = survey.survey(wanted, PATIENCE_WITH_PATHS)
    except ShimError as error:
        log.warning("%s", error)
        return
    survey.save(made, chosen.state_dir)
    for warning in (*made.warnings(wanted.underlay), *offload.warnings(wanted, chosen)):
        log.warning("%s", warning)


def _configuration(chosen: Settings, wait: float) -> Configuration:
    """The controller's configuration; the last good one when no controller answers."""
    before = configuration.last_good(chosen.state_dir, chosen.node)
    deadline = time.monotonic() + wait
    failures = 0
    while True:
        try:
            with closing(Controllers(chosen, before)) as controllers:
                heard = controllers.configuration()
            configuration.save(heard, chosen.state_dir)
            return heard
        except ShimError as error:
            if before is not None:
                log.warning("%s; using the last good configuration, revision %d", error, before.revision)
                return before
            if time.monotonic() > deadline:
                raise
            log.warning("%s; trying again", error)
            time.sleep(pause(failures))
            failures += 1


def _run(chosen: Settings, _wait: float) -> int:
    events = new_events()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: events.put(Stop()))
    translator.start(ICMP_PORT)
    answering.start(chosen)
    last = configuration.last_good(chosen.state_dir, chosen.node)
    controllers = Controllers(chosen, last)
    resident = Resident(chosen, last, controllers, events)
    log.info("keeping node %s; controllers %s", chosen.node, ", ".join(controllers.urls) or "are asked for")
    resident.run()
    log.info("ending; the data path stays as it is")
    return 0


def _tear_down(chosen: Settings, _wait: float) -> int:
    known = configuration.last_good(chosen.state_dir, chosen.node)
    for change in datapath.tear_down(chosen, known.bridge if known else "br0"):
        log.info("%s", change)
    return 0


def _release(chosen: Settings) -> int:
    known = configuration.last_good(chosen.state_dir, chosen.node)
    for change in datapath.release(known, chosen) if known is not None else ():
        log.info("%s", change)
    return 0


def _status(chosen: Settings) -> int:
    last = configuration.last_good(chosen.state_dir, chosen.node)
    with closing(Controllers(chosen, last)) as controllers:
        found = status.status(chosen, controllers)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if found["ready"] else 1


if __name__ == "__main__":
    sys.exit(main())
