"""The resident process: hears the controller and OVS, keeps the node as asked, and the conflist as the node is.

One thread decides. It leaves the data path alone when it ends.
"""

from __future__ import annotations

import logging
import time
from queue import Empty, SimpleQueue

from cni_shim.controller import Controller
from cni_shim.errors import ShimError
from cni_shim.node import configuration, conflist, datapath, neighbours, readiness
from cni_shim.node.configuration import Configuration
from cni_shim.node.events import ControllerAway, Event, Events, Heard, Poller, Stop, SwitchDown, SwitchUp, watch_switch
from cni_shim.node.settings import Settings
from cni_shim.node.vswitchd import Vswitchd, has_flows

PASS_INTERVAL = 10.0  # seconds between looks at the whole node, whether or not anything was heard
NEIGHBOUR_INTERVAL = 60.0  # OVS forgets a neighbour after 900 s; a peer may change its interface any time
RETRY = 1.0  # seconds after a pass that failed
log = logging.getLogger("heddle-node")


class Resident:
    """The state of the deciding thread. `events`: where the watchers, and a signal handler, put theirs."""

    def __init__(self, settings: Settings, client: Controller, events: Events) -> None:
        self._settings = settings
        self._events = events
        self._poller = Poller(settings, client, events)
        self._configuration = configuration.last_good(settings.state_dir, settings.node)
        self._switch_runs = False
        self._controller_answers = False
        self._kept = False
        self._said = self._configuration.programmed if self._configuration else None
        self._denied_since = float("-inf")
        self._heed_from = 0  # answers to polls before this one are older than the last restart of OVS
        self._next_pass = 0.0
        self._next_neighbours = 0.0
        self._ready = False
        self._reason = ""

    def run(self) -> None:
        """Keep the node until a Stop comes."""
        self._poller.start()
        watch_switch(self._settings, self._events)
        while True:
            for event in self._next_events():
                if isinstance(event, Stop):
                    return
                self._take(event)
            self._keep()
            self._publish_readiness()

    def _next_events(self) -> list[Event]:
        """All events that are there, after waiting for one, or until something is due."""
        timeout = max(0.0, min(self._next_pass, self._next_neighbours) - time.monotonic())
        if not (self._ready and self._said):
            timeout = min(timeout, RETRY)  # flows may come, a grace may run out
        try:
            found = [self._events.get(timeout=timeout)]
        except Empty:
            return []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def _take(self, event: Event) -> None:
        if isinstance(event, Heard):
            self._hear(event)
        elif isinstance(event, ControllerAway):
            if self._controller_answers or not self._reason:
                log.warning("%s; the node stays as it is", event.reason)
            self._controller_answers = False
        elif isinstance(event, SwitchUp):
            log.info("ovs-vswitchd runs")
            self._switch_runs = True
            self._next_pass = self._next_neighbours = 0.0
        elif isinstance(event, SwitchDown):
            log.warning("ovs-vswitchd ended: its flows and tunnel neighbours are gone")
            self._switch_runs = False
            self._said = None
            self._heed_from = self._poller.ask_again(impatient=True)

    def _hear(self, event: Heard) -> None:
        heard = event.configuration
        if not self._controller_answers:
            log.info("the controller answers, revision %d", heard.revision)
        self._controller_answers = True
        if heard != self._configuration:
            if self._configuration is None or _data_path(heard) != _data_path(self._configuration):
                self._next_pass = self._next_neighbours = 0.0
            try:
                configuration.save(heard, self._settings.state_dir)
            except OSError as error:
                log.error("the configuration cannot be kept for a restart: %s", error)
            self._configuration = heard
        if event.asked < self._heed_from:
            return
        if not heard.programmed and self._said:
            self._denied_since = time.monotonic()
        self._said = heard.programmed

    def _keep(self) -> None:
        """A pass over the node and its neighbours, when they are due."""
        now = time.monotonic()
        if self._configuration is None or not self._switch_runs:
            self._next_pass = max(self._next_pass, now + RETRY)
            self._next_neighbours = max(self._next_neighbours, now + RETRY)
            return
        if now >= self._next_pass:
            self._kept = self._pass(self._configuration)
            self._next_pass = time.monotonic() + (PASS_INTERVAL if self._kept else RETRY)
        if self._kept and now >= self._next_neighbours:
            self._next_neighbours = time.monotonic() + self._resolve(self._configuration)

    def _pass(self, wanted: Configuration) -> bool:
        try:
            for change in datapath.ensure(wanted, self._settings):
                log.info("%s", change)
        except (ShimError, OSError) as error:
            log.error("%s", error)
            return False
        return True

    def _resolve(self, wanted: Configuration) -> float:
        """Set the tunnel neighbours; seconds until it is to be done again."""
        if self._settings.datapath != "netdev" or not wanted.peers:
            return NEIGHBOUR_INTERVAL
        try:
            vswitchd = Vswitchd(self._settings.ovs_rundir)
        except ShimError:
            return RETRY
        try:
            silent = neighbours.ensure(wanted.peers, vswitchd)
        except ShimError as error:
            log.warning("%s", error)
            return RETRY
        finally:
            vswitchd.close()
        return PASS_INTERVAL if silent else NEIGHBOUR_INTERVAL

    def _publish_readiness(self) -> None:
        if self._configuration is None:
            return
        known = readiness.Known(
            kept=self._kept,
            switch_runs=self._switch_runs,
            has_flows=self._switch_runs and has_flows(self._settings.ovs_rundir, self._configuration.bridge),
            controller_answers=self._controller_answers,
            said=self._said,
            denied_for=time.monotonic() - self._denied_since,
        )
        ready, reason = readiness.ready(known)
        self._ready = ready
        self._poller.settle(impatient=not (ready and self._said))
        if reason != self._reason:
            log.info("%s: %s", "ready" if ready else "not ready", reason)
            self._reason = reason
        try:
            act = conflist.present(self._configuration, self._settings) if ready else conflist.absent(self._settings)
        except OSError as error:
            log.error("the conflist: %s", error)
            return
        for change in act:
            log.info("%s", change)


def _data_path(wanted: Configuration) -> tuple[object, ...]:
    """What of the configuration concerns the data path: all but its number and the controller's word."""
    return tuple(value for name, value in vars(wanted).items() if name not in ("revision", "programmed"))


def new_events() -> Events:
    return SimpleQueue()
