"""Who may make a call: bearer tokens (RFC 6750). Tokens are compared by their SHA-256, in constant time.

A token that is given counts, also where none is needed: a node's token never does more than the node may.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

from webob import Request

from rest.control import Control
from rest.options import Options, Reviewer
from rest.problems import FORBIDDEN, NOT_READY, UNAUTHENTICATED, Problem
from rest.routing import Access

ADMINISTRATOR: Final = "administrator"
NOBODY: Final = "nobody"

_CHALLENGE: Final = ("WWW-Authenticate", 'Bearer realm="heddle"')
_WRONG: Final = ("WWW-Authenticate", 'Bearer realm="heddle", error="invalid_token"')
_HOW_ADMIN: Final = "give the administrator's token (heddle --token-file FILE, or Authorization: Bearer TOKEN)"


class Authority:
    """Decides for one application."""

    def __init__(self, control: Control, options: Options) -> None:
        self._control = control
        self._options = options

    def check(self, access: Access, where: Mapping[str, str], request: Request) -> str:
        """Return who makes the call: `administrator`, `node NAME` or `nobody`. Raises Problem when they may not."""
        if access is Access.PUBLIC:
            return NOBODY
        token = _bearer(request)
        if token is None:
            return self._without_token(access, where, request)
        if self._is_admin(token):
            return ADMINISTRATOR
        node = self._control.node_of_token(token)
        if node is None and self._options.reviewer is not None:
            return self._reviewed(self._options.reviewer, token, (access, where, request))
        if node is None:
            remedy = f"{_HOW_ADMIN}, or the one that heddle create-node printed"
            raise Problem(UNAUTHENTICATED, "token", "is not one that is known", remedy).sending(_WRONG)
        _check_node(node, access, where)
        return f"node {node}"

    def _reviewed(self, reviewer: Reviewer, token: str, call: tuple[Access, Mapping[str, str], Request]) -> str:
        """Return who makes a call with a token that somebody else knows. Raises Problem when they may not."""
        access, where, request = call
        try:
            person = reviewer.review(token)
            if person is None:
                remedy = f"{_HOW_ADMIN}, a node's, or one that the API server knows"
                raise Problem(UNAUTHENTICATED, "token", "is not one that is known", remedy).sending(_WRONG)
            if person.node is not None:
                _check_node(person.node, access, where)
                return f"node {person.node}"
            verb = "get" if request.method in ("GET", "HEAD") else "update"
            if not reviewer.may(person, verb):
                cause = f"may not {verb} networks.heddle.sdn"
                raise Problem(FORBIDDEN, f"user {person.username}", cause, "ask for that right (RBAC)")
        except ConnectionError as error:
            remedy = "ask again; the administrator's and the nodes' own tokens need no API server"
            problem = Problem(NOT_READY, "token", f"cannot be reviewed now: {error}", remedy)
            raise problem.sending(("Retry-After", "2")) from None
        return f"user {person.username}"

    def _is_admin(self, token: str) -> bool:
        digest = sha256(token.encode()).hexdigest()
        expected = self._options.admin_sha256
        return expected is not None and hmac.compare_digest(digest, expected)

    def _without_token(self, access: Access, where: Mapping[str, str], request: Request) -> str:
        if access is Access.PORTS:
            subject, remedy = f'node "{where["node"]}"', "give the token that heddle create-node printed for it"
            raise Problem(UNAUTHENTICATED, subject, "reports of its ports need its token", remedy).sending(_CHALLENGE)
        if self._options.admin_sha256 is not None:
            raise Problem(UNAUTHENTICATED, "token", "is missing", _HOW_ADMIN).sending(_CHALLENGE)
        if not self._options.open_administration:
            remedy = "start the controller with --heddle-admin-token-file, or ask at its loopback or Unix socket"
            raise Problem(FORBIDDEN, "administration", "no administrator's token is set up here", remedy)
        _check_host(request)
        return ADMINISTRATOR


def _bearer(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        remedy = "write Authorization: Bearer TOKEN"
        raise Problem(UNAUTHENTICATED, "Authorization", "is not a bearer token", remedy).sending(_CHALLENGE)
    # WSGI (PEP 3333) gives the header's bytes as Latin-1.
    return token.strip().encode("latin-1").decode("utf-8", "replace")


def _check_node(node: str, access: Access, where: Mapping[str, str]) -> None:
    if access is Access.ADMINISTRATION:
        raise Problem(FORBIDDEN, f'token of node "{node}"', "this call is for administrators only", _HOW_ADMIN)
    other = where["node"]
    if node != other:
        cause, remedy = f'it may not act for node "{other}"', f'give the token of node "{other}"'
        raise Problem(FORBIDDEN, f'token of node "{node}"', cause, remedy)


def _check_host(request: Request) -> None:
    """Refuse somebody else's web page whose name was made to resolve to this host (DNS rebinding): it has dots."""
    host = (request.host or "").rpartition("@")[2]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]")
    if "." not in name or name.endswith(".localhost"):
        return
    try:
        ip_address(name)
    except ValueError:
        cause = f'without a token it is not answered under the name "{name}"'
        remedy = "use its address or localhost, or start the controller with --heddle-admin-token-file"
        raise Problem(FORBIDDEN, "administration", cause, remedy) from None
