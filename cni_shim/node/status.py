"""How a node is, looked up from outside the resident process. Changes nothing."""

from __future__ import annotations

from typing import Any

from cni_shim.attachment import CONTAINER_KEY
from cni_shim.errors import ShimError
from cni_shim.node import configuration, connections, offload, survey
from cni_shim.node.bridges import TUN_PORT
from cni_shim.node.configuration import Configuration
from cni_shim.node.controllers import Controllers
from cni_shim.node.settings import Settings
from cni_shim.node.survey import Survey
from cni_shim.node.system import addresses, links
from cni_shim.node.vswitchd import Vswitchd, has_flows
from cni_shim.ovsdb import Database


def status(settings: Settings, controllers: Controllers) -> dict[str, Any]:
    """One value per question; `ready`: whether pods can be added; `problems`: why not; `warnings`: what may yet."""
    problems: list[str] = []
    known = configuration.last_good(settings.state_dir, settings.node)
    answer = _controller(controllers, problems)
    bridge = known.bridge if known else "br0"
    switch = _switch(settings, bridge, problems)
    tun = links().get(TUN_PORT)
    seen = survey.last(settings.state_dir)
    card = offload.of_node(known, settings) if known else None
    kernel, is_used = offload.kernel_release(), offload.is_used(settings)
    if tun is None:
        problems.append(f"{TUN_PORT} is not there: run `heddle-node setup`")
    conflist = settings.cni_conf_dir / settings.cni_file if settings.cni_conf_dir else None
    if conflist is not None and not conflist.exists():
        problems.append(f"{conflist} is not there: the bridge is not programmed, or `heddle-node run` does not run")
    return {
        "node": settings.node,
        "ready": not problems,
        "problems": problems,
        "warnings": [*_warnings(settings, known, seen), *(card.warnings(kernel, is_used) if card else ())],
        "revision": known.revision if known else None,
        "controller": answer,
        "switch": switch,
        TUN_PORT: {"addresses": addresses(tun, "global"), "mtu": tun["mtu"]} if tun else None,
        "paths": _paths(seen),
        "offload": card.shown(kernel, is_used) if card else None,
        "conflist": str(conflist) if conflist is not None and conflist.exists() else None,
    }


def _warnings(settings: Settings, known: Configuration | None, seen: Survey | None) -> list[str]:
    trouble = connections.trouble(settings)
    ways = seen.warnings(known.underlay) if seen is not None and known is not None else ()
    return [*([trouble] if trouble else []), *ways]


def _paths(seen: Survey | None) -> dict[str, Any] | None:
    """What is known of the underlay's paths to the peers; None before anybody looked."""
    if seen is None:
        return None
    good = len(seen.reached) - len(seen.narrow) - len(seen.silent)
    return {"bytes": seen.full, "good": good, "narrow": seen.narrow, "silent": list(seen.silent)}


def _controller(controllers: Controllers, problems: list[str]) -> dict[str, Any]:
    try:
        content = controllers.readiness()
    except ShimError as error:
        problems.append(str(error))
        return {"ready": False, "detail": str(error)}
    return dict(content) if isinstance(content, dict) else {"ready": False}


def _switch(settings: Settings, bridge: str, problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"runs": False, "bridge": bridge, "flows": False, "pods": 0}
    try:
        vswitchd = Vswitchd(settings.ovs_rundir)
        found["runs"], found["version"] = True, vswitchd.version()
        vswitchd.close()
        database = Database(settings.database)
        interfaces = database.rows("Interface", ["external_ids"])
        database.close()
        tracked = connections.count(settings)
    except ShimError as error:
        problems.append(str(error))
        return found
    containers = {row["external_ids"].get(CONTAINER_KEY) for row in interfaces}  # a pod may have several
    found["pods"] = len(containers - {None})
    found["flows"] = has_flows(settings.ovs_rundir, bridge)
    found["connections"] = tracked._asdict()
    if not found["flows"]:
        problems.append(f"bridge {bridge} has no flows: is a controller connected to it?")
    return found
