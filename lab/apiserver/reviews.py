"""Who a token is, and what they may: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import msgspec

from lab.apiserver.kinds import Kind

TOKENS = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
ACCESS = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")


class User(msgspec.Struct, frozen=True):
    """Whom a token stands for, and whom it is for (nobody: the API server itself)."""

    username: str
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}
    audiences: tuple[str, ...] = ()


_OWN = "https://kubernetes.default.svc"
Denied: TypeAlias = Collection[tuple[str, str, str]]  # user, verb, resource


def token(review: dict[str, Any], users: dict[str, User]) -> dict[str, Any]:
    """Return a TokenReview with its status."""
    user = users.get(review["spec"]["token"])
    wanted = review["spec"].get("audiences") or [_OWN]
    shared = [] if user is None else [audience for audience in wanted if audience in (user.audiences or (_OWN,))]
    if not shared:
        user = None
    status: dict[str, Any] = {"authenticated": user is not None}
    if user is not None:
        status["user"] = {"username": user.username, "groups": user.groups, "extra": user.extra}
        status["audiences"] = shared
    return {**review, "status": status}


def access(review: dict[str, Any], denied: Denied) -> dict[str, Any]:
    """Return a SubjectAccessReview with its status: everything is allowed but what is denied."""
    asked = review["spec"].get("resourceAttributes", {})
    who = (review["spec"].get("user", ""), asked.get("verb", ""), asked.get("resource", ""))
    return {**review, "status": {"allowed": who not in denied}}
