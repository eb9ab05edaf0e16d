"""The controller over HTTP(S) or a Unix socket: sends requests and turns every way to fail into one sentence.

Of several replicas of it, one after the other is tried until one can be reached. Knows status codes and problem
documents (RFC 9457), but no command and no layout. httpx is imported when the first request is made: `heddle --help`
does not need it.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from cli.cluster import Cluster
from cli.failures import Away, Misused, Refused, one_line

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 2.0
# How much longer than the server may wait the answer may be under way.
MARGIN_SECONDS = 10.0
PREFIX = "/v1"
OTHER_SERVER = "name the right one with --server or HEDDLE_SERVER"
_NO_REPLICA = "/v1/problems#no-replica"  # nothing was changed; who answers is about to change


class Access(NamedTuple):
    """Where the controller is and how it is talked to. `timeout`: seconds that a change may take to be in force.

    `others` are further replicas; `authorities` are certificates (PEM) that are trusted in place of a file's. With
    `cluster`, all this is yet to be asked of it.
    """

    server: str
    token: str | None = None
    ca_file: Path | None = None
    timeout: float = 10.0
    others: tuple[str, ...] = ()
    authorities: str | None = None
    cluster: Cluster | None = None


class Changed(NamedTuple):
    """The answer to a change: what the server returned (None when nothing), and the HTTP status that it came with."""

    body: Any
    status: int

    @property
    def in_force(self) -> bool:
        """Whether every switch that it touches has it (RFC 9110, section 15.3.3: 202 is "accepted", not done)."""
        return self.status != 202


def path(*segments: str) -> str:
    """Return the path of a resource from its segments, each quoted: names are never taken for structure."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


class Server:
    """A controller. Use it as a context manager; the connection is made with the first request."""

    def __init__(self, access: Access) -> None:
        """Check the URLs. Raises Misused when one is none of http://, https:// and unix:."""
        self._access = access
        self._left = [access._replace(server=url, others=()) for url in access.others]
        self._base, self._socket = _endpoint(access.server)
        self._client: httpx.Client | None = None

    @property
    def url(self) -> str:
        """The server as it was named; of several, the one that was asked last."""
        return self._access.server

    def __enter__(self) -> Server:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._close()

    def get(self, where: str, **query: str | None) -> Any:
        """Return what the server shows at a path; query values that are None are left out.

        Raises Refused for a problem, Away when there is no answer.
        """
        return _body(self._send("GET", where, query=query), self._access.server)

    def health(self, where: str) -> tuple[bool, Any]:
        """Return whether a health resource says yes, and its body or problem document; 503 is an answer here."""
        response = self._send("GET", where, query={}, accept=(503,))
        return response.status_code < 300, _body(response, self._access.server)

    def change(self, method: str, where: str, body: Any = None, **query: str | None) -> Changed:
        """Send a change and wait until it is in force, at most the access's timeout.

        Raises Refused for a problem (nothing was changed), Away when there is no answer.
        """
        return self.order(method, where, body, **query, timeout=f"{self._access.timeout:g}")

    def order(self, method: str, where: str, body: Any = None, **query: str | None) -> Changed:
        """Send a change that concerns no switch, so that there is nothing to wait for; otherwise as `change`."""
        response = self._send(method, where, query=query, body=body)
        return Changed(_body(response, self._access.server), response.status_code)

    def _send(
        self, method: str, where: str, *, query: dict[str, str | None], body: Any = None, accept: tuple[int, ...] = ()
    ) -> httpx.Response:
        parameters = {key: value for key, value in query.items() if value is not None}
        deadline = time.monotonic() + self._access.timeout
        while True:
            response = self._ask(method, where, parameters, body)
            if response.status_code in accept or 200 <= response.status_code < 300:
                return response
            pause = _pause(response)
            if pause is None or time.monotonic() + pause > deadline:
                raise _problem(response, self._access)
            time.sleep(pause)

    def _ask(self, method: str, where: str, parameters: dict[str, str], body: Any) -> httpx.Response:
        """Return the answer of the first replica that can be reached."""
        import httpx

        failures = []
        while True:
            sent = False
            try:
                client = self._connected()
                sent = True
                return client.request(method, self._base + PREFIX + where, params=parameters, json=body)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise Misused(f"server {self.url!r} is no usable URL ({error}); {OTHER_SERVER}") from error
            except httpx.TransportError as error:
                seconds = self._access.timeout + MARGIN_SECONDS if sent else LOOK_SECONDS
                failures.append(_no_answer(error, self.url, method if sent else "GET", seconds))
                # A change that was sent may have been made, whatever became of the answer.
                unsent = not sent or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if not self._left or not (unsent or method == "GET"):
                    raise Away("; ".join(failures)) from error
            self._turn()

    def _connected(self) -> httpx.Client:
        """Return the client; a new one, if there are other replicas to go to, once this one was heard.

        One that is stopped takes connections all the same.
        """
        if self._client is None:
            self._client = self._open()
            if self._left:
                self._client.get(f"{self._base}{PREFIX}/healthz", timeout=LOOK_SECONDS)
        return self._client

    def _turn(self) -> None:
        """Go on to the next replica."""
        self._close()
        self._access = self._left.pop(0)
        self._base, self._socket = _endpoint(self._access.server)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> httpx.Client:
        import httpx

        context = _tls(self._access, secure=self._base.startswith("https:"))
        headers = {"Accept": "application/json, application/problem+json"}
        if self._access.token is not None:
            headers["Authorization"] = f"Bearer {self._access.token}"
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self._socket, verify=context),
            headers=headers,
            timeout=httpx.Timeout(self._access.timeout + MARGIN_SECONDS, connect=CONNECT_SECONDS),
            # The controller is talked to directly: no proxy, and no password from ~/.netrc in place of the token.
            trust_env=False,
        )


class Planned(Exception):
    """Ends a command whose change was only planned; `body` is the plan."""

    def __init__(self, body: Any) -> None:
        super().__init__("planned")
        self.body = body


class Planner(Server):
    """A controller that is asked what a change would do, in place of the change."""

    def change(self, method: str, where: str, body: Any = None, **query: str | None) -> Changed:
        """Ask for the plan of a change. Raises Planned with it; Refused and Away as ever."""
        raise Planned(self.order(method, where, body, **query, plan="true").body)


def _endpoint(server: str) -> tuple[str, str | None]:
    """Return the base URL and the path of the Unix socket, if it is one."""
    scheme, _, rest = server.partition(":")
    if scheme == "unix":
        socket = "/" + rest.lstrip("/") if rest.startswith("/") else rest
        if not socket:
            raise Misused(f"server {server!r} names no socket; write unix:/path/of/the/socket")
        return "http://localhost", socket
    if scheme not in ("http", "https"):
        raise Misused(f"server {server!r} begins with none of http://, https:// and unix:; {OTHER_SERVER}")
    try:
        parts = urlsplit(server)
        usable = bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable:
        raise Misused(f"server {server!r} is no usable URL; write it as http://HOST:PORT")
    return server.rstrip("/"), None


def _tls(access: Access, *, secure: bool) -> ssl.SSLContext:
    if not secure:
        # Nothing is encrypted; an empty context (which trusts nobody) saves reading the certificates of the system.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=access.ca_file, cadata=access.authorities)
    except (OSError, ssl.SSLError) as error:
        raise Misused(
            f"CA file {access.ca_file}: {error.strerror or error}; it must hold certificates in PEM"
        ) from error


def _no_answer(error: httpx.TransportError, server: str, method: str, seconds: float) -> str:
    """Say what went wrong before there was an answer, and what to do."""
    import httpx

    cause = one_line(str(error)) or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return (
            f"no connection to {server} within {CONNECT_SECONDS:g} s; check that the address can be reached from here"
        )
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return f"the certificate of {server} is not trusted ({cause}); name the authority that signed it with --ca-file"
    if "[SSL" in cause:
        return f"no TLS connection to {server} ({cause}); check whether it is http or https"
    if isinstance(error, httpx.ConnectError):
        return f"cannot connect to {server} ({cause}); start the controller there, or {OTHER_SERVER}"
    unknown = "" if method == "GET" else "; the change may have been made all the same, look before you repeat it"
    if isinstance(error, httpx.TimeoutException):
        return f"{server} gave no answer within {seconds:g} s; see its log{unknown}"
    return (
        f"{server} broke off without an answer ({cause}); see its log, and check whether it is http or https{unknown}"
    )


def _pause(response: httpx.Response) -> float | None:
    """Return after how many seconds it is worth asking again: when another replica takes over; None for never."""
    if response.status_code != 503:
        return None
    try:
        document = response.json()
    except ValueError:
        return None
    after = response.headers.get("Retry-After", "1")
    taken_over = isinstance(document, dict) and document.get("type") == _NO_REPLICA
    return float(after) if taken_over and after.isdigit() else None


def _problem(response: httpx.Response, access: Access) -> Refused | Away:
    """Return the failure that an answer of 300 or above stands for."""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not (document.get("detail") or document.get("title")):
        return Away(
            f"{access.server} answered {status} to {response.request.method} {response.request.url.path}, "
            f"and not as a Heddle controller does; {OTHER_SERVER}"
        )
    text = one_line(str(document.get("detail") or f"{document['title']} ({status})"))
    if response.status_code == 401 and "--token" not in text:
        text += "; give the administrator's token with --token-file or HEDDLE_TOKEN"
    return Refused(text)


def _body(response: httpx.Response, server: str) -> Any:
    """Return the JSON of an answer; None when it has no body."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise Away(
            f"{server} answered {response.request.method} {response.request.url.path} with something "
            f"that is not JSON; is it a Heddle controller? If not, {OTHER_SERVER}"
        ) from error
