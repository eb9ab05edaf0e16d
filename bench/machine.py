"""On what a run took place: versions of everything that takes part, and the machine. Only told, never compared."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

_PROGRAMS = {"Open vSwitch": "ovs-vswitchd", "OVN": "ovn-controller"}
_LIBRARIES = ("ryu", "eventlet", "greenlet", "immutables", "msgspec")


def describe() -> dict[str, str]:
    """Versions and machine, by name."""
    libraries = {name: version(name) for name in _LIBRARIES}
    programs = {name: _version(program) for name, program in _PROGRAMS.items()}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {
        "Heddle": _commit(),
        "Python": platform.python_version(),
        **libraries,
        **programs,
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory} MiB",
        "load": " ".join(f"{one:.2f}" for one in os.getloadavg()),
    }


def _version(program: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].rsplit(maxsplit=1)[-1]


def _commit() -> str:
    if shutil.which("git") is None:
        return version("heddle")
    root = Path(__file__).parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{version('heddle')} ({done.stdout.strip() or 'no repository'})"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
