"""Running `ip`, `nft` and OVS's programs, and what the kernel knows of links. No policy: callers say what to run."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from cni_shim.errors import IO_FAILURE, ShimError

COMMAND_TIMEOUT = 15.0  # seconds; the kernel answers in milliseconds


def run(*words: str, text: str | None = None) -> str:
    """Output of the command `words`, fed with `text`; ShimError with its own words when it fails."""
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)
    except FileNotFoundError:
        raise ShimError(
            IO_FAILURE, f"{words[0]} is not installed", "install iproute2, nftables and Open vSwitch"
        ) from None
    except subprocess.TimeoutExpired:
        raise ShimError(IO_FAILURE, f"{' '.join(words)} did not end in {COMMAND_TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        raise ShimError(IO_FAILURE, f"{' '.join(words)} failed", (done.stderr or done.stdout).strip())
    return done.stdout


def ip(*words: str) -> str:
    return run("ip", *words)


def ip_json(*words: str) -> list[dict[str, Any]]:
    """Decoded output of `ip -json …`."""
    output = run("ip", "-json", *words).strip()
    found: list[dict[str, Any]] = json.loads(output) if output else []
    return [item for item in found if item]


def links() -> dict[str, dict[str, Any]]:
    """Every link of this network namespace with its addresses, by name."""
    return {link["ifname"]: link for link in ip_json("address", "show")}


def addresses(link: dict[str, Any], scope: str | None = None) -> tuple[str, ...]:
    """`ADDRESS/LENGTH` of a link from `links`, of one `scope` ("global") or of all."""
    return tuple(
        f"{item['local']}/{item['prefixlen']}"
        for item in link.get("addr_info", ())
        if "local" in item and (scope is None or item.get("scope") == scope)
    )


def family_flag(address: str) -> str:
    """`-4` or `-6`, for ip."""
    return "-6" if ":" in address else "-4"


def offload_off(interface: str, log: Any) -> None:
    """Let the kernel compute checksums itself on `interface`, where the device has a choice (veth has)."""
    from cni_shim import ethtool

    try:
        ethtool.transmit_checksum_off(interface)
    except OSError as error:
        log.info("%s keeps its checksum offload: %s", interface, error)
