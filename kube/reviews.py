"""Who calls, and what they may, by the API server's word: TokenReview, SubjectAccessReview. Answers are kept briefly.

A token may be made for us alone (`AUDIENCE`): the API server does not take it, so who is sent it can do nothing else
with it. Tokens for the API server itself are known too.

A node's own part runs as a pod of the DaemonSet, and its ServiceAccount's token says on which node: in `extra` from
Kubernetes 1.30 on; before, by the pod that it is bound to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from kube.client import Client, Resource
from kube.errors import ApiError, NotFound, Unreachable
from kube.objects import PODS, Pod
from kube.resources import GROUP, NETWORKS

TOKEN_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "tokenreviews")
ACCESS_REVIEWS: Final = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
NODE_ACCOUNT: Final = "heddle-node"
AUDIENCE: Final = "heddle"
_NODE: Final = "authentication.kubernetes.io/node-name"
_POD: Final = "authentication.kubernetes.io/pod-name"
_KEPT_SECONDS: Final = 10.0
_REFUSED_SECONDS: Final = 2.0  # that a "no" is kept: a right that was given just now counts soon
_MOST: Final = 4096


class Person(NamedTuple):
    """Whom a token stands for; `node`, if it is the account of a node's own part."""

    username: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...]
    node: str | None


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class _TokenStatus(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] = ()


class _TokenReview(msgspec.Struct, frozen=True):
    status: _TokenStatus = _TokenStatus()


class _AccessStatus(msgspec.Struct, frozen=True):
    allowed: bool = False


class _AccessReview(msgspec.Struct, frozen=True):
    status: _AccessStatus = _AccessStatus()


class Reviews:
    """Asks the API server; `namespace` is that of the node's account, `audiences` whom tokens may be for besides it.

    Raises Unreachable when it does not say, for whatever reason.
    """

    def __init__(self, client: Client, namespace: str, audiences: tuple[str, ...] = (AUDIENCE,)) -> None:
        self._client = client
        self._audiences = audiences
        self._account = f"system:serviceaccount:{namespace}:{NODE_ACCOUNT}"
        self._namespace = namespace
        # Until when an answer is good, and the answer. Tokens are kept as their digests.
        self._people: dict[str, tuple[float, Any]] = {}
        self._rights: dict[str, tuple[float, Any]] = {}

    def review(self, token: str) -> Person | None:
        """Return whom a token stands for, None for nobody."""
        key = sha256(token.encode()).hexdigest()
        found: Person | None = _kept(self._people, key, lambda: self._review(token))
        return found

    def may(self, person: Person, verb: str) -> bool:
        """Whether somebody may `get` or `update` networks, and with them everything here."""
        allowed: bool = _kept(self._rights, f"{verb} {person}", lambda: self._may(person, verb))
        return allowed

    def _review(self, token: str) -> Person | None:
        user = self._user(token, self._audiences) if self._audiences else None
        user = user or self._user(token, ())
        if user is None:
            return None
        node = self._node(user.extra) if user.username == self._account else None
        return Person(user.username, user.groups, tuple(sorted(user.extra.items())), node)

    def _user(self, token: str, audiences: tuple[str, ...]) -> _User | None:
        """Return the user that a token stands for, if it is for one of these; without any, for the API server."""
        spec = {"token": token, **({"audiences": audiences} if audiences else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status = msgspec.json.decode(self._client.create(TOKEN_REVIEWS, body), type=_TokenReview).status
        # Who does not know of audiences does not say for which a token is good (v1.TokenReviewStatus, audiences).
        meant = not audiences or bool(set(audiences) & set(status.audiences))
        return status.user if status.authenticated and meant else None

    def _node(self, extra: Mapping[str, tuple[str, ...]]) -> str | None:
        if extra.get(_NODE):
            return extra[_NODE][0]
        if not extra.get(_POD):
            return None
        try:
            found = msgspec.json.decode(self._client.get(PODS, extra[_POD][0], self._namespace), type=Pod)
        except NotFound:
            return None
        return found.spec.node_name or None

    def _may(self, person: Person, verb: str) -> bool:
        attributes = {"verb": verb, "group": GROUP, "resource": NETWORKS.plural}
        spec: dict[str, Any] = {
            "user": person.username,
            "groups": person.groups,
            "extra": dict(person.extra),
            "resourceAttributes": attributes,
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return msgspec.json.decode(self._client.create(ACCESS_REVIEWS, body), type=_AccessReview).status.allowed


def _kept(known: dict[str, tuple[float, Any]], key: str, ask: Callable[[], Any]) -> Any:
    """Return an answer that is not old, or a new one. Raises Unreachable."""
    now = time.monotonic()
    found = known.get(key)
    if found is not None and now < found[0]:
        return found[1]
    try:
        answer = ask()
    except msgspec.DecodeError as error:
        raise Unreachable("the API server", f"its answer is none ({error})", "look at its log") from None
    except ApiError as error:
        raise Unreachable(error.subject, error.cause, error.remedy, error.status) from None
    if len(known) >= _MOST:
        known.clear()
    known[key] = (now + (_KEPT_SECONDS if answer else _REFUSED_SECONDS), answer)
    return answer
