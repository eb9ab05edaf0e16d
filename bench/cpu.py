"""CPU time of other processes, to the nanosecond. Nothing about what they do.

clock_gettime(2) reads a process's CPU clock by a number made from its pid (clock_getcpuclockid(3), Linux's encoding in
include/linux/posix-timers.h); /proc/PID/stat counts in ticks of 10 ms, a hundred pods long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2
_UTIME = 11  # field 14 of /proc/PID/stat, counted from what follows the name


def cpu_seconds(pid: int) -> float:
    """The CPU time that all threads of `pid` have used, ended ones included. OSError when it does not exist."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


@dataclass(frozen=True, slots=True)
class Programs:
    """Processes under the names by which the table lists them; several pids may share one."""

    pids: Mapping[str, tuple[int, ...]]

    def read(self) -> Reading:
        """What each has used until now."""
        return Reading({name: sum(map(cpu_seconds, pids)) for name, pids in self.pids.items()})


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds by name at one moment."""

    seconds: Mapping[str, float]

    def since(self, earlier: Reading) -> dict[str, float]:
        """CPU-milliseconds used after `earlier`, by name."""
        return {name: (now - earlier.seconds[name]) * 1000 for name, now in self.seconds.items()}


def average(spent: Iterable[Mapping[str, float]], units: int) -> dict[str, float]:
    """Add CPU-milliseconds by name and divide by the number of `units` of work."""
    total: dict[str, float] = {}
    for one in spent:
        for name, milliseconds in one.items():
            total[name] = total.get(name, 0.0) + milliseconds
    return {name: milliseconds / units for name, milliseconds in total.items()}


def user_seconds(pid: int) -> float:
    """How much of a process's CPU time was spent outside the kernel, in ticks of some milliseconds (proc(5), utime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[_UTIME]) / os.sysconf("SC_CLK_TCK")
