"""Leases in the API: a replica's sign of life, and who has which share. What is done about shares, `shares` says."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from kube.client import Client
from kube.errors import ApiError, Conflict, Invalid, NotFound
from kube.objects import LEASES, Lease, Named
from kube.reading import version_number
from kube.resources import GROUP
from kube.shares import MARGIN, Leases, SeenLease, Take, steps
from store.fields import Malformed

LABEL: Final = f"{GROUP}/lease"
API: Final = f"{GROUP}/api"
OPENFLOW: Final = f"{GROUP}/openflow"
_REPLICA: Final = "heddle-replica-"
_SHARE: Final = "heddle-share-"
_RENEWALS: Final = 5  # within a lease's duration
_BURIED: Final = 20.0  # durations after which a dead replica's lease is removed

log = structlog.get_logger(__name__)


class Replica(NamedTuple):
    """One replica of the controller: where its API is (URL), and where switches connect (as OVSDB has it)."""

    name: str
    api: str
    openflow: str
    since: str = ""  # by its own clock (RFC 3339)


class View(NamedTuple):
    """Who lives, and who has what. `mine` gives the generation of each share of this replica.

    `since` tells since when each share is its holder's, by the holder's clock.
    """

    replicas: tuple[Replica, ...] = ()
    holders: Mapping[str, str] = {}
    mine: Mapping[str, int] = {}
    since: Mapping[str, str] = {}


class _Held(NamedTuple):
    """Who has a lease, since when (empty: since now), and how often it has changed hands."""

    holder: str
    since: str = ""
    turns: int = 0


class _List(msgspec.Struct, frozen=True):
    items: tuple[msgspec.Raw, ...] = ()  # decoded one by one, so that one that is wrong can be named


def clock() -> float:
    """Return seconds since some moment: they pass too while the process, or the machine, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Membership:
    """This replica among the others. `tick` from one thread; `view` and `may_decide` from any."""

    def __init__(
        self,
        client: Client,
        me: Replica,
        shares: tuple[str, ...],
        namespace: str,
        duration: float,
    ) -> None:
        self.me = me
        self.view = View()
        self._client = client
        self._shares = shares
        self._namespace = namespace
        self._duration = duration
        self._leases = Leases({}, {})
        self._others: dict[str, Replica] = {}
        self._turns: dict[str, int] = {}  # how often each share has changed hands
        self._held_since: dict[str, str] = {}  # by its holder
        self._since = ""  # when this replica's own lease was first written
        self._version = ""  # of this replica's own lease
        self._renewed = float("-inf")
        self._trouble = "it was not asked yet"
        self._lapsed = False

    @property
    def interval(self) -> float:
        """How many seconds pass between two ticks."""
        return self._duration / _RENEWALS

    @property
    def trouble(self) -> str:
        """Why this replica decides nothing; empty when it may decide."""
        late = clock() - self._renewed
        if late < self._duration * (1 - MARGIN):
            return ""
        return f"the API server has not confirmed this replica's lease for {min(late, 1e6):.0f} s ({self._trouble})"

    def run(
        self,
        sleep: Callable[[float], object],
        changed: Callable[[View], object],
        catch_up: Callable[[], object] = lambda: None,
    ) -> None:
        """Tick for ever; tell when the view changes.

        A replica whose own lease has run out, for it could not reach the API server or was stopped, does not come back
        with what it knew then: first it has to `catch_up`, which may raise ApiError.
        """
        while True:
            before = self.view
            try:
                if self._has_lapsed():
                    catch_up()
                    self._lapsed = False
                self.tick()
                self._trouble = ""
            except ApiError as error:
                if self._trouble != str(error):
                    log.warning("leases", why=str(error))
                self._trouble = str(error)
            if self.view != before:
                changed(self.view)
            sleep(self.interval)

    def _has_lapsed(self) -> bool:
        self._lapsed |= clock() - self._renewed > self._duration and self._renewed > float("-inf")
        return self._lapsed

    def tick(self) -> None:
        """Renew this replica's lease, look at all, and do what is to be done about shares. Raises ApiError."""
        began = clock()
        self._renew()
        self._look()
        self._publish()
        # Not before: one that was stopped may have lost its shares to others meanwhile.
        self._renewed = began
        for step in steps(self.me.name, self._shares, self._leases, clock()):
            self._take(step)
        self._bury()
        self._publish()

    def leave(self) -> dict[str, str]:
        """Let go of everything: others need not wait. Returns, and logs, what was not let go and why.

        One error says nothing of the others; but leases that are over by then, for the API server does not answer, need
        not be let go.
        """
        over = clock() + self._duration
        kept: dict[str, str] = {}
        endings: dict[str, Callable[[], None]] = {
            _SHARE + share: partial(self._let_go, share) for share in self.view.mine
        }
        for name, ending in {**endings, _REPLICA + self.me.name: self._end}.items():
            try:
                if clock() < over:
                    ending()
                else:
                    kept[name] = "it is over"
            except (ApiError, KeyError) as error:
                kept[name] = str(error)
        if kept:
            log.warning("leases were not let go", kept=kept)
        return kept

    # --- inside --------------------------------------------------------------------------------

    def _let_go(self, share: str) -> None:
        lease = self._leases.shares[share]
        self._write(_SHARE + share, lease.version, _Held("", turns=self._turns.get(share, 0)))

    def _end(self) -> None:
        with suppress(NotFound):
            self._client.delete(LEASES, _REPLICA + self.me.name, self._namespace)

    def _renew(self) -> None:
        name = _REPLICA + self.me.name
        try:
            self._version = self._write_own(name)
        except (Conflict, NotFound):
            # Somebody has touched or removed it.
            try:
                found = _lease(self._client.get(LEASES, name, self._namespace))
                self._version = found.metadata.resource_version
            except NotFound:
                self._version = ""
            self._version = self._write_own(name)

    def _write_own(self, name: str) -> str:
        self._since = self._since or _now()
        version = version_number(self._version or "0")
        return str(self._write(name, version, _Held(self.me.name, self._since)))

    def _look(self) -> None:
        query = {"labelSelector": LABEL}
        found = _leases(self._client.list(LEASES, query, self._namespace))
        now = clock()
        replicas, shares, others = {}, {}, {}
        for lease in found:
            name = lease.metadata.name
            if name.startswith(_REPLICA):
                name = name.removeprefix(_REPLICA)
                replicas[name] = _seen(lease, self._leases.replicas.get(name), now)
                told = lease.metadata.annotations
                since = lease.spec.acquire_time or ""
                others[name] = Replica(name, told.get(API, ""), told.get(OPENFLOW, ""), since)
            elif name.startswith(_SHARE):
                name = name.removeprefix(_SHARE)
                shares[name] = _seen(lease, self._leases.shares.get(name), now)
                self._turns[name] = lease.spec.lease_transitions or 0
                self._held_since[name] = lease.spec.acquire_time or ""
        self._leases, self._others = Leases(replicas, shares), others

    def _take(self, step: Take) -> None:
        with suppress(Conflict, NotFound):  # another was first; the next look tells
            turns = self._turns[step.share] + 1 if step.version else 0
            taken = self._write(_SHARE + step.share, step.version, _Held(self.me.name, turns=turns))
            self._held_since[step.share] = ""  # known when it is looked at next
            log.info("share taken", share=step.share, generation=taken)
            lease = SeenLease(self.me.name, taken, self._duration, clock())
            self._leases = self._leases._replace(shares={**self._leases.shares, step.share: lease})

    def _bury(self) -> None:
        """Remove the leases of replicas that are long dead: each process has a name of its own."""
        now = clock()
        for name, lease in self._leases.replicas.items():
            if now - lease.changed > _BURIED * lease.duration and name != self.me.name:
                with suppress(NotFound, Conflict):
                    self._client.delete(LEASES, _REPLICA + name, self._namespace, str(lease.version))

    def _publish(self) -> None:
        now, leases = clock(), self._leases
        living = leases.living(now)
        holders = {share: leases.holder(share, now) for share in self._shares}
        mine = {share: leases.shares[share].version for share, holder in holders.items() if holder == self.me.name}
        replicas = tuple(self._others[name] for name in sorted(living) if name in self._others)
        held = {share: holder for share, holder in holders.items() if holder is not None}
        self.view = View(replicas, held, mine, {share: self._held_since.get(share, "") for share in held})

    def _write(self, name: str, version: int, held: _Held) -> int:
        """Make or replace a lease; return its version. Raises Conflict when others were first."""
        now = _now()
        kind = "replica" if name.startswith(_REPLICA) else "share"
        metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/name": "heddle", LABEL: kind}}
        if kind == "replica":
            metadata["annotations"] = {API: self.me.api, OPENFLOW: self.me.openflow}
        spec: dict[str, Any] = {"holderIdentity": held.holder, "leaseDurationSeconds": max(1, round(self._duration))}
        spec |= {"acquireTime": held.since or now, "renewTime": now, "leaseTransitions": held.turns}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if version:
            metadata["resourceVersion"] = str(version)
            content = self._client.replace(LEASES, name, body, self._namespace)
        else:
            content = self._client.create(LEASES, body, self._namespace, name)
        return version_number(_lease(content).metadata.resource_version)


def _leases(content: bytes) -> tuple[Lease, ...]:
    """Return the leases of a list. Raises Invalid."""
    try:
        items = msgspec.json.decode(content, type=_List).items
    except msgspec.DecodeError as error:
        remedy = "is this an API server?"
        raise Invalid(LEASES.full_name, f"the list cannot be read ({error})", remedy) from None
    return tuple(_lease(item) for item in items)


def _lease(content: bytes | msgspec.Raw) -> Lease:
    """Return a lease, whose version is a number. Raises Invalid: nothing is done about shares by half of the leases."""
    try:
        lease = msgspec.json.decode(content, type=Lease)
        version_number(lease.metadata.resource_version)
    except (Malformed, msgspec.DecodeError) as error:
        subject, remedy = f'{LEASES.full_name} "{_name(content)}"', "remove it; it is made anew where it is needed"
        raise Invalid(subject, f"it cannot be read ({error})", remedy) from None
    return lease


def _name(content: bytes | msgspec.Raw) -> str:
    """Return the name of an object whose other fields may be wrong."""
    try:
        return msgspec.json.decode(content, type=Named).metadata.name
    except msgspec.DecodeError:
        return "?"


def _seen(lease: Lease, before: SeenLease | None, now: float) -> SeenLease:
    version = version_number(lease.metadata.resource_version)
    same = before is not None and before.version == version
    duration = float(lease.spec.lease_duration_seconds or 1)
    return SeenLease(lease.spec.holder_identity or "", version, duration, before.changed if same and before else now)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
