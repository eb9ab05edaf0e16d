"""Keeps up with the objects of one kind: lists them by pages, then watches, for ever. What they mean is the sink's.

    begin ──list, page by page──▶ complete ──watch from that resourceVersion──▶ put, remove, bookmark
      ▲                                          │ dropped: again from the last version
      └──────────── 410 Gone, or what is no watch ┘

Rules of the API (API concepts, "Efficient detection of changes"): an old version is answered by 410, as HTTP status or
as an event; a bookmark tells a version and nothing else; a list in pages is one moment's, unless its token expires
(410), and then it is begun anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from kube.client import Client, Resource
from kube.errors import ApiError, Gone, Invalid
from kube.objects import Metadata, Named

PAGE: Final = 500
WATCH_SECONDS: Final = (300, 600)  # one is chosen by chance, so that not all watches end at once
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 30.0
_AT_ONCE: Final = 0.004  # seconds of decoding before others may run

Object = TypeVar("Object", bound=Named)
ObjectIn = TypeVar("ObjectIn", bound=Named, contravariant=True)


class Sink(Protocol[ObjectIn]):
    """Who is told. `begin`…`complete` enclose what exists; what was known and did not come meanwhile is gone."""

    def begin(self) -> None:
        """Everything is listed anew."""
        ...

    def put(self, found: ObjectIn) -> None:
        """An object exists as it is here; of one that was told already, this is the newer version or the same."""
        ...

    def remove(self, found: ObjectIn) -> None:
        """An object exists no more; as it was last, at the version at which it went."""
        ...

    def complete(self, resource_version: str) -> None:
        """All that exists was told."""
        ...

    def unreadable(self, found: Metadata, why: str) -> None:
        """An object exists and is not what it should be; what was known of it stays."""
        ...

    def trouble(self, why: str) -> None:
        """Something keeps this from going on, for now; empty: no more."""
        ...


class _PageMetadata(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion"}):
    resource_version: str = ""
    more: str = msgspec.field(default="", name="continue")
    left: int = msgspec.field(default=0, name="remainingItemCount")


class _Page(msgspec.Struct, frozen=True):
    metadata: _PageMetadata
    items: tuple[msgspec.Raw, ...] | None = ()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class Reflector(Generic[Object]):
    """One kind's list and watch. `sleep(seconds)` waits; `pause()` lets others run in a long stretch of work."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        shape: type[Object],
        sink: Sink[Object],
        sleep: Callable[[float], object],
    ) -> None:
        self.resource = resource
        self._client = client
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)
        self._sink = sink
        self._sleep = sleep
        self._version = ""
        self._delay = FIRST_DELAY
        self._troubled = True  # until the first list is there
        self._busy_since = time.monotonic()

    def run(self) -> None:
        """List and watch, for ever."""
        while True:
            try:
                self.step()
                self._delay = FIRST_DELAY
            except Gone:
                self._version = ""
                self._back_off(None)
            except ApiError as error:
                self._troubled = True
                self._sink.trouble(str(error))
                self._back_off(error.retry_after)

    def forget(self) -> None:
        """List anew at the next step."""
        self._version = ""

    def step(self) -> None:
        """List if that is needed, then watch until the watch ends. Raises ApiError."""
        if not self._version:
            self._list()
        self._watch()

    def _well(self) -> None:
        if self._troubled:
            self._troubled = False
            self._sink.trouble("")

    def _back_off(self, at_least: float | None) -> None:
        """Wait by chance up to a time that doubles: all replicas, and all kinds, would come at once otherwise."""
        chance = random.uniform(0, self._delay)
        self._delay = min(2 * self._delay, LONGEST_DELAY)
        self._sleep(max(chance, at_least or 0.0))

    def _list(self) -> None:
        self._sink.begin()
        query: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = _decoded(self._client.list(self.resource, query), self.resource)
            for item in page.items or ():
                self._take(item)
            if not page.metadata.more:
                break
            query["continue"] = page.metadata.more
        self._sink.complete(page.metadata.resource_version)
        self._version = page.metadata.resource_version
        self._well()

    def _watch(self) -> None:
        query: dict[str, str | int] = {
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_SECONDS),
        }
        for line in self._client.watch(self.resource, query):
            self._delay = FIRST_DELAY
            self._hear(line)
            self._well()

    def _hear(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.DecodeError as error:
            raise Invalid(
                self.resource.full_name, f"the watch told what is no event ({error})", "listed anew"
            ) from None
        match event.type:
            case "ADDED" | "MODIFIED":
                self._take(event.object)
            case "DELETED":
                self._take(event.object, gone=True)
            case "BOOKMARK":
                self._version = _metadata(event.object).resource_version
            case _:
                self._refused(event.object)

    def _refused(self, said: msgspec.Raw) -> None:
        refusal = msgspec.json.decode(said, type=_Refusal)
        self._version = ""
        kind = Gone if refusal.code == 410 else Invalid
        raise kind(self.resource.full_name, f"the watch ended: {refusal.message}", "listed anew", refusal.code)

    def _take(self, item: msgspec.Raw, *, gone: bool = False) -> None:
        self._rest_a_little()
        try:
            found = self._decoder.decode(item)
        except msgspec.DecodeError as error:
            self._sink.unreadable(_metadata(item), str(error))
            return
        if gone:
            self._sink.remove(found)
        else:
            self._sink.put(found)
        if self._version:  # not while listing: the pages are one moment's, whose version comes with them
            self._version = found.metadata.resource_version

    def _rest_a_little(self) -> None:
        """Let others run when this has gone on for a while."""
        if time.monotonic() - self._busy_since > _AT_ONCE:
            self._sleep(0)
            self._busy_since = time.monotonic()


def _decoded(content: bytes, resource: Resource) -> _Page:
    try:
        return msgspec.json.decode(content, type=_Page)
    except msgspec.DecodeError as error:
        raise Invalid(resource.full_name, f"the list cannot be read ({error})", "is this an API server?") from None


def _metadata(item: msgspec.Raw) -> Metadata:
    """Return the metadata of an object whose other fields may be wrong."""
    try:
        return msgspec.json.decode(item, type=Named).metadata
    except msgspec.DecodeError:
        return Metadata()
