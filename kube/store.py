"""The store of a cluster: what was decided is kept as custom resources. What a store is, `store.base` says.

Every write is on condition that the object is as this replica saw it last (its resourceVersion), or does not exist, so
of two replicas that decide on the same at once, one is told (`Outdated`) and decides anew. The API keeps objects one by
one: when a write fails, those before it stay, and come back by the watch as anybody else's. One caller at a time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from kube.client import Client, Resource
from kube.errors import ApiError, Conflict, NotFound
from kube.mirror import Mirror, Name, Version
from kube.objects import Custom, Named
from kube.reading import BY_PLURAL, custom_version, gone_version, version_number
from kube.resources import FINALIZER, GROUP, VERSION, VNID_CLAIMS, VTEPS, CustomResource, VnidClaim
from kube.writing import OTHERWISE, Write, ask_of, decided_of, document, labels_of, spec_of, writes
from store import history
from store.base import Mark, Outdated, Record, StoreError
from store.fields import Malformed
from topology.history import Turn
from topology.model import VNIDS, Address, Subject, Watermark
from topology.snapshot import Event, Put, Snapshot

TOKEN: Final = f"{GROUP}/token-sha256"  # annotation of a Vtep: the digest of its node's token
_NOTHING: Final = object()

Calls = Callable[[Iterable[Callable[[], Version]]], Iterable[Version]]


class Asked(NamedTuple):
    """An object that people write, as it was seen or written last: what this replica needs to change it."""

    generation: int
    finalizers: tuple[str, ...]
    is_leaving: bool
    spec: dict[str, Any]
    status: dict[str, Any]


def in_turn(calls: Iterable[Callable[[], Version]]) -> Iterable[Version]:
    """Do calls one after the other."""
    return [call() for call in calls]


class KubernetesStore:
    """A `store.base.Store` on an API server, for one replica among several.

    `at_once` does calls that do not depend on each other; by default one after the other.
    """

    def __init__(self, client: Client, mirror: Mirror, at_once: Calls = in_turn) -> None:
        self._client = client
        self._mirror = mirror
        self._at_once = at_once
        self._asked: dict[Name, Asked] = {}
        self._claims: dict[int, str] = {}
        self._tokens: dict[str, str] = {}
        self._digests: dict[str, str] = {}  # by node
        self._history = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._history.executescript(history.SCHEMA)

    # --- what was seen -------------------------------------------------------------------------

    def saw(self, plural: str, found: Custom, *, gone: bool = False) -> Version:
        """Take in an object that the API has, or has no more. Raises Malformed or msgspec.DecodeError."""
        name = Name(plural, found.metadata.name)
        version = gone_version(name, found.metadata.resource_version) if gone else custom_version(plural, found)
        known = self._mirror.version(name)
        if known is None or known.resource_version < version.resource_version:
            self._remember(name, found, gone=gone)
        return version

    def asked(self, name: Name) -> Asked | None:
        """Return an object that people write, as it was seen or written last."""
        return self._asked.get(name)

    def _remember(self, name: Name, found: Custom, *, gone: bool) -> None:
        if name.plural == VTEPS.plural:
            self._know_token(name.name, "" if gone else found.metadata.annotations.get(TOKEN, ""))
        elif name.plural == VNID_CLAIMS.plural:
            self._know_claim(name.name, None if gone else msgspec.json.decode(found.spec, type=VnidClaim))
        elif BY_PLURAL[name.plural].decided is not None:
            self._know_asked(name, None if gone else found)

    def _know_asked(self, name: Name, found: Custom | None) -> None:
        if found is None:
            self._asked.pop(name, None)
            return
        meta = found.metadata
        spec, status = (msgspec.json.decode(part, type=dict[str, Any]) for part in (found.spec, found.status))
        leaving = meta.deletion_timestamp is not None
        self._asked[name] = Asked(meta.generation, meta.finalizers, leaving, spec, status)

    def _know_claim(self, vnid: str, claim: VnidClaim | None) -> None:
        if claim is None:
            self._claims.pop(int(vnid), None)
        else:
            self._claims[claim.vnid] = claim.network

    def _know_token(self, node: str, digest: str) -> None:
        self._tokens.pop(self._digests.pop(node, ""), None)
        if digest:
            self._digests[node] = digest
            self._tokens[digest] = node

    # --- the store -----------------------------------------------------------------------------

    def load(self) -> tuple[Event, ...]:
        """See `Store.load`: nothing, for what is kept comes by watching it."""
        return ()

    def commit(self, events: Iterable[Event], turns: Iterable[Turn] = ()) -> tuple[Mark, ...]:
        """See `Store.commit`."""
        written: list[Version] = []
        for group in writes(events, self):
            written += self._group(group)
        self._mirror.wrote(written)
        history.record(self._history, turns, time.time())
        return tuple(Mark(*each.name, 0 if each.deleted else each.resource_version) for each in written)

    def released(self, snapshot: Snapshot, events: Iterable[Event]) -> tuple[Event, ...]:
        """See `Store.released`."""
        return self._mirror.settle(snapshot, events)

    def write_status(self, name: Name, status: dict[str, Any]) -> None:
        """Write what became of an ask, but for what was decided. Raises ApiError, Conflict when it is not as seen."""
        asked, version = self._asked.get(name), self._mirror.version(name)
        if asked is None or version is None:
            return
        resource = BY_PLURAL[name.plural]
        wanted = {**asked.status, **status}
        if wanted != asked.status:
            metadata = {"resourceVersion": str(version.resource_version)}
            body = {**document(resource, name.name, metadata, {}), "status": wanted}
            self._client.replace(_resource(resource), name.name, body, subresource="status")

    def release(self, name: Name) -> None:
        """Let an object go that is to be deleted. Raises ApiError, Conflict when it is not as seen.

        The list of finalizers is written as a whole: on no condition, that would take away what others have added.
        """
        asked, version = self._asked.get(name), self._mirror.version(name)
        if asked is not None and version is not None and FINALIZER in asked.finalizers:
            self._without_finalizer(name, asked, str(version.resource_version))

    def asks(self) -> dict[Name, Asked]:
        """Return every object that people write."""
        return dict(self._asked)

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """See `Store.history`: what this replica has decided since it started."""
        return history.read(self._history, space, address, most)

    def set_token(self, node: str, digest: str) -> None:
        """See `Store.set_token`."""
        try:
            self._client.patch(_resource(VTEPS), node, {"metadata": {"annotations": {TOKEN: digest}}})
        except NotFound:
            raise KeyError(node) from None
        except ApiError as error:
            raise _told(error) from None
        self._know_token(node, digest)

    def node_of(self, digest: str) -> str | None:
        """See `Store.node_of`."""
        return self._tokens.get(digest)

    def close(self) -> None:
        """See `Store.close`."""
        self._history.close()

    # --- inside --------------------------------------------------------------------------------

    def values(self, name: Name) -> tuple[Subject, ...] | None:
        """See `writing.Present`."""
        version = self._mirror.version(name)
        return None if version is None or version.deleted else version.values

    def claimant(self, vnid: int) -> str | None:
        """See `writing.Present`."""
        return self._claims.get(vnid)

    def _group(self, group: list[Write]) -> list[Version]:
        try:
            return list(self._at_once([partial(self._write, write) for write in group]))
        except (Conflict, NotFound):
            versions = [self._read(write) for write in group]
            passed = [Put(Watermark(VNIDS, int(write.name))) for write in group if write.resource is VNID_CLAIMS]
            raise Outdated(lambda snapshot: (*self._mirror.observe(snapshot, versions), *passed)) from None
        except ApiError as error:
            raise _told(error) from None

    def _read(self, write: Write) -> Version:
        """Return an object as the API has it now."""
        try:
            found = msgspec.json.decode(self._client.get(_resource(write.resource), write.name), type=Custom)
            return self.saw(write.resource.plural, found)
        except NotFound:
            known = self._mirror.version(write.id)
            return Version(write.id, 0 if known is None else known.resource_version + 1, (), deleted=True)
        except ApiError as error:
            raise _told(error) from None
        except (Malformed, msgspec.DecodeError) as error:
            remedy = "correct it, or remove it"
            raise StoreError(f"{write.resource.full_name} {write.name}", f"cannot be read: {error}", remedy) from None

    def _write(self, write: Write) -> Version:
        known = self._mirror.version(write.id)
        version = "" if known is None or known.deleted else str(known.resource_version)
        if write.values is None:
            return self._remove(write, version)
        if write.resource.decided is not None:
            return self._decide(write, version)
        return self._keep(write, version)

    def _keep(self, write: Write, version: str) -> Version:
        """Write what only the controller writes. A claim is made, or is another's: it is never taken away from one."""
        resource, spec = _resource(write.resource), spec_of(write)
        if not version or write.resource is VNID_CLAIMS:
            content = self._client.create(resource, document(write.resource, write.name, {}, spec), name=write.name)
        else:
            digest = self._digests.get(write.name) if write.resource is VTEPS else None
            kept = {} if digest is None else {"annotations": {TOKEN: digest}}
            body = document(write.resource, write.name, {"resourceVersion": version, **kept}, spec)
            content = self._client.replace(resource, write.name, body)
        self._remember(write.id, msgspec.json.decode(content, type=Custom), gone=False)
        return Version(write.id, _number(content), () if write.resource is VNID_CLAIMS else write.values or ())

    def _decide(self, write: Write, version: str) -> Version:
        """Write what was decided into the status, and what was asked for here, not there, into the spec."""
        resource, (value,) = _resource(write.resource), write.values or ()
        content = self._ask(write, version, value)
        if content is not None:
            version = str(_number(content))
        asked = self._asked.get(write.id)
        status = {**({} if asked is None else asked.status), "decided": decided_of(write)}
        # Not a patch: null means something in what was decided, and a merge patch takes it for a removal.
        body = {**document(write.resource, write.name, {"resourceVersion": version}, {}), "status": status}
        content = self._client.replace(resource, write.name, body, subresource="status")
        self._know_asked(write.id, msgspec.json.decode(content, type=Custom))
        return Version(write.id, _number(content), (value,))

    def _ask(self, write: Write, version: str, value: Subject) -> bytes | None:
        """Make the object, or change its spec and finalizers, where that is needed; return it as it is then."""
        resource, asked = _resource(write.resource), self._asked.get(write.id)
        if asked is None or not version:
            metadata = {"finalizers": [FINALIZER], "labels": labels_of(value)}
            body = document(write.resource, write.name, metadata, ask_of(value))
            return self._client.create(resource, body, name=write.name)
        before = self.values(write.id)
        changed = _differing(ask_of(before[0]), ask_of(value)) if before else {}
        others = OTHERWISE.get(write.resource.plural, {})
        changed |= {other: _NOTHING for name, other in others.items() if name in changed}
        missing = FINALIZER not in asked.finalizers and not asked.is_leaving
        if not missing and all(asked.spec.get(name) == part for name, part in changed.items()):
            return None
        present = msgspec.json.decode(self._client.get(resource, write.name), type=dict[str, Any])
        present["metadata"]["resourceVersion"] = version
        present["spec"] = {name: part for name, part in {**asked.spec, **changed}.items() if part is not _NOTHING}
        if missing:
            present["metadata"]["finalizers"] = [*asked.finalizers, FINALIZER]
        return self._client.replace(resource, write.name, present)

    def _remove(self, write: Write, version: str) -> Version:
        resource, asked = _resource(write.resource), self._asked.get(write.id)
        try:
            if asked is None or not asked.is_leaving:
                content = self._client.delete(resource, write.name, resource_version=version)
                version = str(_number(content, otherwise=version))
            if asked is not None and FINALIZER in asked.finalizers:
                version = str(self._without_finalizer(write.id, asked, version))
        except NotFound:
            pass  # gone already
        self._forget(write.id)
        return Version(write.id, int(version or 0), (), deleted=True)

    def _without_finalizer(self, name: Name, asked: Asked, version: str) -> int:
        """Take our finalizer off an object that is at `version` as it is in `asked`; return its version then."""
        finalizers = [each for each in asked.finalizers if each != FINALIZER]
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        return _number(self._client.patch(_resource(BY_PLURAL[name.plural]), name.name, body))

    def _forget(self, name: Name) -> None:
        self._know_asked(name, None)
        if name.plural == VTEPS.plural:
            self._know_token(name.name, "")
        elif name.plural == VNID_CLAIMS.plural:
            self._know_claim(name.name, None)


def _differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what is not as before; what is gone, as `_NOTHING`."""
    return {
        name: after.get(name, _NOTHING)
        for name in {**before, **after}
        if before.get(name, _NOTHING) != after.get(name, _NOTHING)
    }


def _resource(resource: CustomResource) -> Resource:
    return Resource(GROUP, VERSION, resource.plural)


def _number(content: bytes, otherwise: str = "") -> int:
    version = msgspec.json.decode(content, type=Named).metadata.resource_version
    return version_number(version or otherwise)


def _told(error: ApiError) -> StoreError:
    return StoreError(error.subject, error.cause, error.remedy)
