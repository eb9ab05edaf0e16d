"""The web page that shows the topology, and its files. They are our own, and load nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from rest.problems import NO_RESOURCE, Problem
from rest.routing import Access, Answer, Call, Empty, Route, Text

_MEDIA_TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "draw.js": "text/javascript; charset=utf-8",
    "layout.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Cache-Control", "no-cache"),
)


def index(call: Call[Empty, Empty]) -> Answer:
    """The page itself."""
    return _file("index.html")


def file(call: Call[Empty, Empty]) -> Answer:
    """A file of the page."""
    return _file(call.where["file"])


def _file(name: str) -> Answer:
    if name not in _MEDIA_TYPES:
        raise Problem(NO_RESOURCE, f'file "{name}"', "there is none", "open / in a browser")
    return Answer(200, Text(_MEDIA_TYPES[name], _read(name)), _HEADERS)


@cache
def _read(name: str) -> bytes:
    return files("rest").joinpath("static", name).read_bytes()


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/", "The web page", index, Access.PUBLIC, answers={200: Text}),
    Route("GET", "/static/{file}", "A file of it", file, Access.PUBLIC, answers={200: Text}),
)
