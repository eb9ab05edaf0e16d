"""Which handler answers which path and method, as data: requests are dispatched by it, OpenAPI is made of it.

No resource is named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec

from rest.control import Control
from rest.options import Options
from store.fields import AddressText, ContainerId, InterfaceName, Label, Object, Subdomain

QueryT = TypeVar("QueryT")
BodyT = TypeVar("BodyT")


class Access(Enum):
    """Who may make a call."""

    PUBLIC = "anybody"
    ADMINISTRATION = "an administrator"
    NODE = "an administrator, or the node in the path"
    PORTS = "the node in the path, or whoever has the administrator's token"


class Answerer(Enum):
    """Which replica answers a call, where there are several."""

    ANY = "whichever is asked"
    NODE = "the one that answers for the node in the path"
    DECISIONS = "the one that decides about the whole network"


class Empty(Object, frozen=True):
    """A query or a body without fields."""


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """One call that is well-formed and allowed. `where` has the parameters of the path."""

    control: Control
    options: Options
    where: Mapping[str, str]
    query: QueryT
    body: BodyT


class Text(NamedTuple):
    """Content of an answer that is no JSON object."""

    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returns: a status, and a msgspec Struct, a text or nothing."""

    status: int
    content: Any = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path.

    `answers` has the shape of each success (None: no content; a tuple: one of these), `refusals` the other statuses
    that the resource itself can answer with. The shapes of query and body are those that `handle` declares of its call.
    """

    method: str
    path: str
    summary: str
    handle: Callable[[Call[Any, Any]], Answer]
    access: Access
    answers: Mapping[int, Any]
    refusals: frozenset[int] = frozenset()
    by: Answerer | None = None  # None: what changes something is for DECISIONS, the rest for ANY
    query: type[Any] = field(init=False)
    body: type[Any] = field(init=False)

    def __post_init__(self) -> None:
        declared = get_type_hints(self.handle)["call"]
        query, body = get_args(declared)
        object.__setattr__(self, "query", query)
        object.__setattr__(self, "body", body)

    @property
    def answerer(self) -> Answerer:
        """Which replica answers."""
        if self.by is not None:
            return self.by
        return Answerer.ANY if self.method == "GET" else Answerer.DECISIONS

    @property
    def has_body(self) -> bool:
        """Whether it reads a body."""
        return self.method in BODY_METHODS

    @property
    def name(self) -> str:
        """A name that no other route has."""
        words = re.findall(r"\w+", self.path.removeprefix("/v1")) or ["root"]
        return "_".join([self.method.lower(), *words])


BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})

# What stands for a part of a path in braces.
PARAMETERS: Final[dict[str, Any]] = {
    "node": Subdomain,
    "network": Label,
    "other": Label,
    "project": Label,
    "binding": Label,
    "egress": Label,
    "mirror": Label,
    "external_vtep": Label,
    "pod": Subdomain,
    "service": Label,
    "slice": Subdomain,
    "container": ContainerId,
    "interface": InterfaceName,
    "address": AddressText,
    "file": str,
}


class Found(NamedTuple):
    """What stands at a path: routes by method, and the path's parameters as they were written."""

    routes: Mapping[str, Route]
    where: Mapping[str, str]


class Table:
    """All routes, to be found by path. Raises ValueError when two have the same path and method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            methods = by_path.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"two routes for {route.method} {route.path}")
            methods[route.method] = route
        self._patterns = tuple((_pattern(path), methods) for path, methods in by_path.items())

    def find(self, path: str) -> Found | None:
        """Return what stands at a path, or None."""
        for pattern, methods in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return Found(methods, match.groupdict())
        return None


def parameters(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters."""
    return tuple(re.findall(r"\{(\w+)\}", path))


def check_parameters(where: Mapping[str, str]) -> None:
    """Raise msgspec.ValidationError, with the parameter's name as path, when one is not of its shape."""
    for name, text in where.items():
        try:
            msgspec.convert(text, PARAMETERS[name])
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"{error} - at `{name}`") from None


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", path)
    return re.compile(
        "".join(f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part) for part in parts)
    )
