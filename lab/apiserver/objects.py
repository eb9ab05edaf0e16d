"""The objects of the double, and the history that watches are told: one revision counts all changes, as in etcd.

What it keeps to (Kubernetes API concepts and conventions): resourceVersion as precondition, on updates and deletions;
no new version for what changes nothing; generation; uid; finalizers; spec and status written apart; 410 below the
history.
"""

from __future__ import annotations

import copy
import datetime
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from lab.apiserver.kinds import BUILT_IN, CRDS, NAMESPACES, PODS, Kind, KindName, of_definition

HISTORY: Final = 50_000

Body = dict[str, Any]
Chosen = Callable[[Body], bool]


class Refusal(Exception):
    """An answer that is not success: HTTP status and reason, as in meta/v1, Status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Key(NamedTuple):
    """What identifies an object."""

    kind: KindName
    namespace: str
    name: str


class Happened(NamedTuple):
    """One change: what a watch is told. `before` is None for what was made."""

    revision: int
    type: str
    key: Key
    after: Body
    before: Body | None
    encoded: bytes  # `after`


class Objects:
    """All objects. Any thread may call; a body that is handed out is never changed."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.kinds: dict[KindName, Kind] = {kind.name: kind for kind in BUILT_IN}
        self.revision = 1
        self.compacted = 0
        self._bodies: dict[KindName, dict[Key, Body]] = {}
        self._encoded: dict[Key, bytes] = {}
        self._history: deque[Happened] = deque()
        for name in ("default", "kube-system"):
            self.create(NAMESPACES, "", {"metadata": {"name": name}})

    # --- reading -------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str, name: str) -> bytes:
        """Return an object. Raises Refusal."""
        with self.changed:
            return self._encoded[self._known(kind, namespace, name)]

    def all(self, kind: Kind, namespace: str, chosen: Chosen) -> tuple[int, list[bytes]]:
        """Return the revision and all objects of a kind, by name."""
        with self.changed:
            bodies = self._bodies.get(kind.name, {})
            keys = sorted(key for key in bodies if namespace in ("", key.namespace) and chosen(bodies[key]))
            return self.revision, [self._encoded[key] for key in keys]

    def since(self, revision: int) -> Iterator[Happened]:
        """Return what happened after a revision. Raises Refusal (410) when that is forgotten. Hold `changed`."""
        if revision < self.compacted:
            message = f"too old resource version: {revision} ({self.compacted})"
            raise Refusal(410, "Expired", message)
        found = []
        for happened in reversed(self._history):
            if happened.revision <= revision:
                break
            found.append(happened)
        return reversed(found)

    # --- writing -------------------------------------------------------------------------------

    def create(self, kind: Kind, namespace: str, body: Body) -> bytes:
        """Make an object. Raises Refusal."""
        body = copy.deepcopy(body)
        with self.changed:
            meta = body.setdefault("metadata", {})
            if kind.namespaced:
                self._check_namespace(namespace)
                meta["namespace"] = namespace
            if "name" not in meta and "generateName" in meta:
                meta["name"] = f"{meta['generateName']}{uuid.uuid4().hex[:5]}"
            if not meta.get("name"):
                raise Refusal(422, "Invalid", f"{kind.kind}: metadata.name: Required value")
            if meta.get("resourceVersion"):
                raise Refusal(400, "BadRequest", "resourceVersion should not be set on objects to be created")
            key = Key(kind.name, namespace if kind.namespaced else "", meta["name"])
            if key in self._encoded:
                raise Refusal(409, "AlreadyExists", f'{kind.plural} "{key.name}" already exists')
            meta["uid"] = str(uuid.uuid4())
            meta["creationTimestamp"] = _now()
            meta["generation"] = 1
            if kind == PODS:
                body["status"] = {"phase": "Pending"}
            elif kind.status and kind not in BUILT_IN:
                body.pop("status", None)
            body.update(kind=kind.kind, apiVersion=kind.api_version)
            self._complete(kind, body)
            return self._write("ADDED", key, body, None)

    def replace(self, kind: Kind, namespace: str, name: str, body: Body, subresource: str = "") -> bytes:
        """Update an object, or only its status, or all but that. Raises Refusal."""
        with self.changed:
            key = self._known(kind, namespace, name)
            present = self._bodies[kind.name][key]
            given = body.get("metadata", {}).get("resourceVersion")
            if given not in (None, "", present["metadata"]["resourceVersion"]):
                message = "the object has been modified; please apply your changes to the latest version and try again"
                raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {kind.plural} "{name}": {message}')
            return self._update(kind, key, _merged(kind, present, body, subresource))

    def patch(self, kind: Kind, namespace: str, name: str, change: Body, subresource: str = "") -> bytes:
        """Change an object by a merge patch (RFC 7396); lists of conditions are merged by type. Raises Refusal."""
        with self.changed:
            key = self._known(kind, namespace, name)
            present = self._bodies[kind.name][key]
            body = merge(copy.deepcopy(present), change)
            given = change.get("metadata", {}).get("resourceVersion")
            if given is None:
                body["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"]
            return self.replace(kind, namespace, name, body, subresource)

    def delete(self, kind: Kind, namespace: str, name: str, preconditions: Body) -> bytes:
        """Delete an object, or mark it when it has finalizers. Raises Refusal."""
        with self.changed:
            key = self._known(kind, namespace, name)
            present = self._bodies[kind.name][key]
            for field in ("uid", "resourceVersion"):
                if preconditions.get(field) not in (None, present["metadata"][field]):
                    said = f"Precondition failed: {field} in precondition: {preconditions[field]}"
                    raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {kind.plural} "{name}": {said}')
            if kind == NAMESPACES:
                self._empty(name)
            if present["metadata"].get("finalizers"):
                if present["metadata"].get("deletionTimestamp"):
                    return self._encoded[key]
                body = copy.deepcopy(present)
                body["metadata"]["deletionTimestamp"] = _now()
                return self._write("MODIFIED", key, body, present)
            return self._remove(key)

    def compact(self) -> None:
        """Forget the history: watches from now or earlier are answered by 410."""
        with self.changed:
            self._history.clear()
            self.compacted = self.revision

    def seed(self, kind: Kind, bodies: Iterator[Body]) -> None:
        """Make many objects at once, as they would be if they had been made one by one."""
        with self.changed:
            for body in bodies:
                self.create(kind, body["metadata"].get("namespace", ""), body)

    # --- inside --------------------------------------------------------------------------------

    def _known(self, kind: Kind, namespace: str, name: str) -> Key:
        key = Key(kind.name, namespace if kind.namespaced else "", name)
        if key not in self._encoded:
            group = f".{kind.group}" if kind.group else ""
            raise Refusal(404, "NotFound", f'{kind.plural}{group} "{name}" not found')
        return key

    def _check_namespace(self, namespace: str) -> None:
        found = self._bodies.get(NAMESPACES.name, {}).get(Key(NAMESPACES.name, "", namespace))
        if found is None:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if found["metadata"].get("deletionTimestamp"):
            raise Refusal(403, "Forbidden", f"namespace {namespace} is being terminated")

    def _complete(self, kind: Kind, body: Body) -> None:
        if kind == NAMESPACES:
            name = body["metadata"]["name"]
            body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
            body["status"] = {"phase": "Active"}
        if kind == CRDS:
            try:
                made = of_definition(body)
            except (KeyError, StopIteration, TypeError) as error:
                raise Refusal(422, "Invalid", f"CustomResourceDefinition is invalid: {error}") from None
            self.kinds[made.name] = made
            condition = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": ""}
            body["status"] = {"conditions": [condition], "storedVersions": [made.version]}

    def _update(self, kind: Kind, key: Key, body: Body) -> bytes:
        present = self._bodies[kind.name][key]
        meta = body["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._bodies[kind.name][key] = body
            return self._remove(key)
        if body == present:
            return self._encoded[key]
        if body.get("spec") != present.get("spec"):
            meta["generation"] = present["metadata"].get("generation", 0) + 1
        if kind == CRDS:
            self._complete(kind, body)
        return self._write("MODIFIED", key, body, present)

    def _write(self, kind: str, key: Key, body: Body, before: Body | None) -> bytes:
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)
        encoded = msgspec.json.encode(body)
        self._bodies.setdefault(key.kind, {})[key] = body
        self._encoded[key] = encoded
        self._tell(Happened(self.revision, kind, key, body, before, encoded))
        return encoded

    def _remove(self, key: Key) -> bytes:
        before = self._bodies[key.kind].pop(key)
        del self._encoded[key]
        self.revision += 1
        body = copy.deepcopy(before)
        body["metadata"]["resourceVersion"] = str(self.revision)
        encoded = msgspec.json.encode(body)
        if key.kind == CRDS.name:
            made = of_definition(body)
            self.kinds.pop(made.name, None)
            self._bodies.pop(made.name, None)
        self._tell(Happened(self.revision, "DELETED", key, body, before, encoded))
        return encoded

    def _empty(self, namespace: str) -> None:
        for bodies in list(self._bodies.values()):
            for key in [key for key in bodies if key.namespace == namespace]:
                bodies[key] = copy.deepcopy(bodies[key])
                bodies[key]["metadata"].pop("finalizers", None)
                self._remove(key)

    def _tell(self, happened: Happened) -> None:
        self._history.append(happened)
        if len(self._history) > HISTORY:
            self.compacted = self._history.popleft().revision
        self.changed.notify_all()


def merge(body: Any, change: Any) -> Any:
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    found = body if isinstance(body, dict) else {}
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        elif name == "conditions" and isinstance(found.get(name), list):
            found[name] = _by_type(found[name], value)
        else:
            found[name] = merge(found.get(name), value)
    return found


def _by_type(before: list[Body], change: list[Body]) -> list[Body]:
    """Return conditions as a strategic merge patch makes them."""
    found = {item["type"]: item for item in before}
    for item in change:
        found[item["type"]] = {**found.get(item["type"], {}), **item}
    return list(found.values())


def _merged(kind: Kind, present: Body, body: Body, subresource: str) -> Body:
    """Return what an update makes of an object: fields that are not the writer's stay as they are."""
    body = copy.deepcopy(body)
    if subresource == "status":
        return {**copy.deepcopy(present), "status": body.get("status", {})}
    kept = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion", "namespace", "name")
    meta = {name: value for name, value in body.get("metadata", {}).items() if name not in kept}
    meta.update({name: value for name, value in present["metadata"].items() if name in kept})
    body["metadata"] = meta
    body.update(kind=kind.kind, apiVersion=kind.api_version)
    if kind.status and "status" in present:
        body["status"] = copy.deepcopy(present["status"])
    elif kind.status:
        body.pop("status", None)
    return body


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
