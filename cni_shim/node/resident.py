"""The resident process: hears the controller and OVS, keeps the node as asked, and the conflist as the node is.

One thread decides. It leaves the data path alone when it ends.
"""

from __future__ import annotations

import logging
import time
from queue import Empty, SimpleQueue

from cni_shim.errors import ShimError
from cni_shim.node import configuration, conflist, connections, datapath, held, neighbours, readiness, uplink
from cni_shim.node.configuration import Configuration
from cni_shim.node.controllers import Controllers
from cni_shim.node.events import ControllerAway, Event, Events, Heard, Poller, Stop, SwitchDown, SwitchUp, watch_switch
from cni_shim.node.health import HealthPorts
from cni_shim.node.querier import Querier
from cni_shim.node.settings import Settings
from cni_shim.node.surveyor import Surveyor
from cni_shim.node.vswitchd import Vswitchd, has_flows

PASS_INTERVAL = 10.0  # seconds between looks at the whole node, whether or not anything was heard
SETTLING = 30.0  # after the start of ovs-vswitchd
NEIGHBOUR_INTERVAL = 60.0  # OVS forgets a neighbour after 900 s; a peer may change its interface any time
RETRY = 1.0  # seconds after a pass that failed
# Seconds that ovs-vswitchd may be away (a restart takes 0.2) before the node takes its own traffic back from it.
PATIENCE_WITH_SWITCH = 2.0
_OF_NO_CONCERN = ("revision", "programmed", "api", "health", "multicast")
# Seconds after ovs-vswitchd came, or something was put right, at which the node's addresses are announced again (RFC
# 5227, section 2.3, has it done twice): the first announcement is lost if it does not forward yet.
ANNOUNCEMENTS = (0.5, 1.0, 2.0, 4.0)
log = logging.getLogger("heddle-node")


class Resident:
    """The state of the deciding thread. `events`: where the watchers, and a signal handler, put theirs."""

    def __init__(
        self, settings: Settings, last: Configuration | None, controllers: Controllers, events: Events
    ) -> None:
        self._settings = settings
        self._events = events
        self._poller = Poller(controllers, events)
        self._surveyor = Surveyor(settings)
        self._querier = Querier(settings)
        self._configuration = last
        if last is not None:
            self._surveyor.heed(last)
            self._querier.heed(last)
        self._switch_runs = False
        self._switch_down_since = time.monotonic()
        self._controller_answers = False
        self._kept = False
        self._said = self._configuration.programmed if self._configuration else None
        self._denied_since = float("-inf")
        self._heed_from = 0  # answers to polls before this one are older than the last restart of OVS
        self._next_pass = 0.0
        self._next_neighbours = 0.0
        self._settled_at = 0.0
        self._announcements: list[float] = []
        self._trouble = ""
        self._ready = False
        self._reason = ""
        self._health = HealthPorts()

    def run(self) -> None:
        """Keep the node until a Stop comes."""
        self._poller.start()
        self._surveyor.start()
        self._querier.start()
        watch_switch(self._settings, self._events)
        while True:
            for event in self._next_events():
                if isinstance(event, Stop):
                    self._health.close()
                    return
                self._take(event)
            self._keep()
            self._publish_readiness()

    def _next_events(self) -> list[Event]:
        """All events that are there, after waiting for one, or until something is due."""
        due = min(self._next_pass, self._next_neighbours, *self._announcements)
        timeout = max(0.0, due - time.monotonic())
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
            self._settled_at = time.monotonic() + SETTLING
            self._next_pass = self._next_neighbours = 0.0
        elif isinstance(event, SwitchDown):
            log.warning("ovs-vswitchd ended: its flows and tunnel neighbours are gone")
            self._switch_runs = False
            self._switch_down_since = time.monotonic()
            self._announcements = []
            self._said = None
            self._heed_from = self._poller.ask_again(impatient=True)

    def _hear(self, event: Heard) -> None:
        heard = event.configuration
        if not self._controller_answers:
            log.info("the controller answers, revision %d", heard.revision)
            self._surveyor.forget_reports()
            self._querier.forget_reports()
        self._controller_answers = True
        if heard != self._configuration:
            if self._configuration is None or _data_path(heard) != _data_path(self._configuration):
                self._next_pass = self._next_neighbours = 0.0
            try:
                configuration.save(heard, self._settings.state_dir)
            except OSError as error:
                log.error("the configuration cannot be kept for a restart: %s", error)
            self._configuration = heard
            self._surveyor.heed(heard)
            self._querier.heed(heard)
        if event.asked < self._heed_from:
            return
        if not heard.programmed and self._said:
            self._denied_since = time.monotonic()
        self._said = heard.programmed

    def _keep(self) -> None:
        """A pass over the node and its neighbours, when they are due."""
        now = time.monotonic()
        if self._configuration is None or not self._switch_runs:
            if self._configuration is not None and now - self._switch_down_since > PATIENCE_WITH_SWITCH:
                self._release(self._configuration)
            self._next_pass = max(self._next_pass, now + RETRY)
            self._next_neighbours = max(self._next_neighbours, now + RETRY)
            return
        if self._announcements and now >= self._announcements[0]:
            self._announcements = [due for due in self._announcements if due > now]
            self._announce()
        if now >= self._next_pass:
            self._kept = self._pass(self._configuration)
            self._next_pass = time.monotonic() + (PASS_INTERVAL if self._kept else RETRY)
            self._warn(connections.trouble(self._settings))
        if self._kept and now >= self._next_neighbours:
            self._next_neighbours = time.monotonic() + self._resolve(self._configuration)

    def _pass(self, wanted: Configuration) -> bool:
        try:
            changed = datapath.ensure(wanted, self._settings)
            for change in changed:
                log.info("%s", change)
            if changed and (wanted.held or self._settings.datapath == "netdev"):
                self._announcements = [time.monotonic() + seconds for seconds in ANNOUNCEMENTS]
        except (ShimError, OSError) as error:
            log.error("%s", error)
            return False
        return True

    def _warn(self, trouble: str) -> None:
        """Say it once, and once that it is over; the numbers in it change all the time."""
        if trouble and not self._trouble:
            log.warning("%s", trouble)
        elif self._trouble and not trouble:
            log.info("conntrack has room again")
        self._trouble = trouble
        self._surveyor.mention(*([trouble] if trouble else []))

    def _announce(self) -> None:
        try:
            uplink.announce_moved(self._settings)
            if self._configuration is not None and self._configuration.held:
                held.tell(self._configuration.held, uplink.interface_of(self._configuration.underlay, self._settings))
        except (ShimError, OSError) as error:
            log.warning("the node's addresses are not announced: %s", error)

    def _release(self, known: Configuration) -> None:
        try:
            for change in datapath.release(known, self._settings):
                log.warning("without ovs-vswitchd: %s", change)
        except (ShimError, OSError) as error:
            log.error("%s", error)

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
        # While the bridge gets back ports and addresses, Open vSwitch may forget what it was just told.
        return PASS_INTERVAL if silent or time.monotonic() < self._settled_at else NEIGHBOUR_INTERVAL

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
        self._health.keep(self._configuration.health, healthy=known.kept and known.has_flows)
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
    """What of the configuration concerns the data path: all but its number, the controller's word, and who is asked.

    Of health ports only which there are: what is told there is told at once.
    """
    rest = tuple(value for name, value in vars(wanted).items() if name not in _OF_NO_CONCERN)
    return (*rest, *(health.port for health in wanted.health))


def new_events() -> Events:
    return SimpleQueue()
