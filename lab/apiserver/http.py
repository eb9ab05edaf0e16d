"""The double's HTTP: paths and verbs of Kubernetes' API, watches as lines of chunked answers, discovery for kubectl.

POST /_faults breaks it on purpose; see `Faults`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from lab.apiserver import reviews
from lab.apiserver.discovery import discovery
from lab.apiserver.faults import Faults
from lab.apiserver.kinds import Kind, KindName
from lab.apiserver.objects import Body, Chosen, Happened, Objects, Refusal
from lab.apiserver.seeding import seed
from lab.apiserver.table import table, wants_table

VERSION: Final = {"major": "1", "minor": "34", "gitVersion": "v1.34.0+double", "platform": "linux/amd64"}
BOOKMARK_SECONDS: Final = 2.0
_KEPT_LISTS: Final = 64


class ApiDouble(ThreadingHTTPServer):
    """The server; `objects` is what it serves. Port 0: any free one."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], tokens: dict[str, reviews.User]) -> None:
        super().__init__(address, Handler)
        self.objects = Objects()
        self.faults = Faults(self.objects)
        self.tokens = tokens
        self.lists: dict[str, tuple[int, list[bytes]]] = {}  # what is left of lists in pages, by token

    def server_bind(self) -> None:
        """Bind without asking DNS for the address's name, as HTTPServer does."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients go away all the time."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ApiDouble
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _serve(self) -> None:
        split = urlsplit(self.path)
        self._query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length) if length else b""
        try:
            self._answer_path([unquote(part) for part in split.path.strip("/").split("/")], content)
        except Refusal as refusal:
            self._refuse(refusal)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            self._refuse(Refusal(400, "BadRequest", f"{type(error).__name__}: {error}"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    # --- what is asked -------------------------------------------------------------------------

    def _answer_path(self, parts: list[str], content: bytes) -> None:
        objects = self.server.objects
        if parts != ["_faults"]:
            self.server.faults.check_away()
        match parts:
            case ["_faults"]:
                self._send(200, self.server.faults.set(msgspec.json.decode(content)))
            case ["_seed"]:
                self._send(200, seed(self.server.objects, msgspec.json.decode(content)))
            case ["version"]:
                self._send(200, VERSION)
            case ["healthz" | "readyz" | "livez"]:
                self._send_bytes(200, b"ok", "text/plain")
            case ["apis", "authentication.k8s.io", "v1", "tokenreviews"]:
                self.server.faults.check("create", reviews.TOKENS)
                self._send(201, reviews.token(msgspec.json.decode(content), self.server.tokens))
            case ["apis", "authorization.k8s.io", "v1", "subjectaccessreviews"]:
                self.server.faults.check("create", reviews.ACCESS)
                self._send(201, reviews.access(msgspec.json.decode(content), self.server.faults.denied))
            case _ if (found := discovery(parts, objects.kinds.values())) is not None:
                self._send(200, found)
            case _:
                self._answer_objects(parts, content)

    def _answer_objects(self, parts: list[str], content: bytes) -> None:
        kind, namespace, name, subresource = self._resolve(parts)
        verb = self._verb(name)
        self.server.faults.check(verb, kind)
        objects = self.server.objects
        match verb:
            case "get":
                self._show(kind, objects.get(kind, namespace, name))
            case "list":
                self._list(kind, namespace)
            case "watch":
                self._watch(kind, namespace)
            case "create":
                self._send_bytes(201, objects.create(kind, namespace, msgspec.json.decode(content)))
            case "update":
                body = msgspec.json.decode(content)
                self._send_bytes(200, objects.replace(kind, namespace, name, body, subresource))
            case "patch":
                self._send_bytes(200, self._patched(kind, namespace, name, subresource, content))
            case "delete":
                given = msgspec.json.decode(content) if content else {}
                preconditions = given.get("preconditions") or {}
                self._send_bytes(200, objects.delete(kind, namespace, name, preconditions))
            case _:
                raise Refusal(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )

    def _resolve(self, parts: list[str]) -> tuple[Kind, str, str, str]:
        match parts:
            case ["api", "v1", *rest]:
                group = ""
            case ["apis", group, _version, *rest]:
                pass
            case _:
                raise Refusal(404, "NotFound", "the server could not find the requested resource")
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and KindName(group, rest[2]) in self.server.objects.kinds:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "", "")[:3]
        kind = self.server.objects.kinds.get(KindName(group, plural))
        if kind is None or (subresource == "status" and not kind.status):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return kind, namespace, name, subresource

    def _verb(self, name: str) -> str:
        if self.command == "GET":
            watched = self._query.get("watch") in ("1", "true")
            return "watch" if watched else "get" if name else "list"
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[self.command]

    def _patched(self, kind: Kind, namespace: str, name: str, subresource: str, content: bytes) -> bytes:
        media = self.headers.get("Content-Type", "")
        if "json-patch" in media or "apply-patch" in media:
            raise Refusal(415, "UnsupportedMediaType", "this double knows merge patches only")
        return self.server.objects.patch(kind, namespace, name, msgspec.json.decode(content), subresource)

    def _show(self, kind: Kind, encoded: bytes) -> None:
        if wants_table(self.headers):
            self._send(200, table(kind, [encoded], ""))
        else:
            self._send_bytes(200, encoded)

    def _list(self, kind: Kind, namespace: str) -> None:
        given = self._query.get("continue", "")
        if given:
            kept = self.server.lists.pop(given, None)
            if kept is None:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
            revision, items = kept
        else:
            revision, items = self.server.objects.all(kind, namespace, self._chosen())
        most = int(self._query.get("limit") or 0) or len(items)
        items, left = items[:most], items[most:]
        meta: Body = {"resourceVersion": str(revision)}
        if left:
            meta["continue"] = self._keep(revision, left)
            meta["remainingItemCount"] = len(left)
        if wants_table(self.headers):
            self._send(200, table(kind, items, str(revision)))
            return
        head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta}
        self._send_bytes(200, msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}")

    def _keep(self, revision: int, left: list[bytes]) -> str:
        lists = self.server.lists
        token = base64.urlsafe_b64encode(f"{revision}:{len(left)}:{time.monotonic_ns()}".encode()).decode()
        lists[token] = (revision, left)
        for old in list(lists)[:-_KEPT_LISTS]:
            lists.pop(old, None)
        return token

    def _chosen(self) -> Chosen:
        tests = [_labels(self._query.get("labelSelector", "")), _fields(self._query.get("fieldSelector", ""))]
        return lambda body: all(test(body) for test in tests)

    # --- watches -------------------------------------------------------------------------------

    def _watch(self, kind: Kind, namespace: str) -> None:
        objects, chosen = self.server.objects, self._chosen()
        given = self._query.get("resourceVersion", "")
        with objects.changed:
            if given in ("", "0"):
                revision, items = objects.all(kind, namespace, chosen)
            else:
                revision, items = int(given), []
        self._begin_stream()
        for item in items:
            self._line("ADDED", item)
        try:
            self._follow(kind, namespace, chosen, revision)
        except Refusal as refusal:
            self._line("ERROR", msgspec.json.encode(_status(refusal)))
        self._end_stream()

    def _follow(self, kind: Kind, namespace: str, chosen: Chosen, revision: int) -> None:
        objects, faults = self.server.objects, self.server.faults
        until = time.monotonic() + float(self._query.get("timeoutSeconds") or 3600)
        bookmarks = self._query.get("allowWatchBookmarks") == "true"
        generation = faults.watches
        told = time.monotonic()
        while time.monotonic() < until and faults.watches == generation:
            with objects.changed:
                if objects.revision == revision:
                    objects.changed.wait(min(0.5, max(0.0, until - time.monotonic())))
                if faults.watches != generation:
                    break
                happened = list(objects.since(revision))
                revision = objects.revision
            for each in happened:
                for line in _told(each, kind, namespace, chosen):
                    self._line(*line)
            if bookmarks and time.monotonic() - told > BOOKMARK_SECONDS:
                told = time.monotonic()
                self._line("BOOKMARK", msgspec.json.encode(_bookmark(kind, revision)))
        if faults.watches != generation:
            self.close_connection = True
            raise ConnectionAbortedError

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _line(self, kind: str, encoded: bytes) -> None:
        line = b'{"type":"' + kind.encode() + b'","object":' + encoded + b"}\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    # --- answers -------------------------------------------------------------------------------

    def _send(self, status: int, body: Any) -> None:
        self._send_bytes(status, msgspec.json.encode(body))

    def _send_bytes(self, status: int, content: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, refusal: Refusal) -> None:
        content = msgspec.json.encode(_status(refusal))
        self.send_response(refusal.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if refusal.status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)


def _told(happened: Happened, kind: Kind, namespace: str, chosen: Chosen) -> Iterable[tuple[str, bytes]]:
    """Return what a watch with this selection is told of a change."""
    key = happened.key
    if key.kind != kind.name or namespace not in ("", key.namespace):
        return
    was, now = happened.before is not None and chosen(happened.before), chosen(happened.after)
    if happened.type == "DELETED":
        if was:
            yield "DELETED", happened.encoded
    elif now:
        yield "MODIFIED" if was else "ADDED", happened.encoded
    elif was:
        yield "DELETED", happened.encoded


def _bookmark(kind: Kind, revision: int) -> Body:
    meta = {"resourceVersion": str(revision), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}


def _status(refusal: Refusal) -> Body:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(refusal),
        "reason": refusal.reason,
        "code": refusal.status,
    }


def _labels(selector: str) -> Chosen:
    wanted = [part.strip() for part in selector.split(",") if part.strip()]

    def fits(body: Body) -> bool:
        labels = body["metadata"].get("labels") or {}
        return all(_fits(labels, one) for one in wanted)

    return fits


def _fits(labels: dict[str, str], wanted: str) -> bool:
    if "!=" in wanted:
        name, _, value = wanted.partition("!=")
        return labels.get(name) != value
    if "=" in wanted:
        name, _, value = wanted.replace("==", "=").partition("=")
        return labels.get(name) == value
    return wanted.removeprefix("!") in labels if not wanted.startswith("!") else wanted[1:] not in labels


def _fields(selector: str) -> Chosen:
    wanted = [part.partition("=") for part in selector.replace("==", "=").split(",") if part]
    readers: list[tuple[Callable[[Body], Any], str]] = [(_reader(name), value) for name, _, value in wanted]
    return lambda body: all(read(body) == value for read, value in readers)


def _reader(path: str) -> Callable[[Body], Any]:
    def read(body: Any) -> Any:
        for part in path.split("."):
            body = body.get(part, "") if isinstance(body, dict) else ""
        return body

    return read
