"""What the files in deploy/ say, as values: compose file, Dockerfiles' instructions, build context. No tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted(ROOT.glob("deploy/*/Dockerfile"))


def compose() -> dict[str, Any]:
    """Return the compose file, with its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def services() -> dict[str, Any]:
    """Return the compose file's services by name."""
    found: dict[str, Any] = compose()["services"]
    return found


def nodes() -> dict[str, Any]:
    """Return those services that are nodes, by the name that the node has."""
    return {
        service["environment"]["HEDDLE_NODE"]: service
        for service in services().values()
        if "HEDDLE_NODE" in service.get("environment", {})
    }


def address(service: dict[str, Any]) -> str:
    """Return a service's address on its one network."""
    ((_, attachment),) = service["networks"].items()
    return str(attachment["ipv4_address"])


def instructions(dockerfile: Path, name: str) -> list[list[str]]:
    """Return the words of each instruction `name` (COPY, FROM, ...) of a Dockerfile."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [shlex.split(words[1]) for words in lines if words[0] == name and len(words) == 2]


def copies(dockerfile: Path) -> list[tuple[list[Path], str]]:
    """Return each COPY out of the build context: the sources, and the destination as it is written."""
    found = [words for words in instructions(dockerfile, "COPY") if not words[0].startswith("--from=")]
    return [([ROOT / source for source in words[:-1]], words[-1]) for words in found]


def context() -> set[str]:
    """Return what .dockerignore leaves of the repository's root: it excludes all, then names what stays."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line[1:] for line in lines if line.startswith("!")}
