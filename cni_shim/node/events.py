"""What the resident process waits for: the controller's word and ovs-vswitchd's life, each watched by one thread.

A watcher only puts events into a queue; what they mean is decided by the one thread that takes them out.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from cni_shim.controller import InterruptedCallError
from cni_shim.errors import ShimError
from cni_shim.node.configuration import Configuration
from cni_shim.node.controllers import Controllers
from cni_shim.node.settings import Settings
from cni_shim.node.vswitchd import Vswitchd, is_restoring

# Seconds the controller may hold a poll when all is well. One that was stopped is noticed a few seconds after.
LONG_WAIT = 10
SHORT_WAIT = 1  # and when something is awaited
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between tries when no controller answers
SWITCH_PAUSE = 0.2  # seconds between looks for an ovs-vswitchd that is away
RESTORE_PAUSE = 0.02  # and for one that is given back the flows that it had


@dataclass(frozen=True)
class Heard:
    """The controller's configuration, asked for after the poll numbered `asked`."""

    configuration: Configuration
    asked: int


@dataclass(frozen=True)
class ControllerAway:
    reason: str


@dataclass(frozen=True)
class SwitchUp:
    pass


@dataclass(frozen=True)
class SwitchDown:
    pass


@dataclass(frozen=True)
class Stop:
    pass


Event: TypeAlias = Heard | ControllerAway | SwitchUp | SwitchDown | Stop
Events: TypeAlias = "SimpleQueue[Event]"


def pause(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many failures in a row: doubling, with jitter, so that nodes do not come all at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * float(2 ** min(failures, 10)))
    return longest * (0.5 + 0.5 * chance())


class Poller:
    """The long poll for this node's configuration, in a thread of its own."""

    def __init__(self, controllers: Controllers, events: Events) -> None:
        self._controllers = controllers
        self._events = events
        self._impatient = True
        self._asked = 0
        self._revision: int | None = None
        self._nudged = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._poll, name="poller", daemon=True).start()

    def ask_again(self, impatient: bool) -> int:
        """End a poll that is waiting, ask anew; `impatient`: for a quick answer, until told otherwise.

        Returns a number: an answer with an `asked` at least as large was asked for after this call.
        """
        self._impatient = impatient
        self._nudged.set()
        self._controllers.interrupt()
        return self._asked + 1

    def settle(self, impatient: bool) -> None:
        """As `ask_again`, from the next poll on."""
        self._impatient = impatient

    def _poll(self) -> None:
        failures = 0
        while True:
            self._asked += 1
            self._nudged.clear()
            try:
                self._events.put(self._ask(self._asked))
                failures = 0
                if self._impatient:
                    self._nudged.wait(SWITCH_PAUSE)  # a controller that answers at once must not be hammered
            except InterruptedCallError:
                continue
            except Exception as error:  # nothing may end this thread: without it the node is deaf
                if self._nudged.is_set():
                    continue
                self._events.put(ControllerAway(str(error)))
                self._nudged.wait(pause(failures))
                failures += 1

    def _ask(self, number: int) -> Heard:
        wait = SHORT_WAIT if self._impatient else LONG_WAIT
        heard = self._controllers.configuration(self._revision, wait)
        self._revision = heard.revision
        return Heard(heard, number)


def watch_switch(settings: Settings, events: Events) -> None:
    """Say when ovs-vswitchd comes and goes, for ever, in a thread of its own."""
    threading.Thread(target=_watch_switch, args=(settings, events), name="switch", daemon=True).start()


def _watch_switch(settings: Settings, events: Events) -> None:
    while True:
        if is_restoring(settings.ovs_rundir):
            time.sleep(RESTORE_PAUSE)
            continue
        try:
            connection = Vswitchd(settings.ovs_rundir)
        except ShimError:
            time.sleep(SWITCH_PAUSE)
            continue
        events.put(SwitchUp())
        select.select([connection], [], [])  # readable only at its end
        connection.close()
        events.put(SwitchDown())
