"""The CNI network configuration of this node. A container runtime takes the file's presence for the network's
readiness, so when it is written and when it is taken away is decided elsewhere, by `readiness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cni_shim.node.configuration import Configuration, write_by_rename
from cni_shim.node.controllers import rotated
from cni_shim.node.settings import Settings

NETWORK_NAME = "heddle"
CNI_VERSION = "1.0.0"  # containerd 1.6 knows no newer one; newer runtimes choose from cniVersions
CNI_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")


def content(configuration: Configuration, settings: Settings) -> dict[str, Any]:
    """The conflist as a value; `settings.cni_config` replaces fields of our plugin, or adds some. Others may follow."""
    plugin = {
        "type": "heddle",
        "node": settings.node,
        "controllers": list(rotated(configuration.api, settings.node) or settings.controllers),
        "token_file": settings.token_file,
        "ca_file": settings.cni_ca_file or settings.ca_file,
        "ovsdb": settings.database,
        "bridge": configuration.bridge,
        **(settings.cni_config or {}),
    }
    versions = {"cniVersion": CNI_VERSION, "cniVersions": list(CNI_VERSIONS)}
    return {**versions, "name": NETWORK_NAME, "plugins": [plugin, *settings.cni_chained]}


def present(configuration: Configuration, settings: Settings) -> list[str]:
    """Have the file there; what was changed, in words."""
    if settings.cni_conf_dir is None:
        return []
    path = settings.cni_conf_dir / settings.cni_file
    if settings.cni_ca_file is not None and settings.ca_file is not None:
        write_by_rename(Path(settings.cni_ca_file), Path(settings.ca_file).read_text())
    written = write_by_rename(path, json.dumps(content(configuration, settings), indent=2) + "\n")
    return [f"{path} written: pods can be added"] if written else []


def absent(settings: Settings) -> list[str]:
    """Have the file gone; what was changed, in words."""
    if settings.cni_conf_dir is None:
        return []
    path = settings.cni_conf_dir / settings.cni_file
    try:
        path.unlink()
    except FileNotFoundError:
        return []
    return [f"{path} taken away: no pods can be added"]
