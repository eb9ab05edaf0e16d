"""HTTP/1.1 to the controller: one connection, kept alive; of several controllers the next is asked when one is silent.

Hand-written because `http.client` costs a plugin start 25 ms; `ssl` is imported only for https. What is asked, and
what the answers mean to CNI, is elsewhere. `Connection: keep-alive`, lengths and chunks as in RFC 9112.
"""

from __future__ import annotations

import _socket
from time import monotonic

from cni_shim import jsontext
from cni_shim.errors import IO_FAILURE, REFUSED, TRY_AGAIN, RefusedError, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

LARGEST_ANSWER = 8 << 20
# Seconds. A controller that is down does not refuse, and one that is stopped accepts and says nothing: where there are
# others to ask, neither may cost much. An answer may take a while all the same, as it can come from another controller.
CONNECT_PATIENCE = 2.0
PATIENCE_OF_SEVERAL = 6.0
_SEPARATOR = b"\r\n\r\n"


class _LostError(Exception):
    """The connection broke, or what came is not HTTP."""


class _SilentError(_LostError):
    """No answer came in time: who is connected may be stopped."""


class InterruptedCallError(ShimError):
    """Another thread has ended the call."""


class Controller:
    """Calls to the first controller of `urls` that answers, with a bearer `token`; who answered last is asked first.

    `urls`: `http://HOST[:PORT]`, `https://…` or `unix:/path`; `ca_file`: the authority that signed an https
    controller's certificate (None: the system's); `timeout`: seconds for connecting, and for an answer beyond the
    time a call itself asks to wait. `urls` and `token` may change between calls.
    """

    def __init__(self, urls: Sequence[str], token: str, ca_file: str | None = None, timeout: float = 10.0) -> None:
        self.urls = tuple(urls)
        self.token = token
        self.url = ""  # of who answered last
        self._ca_file = ca_file
        self._timeout = timeout
        self._connection: Any = None
        self._host = ""
        self._interrupted = False

    def call(self, method: str, path: str, body: Any = None, wait: float = 0.0) -> tuple[int, Any]:
        """The status and the decoded answer (None when empty). `wait`: seconds the controller may take by itself.

        RefusedError for a 4xx or 5xx answer; ShimError TRY_AGAIN when no controller answers.
        """
        urls = list(self.urls)
        refused: RefusedError | None = None
        try:
            if self._connection is not None and self.url in urls:
                urls.insert(0, urls.pop(urls.index(self.url)))
                try:
                    return self._exchange(method, path, body, self._deadline(wait))
                except _SilentError:
                    urls.append(urls.pop(0))
                except _LostError:
                    pass  # the controller may have closed an idle connection: ask once more on a new one
                except RefusedError as error:
                    refused = _where_others_may_do_better(error, len(urls))
                    urls.append(urls.pop(0))
            self.close()
            return self._ask_in_turn(urls, (method, path, body, wait), refused)
        except BaseException as error:
            if not isinstance(error, RefusedError):
                self.close()  # an answer may still be on its way
            raise

    def _ask_in_turn(
        self, urls: Sequence[str], what: tuple[str, str, Any, float], refused: RefusedError | None
    ) -> tuple[int, Any]:
        """Ask one after the other; raise `refused`, or the first refusal, when none does better."""
        method, path, body, wait = what
        reasons = []
        for url in urls[: -1 if refused is not None else None]:
            try:
                if not self._interrupted:
                    self._connect(url)
                    self.url = url
                    return self._exchange(method, path, body, self._deadline(wait))
            except (_LostError, OSError) as error:
                self.close()
                reasons.append(f"{url}: {error}")
            except RefusedError as error:
                other = _where_others_may_do_better(error, len(urls))
                refused = refused or other
                self.close()
            if self._interrupted:
                self._interrupted = False
                raise InterruptedCallError(TRY_AGAIN, f"{method} {path} was interrupted")
        if refused is not None:
            raise refused
        raise ShimError(TRY_AGAIN, "no controller answers", "; ".join(reasons) or "none is configured")

    def _deadline(self, wait: float) -> float:
        patience = self._timeout if len(self.urls) == 1 else min(self._timeout, PATIENCE_OF_SEVERAL)
        return monotonic() + patience + wait

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def is_connected(self) -> bool:
        """Whether who answered last is there still: a connection on which nothing is awaited says so by its end."""
        import select

        if self._connection is None:
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def interrupt(self) -> None:
        """End a call that another thread is waiting in."""
        self._interrupted = True
        connection = self._connection
        if connection is not None:
            try:
                connection.shutdown(_socket.SHUT_RDWR)
            except OSError:
                return  # it was closed meanwhile

    def _connect(self, url: str) -> None:
        patience = min(self._timeout, CONNECT_PATIENCE)
        if url.startswith("unix:"):
            self._host = "localhost"
            self._connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self._connection.settimeout(patience)
            self._connection.connect(url.removeprefix("unix:"))
            return
        scheme, _, rest = url.partition("://")
        self._host = rest.partition("/")[0]
        host, port = split_host_port(self._host, 443 if scheme == "https" else 80)
        # As bytes: Python would load its IDNA codec for text, 10 ms.
        found = _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(found, 1):
            self._connection = _socket.socket(family, kind, protocol)
            self._connection.settimeout(patience)
            self._connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            try:
                self._connection.connect(address)
                break
            except OSError:
                self._connection.close()
                if number == len(found):
                    raise
        if scheme == "https":
            self._connection = _encrypted(self._connection, host, self._ca_file)

    def _exchange(self, method: str, path: str, body: Any, deadline: float) -> tuple[int, Any]:
        content = b"" if body is None else jsontext.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self.token}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        try:
            self._connection.sendall(f"{head}\r\n".encode() + content)
        except OSError as error:
            raise _LostError(str(error)) from None
        status, headers, answer = self._answer(deadline)
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        try:
            value = jsontext.loads(answer.decode()) if answer.strip() else None
        except ValueError as error:
            value = None
            if status < 400:
                raise ShimError(
                    IO_FAILURE, f"{method} {path}: the controller's answer is no JSON", str(error)
                ) from None
        if status >= 400:
            _refuse(method, path, status, value)
        return status, value

    def _answer(self, deadline: float) -> tuple[int, dict[bytes, bytes], bytes]:
        buffer = self._more(b"", deadline)
        while _SEPARATOR not in buffer:
            buffer = self._more(buffer, deadline)
        head, _, body = buffer.partition(_SEPARATOR)
        first, *lines = head.split(b"\r\n")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise _LostError(f"no HTTP answer: {first[:40]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return int(words[1]), headers, self._chunks(body, deadline)
        if words[1] in (b"204", b"304"):
            return int(words[1]), headers, b""
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > LARGEST_ANSWER:
            raise _LostError(f"an answer of unknown or excessive length {length[:20]!r}")
        while len(body) < int(length):
            body = self._more(body, deadline)
        return int(words[1]), headers, body

    def _chunks(self, buffer: bytes, deadline: float) -> bytes:
        content = b""
        while True:
            while b"\r\n" not in buffer:
                buffer = self._more(buffer, deadline)
            size_text, _, buffer = buffer.partition(b"\r\n")
            try:
                size = int(size_text.partition(b";")[0], 16)
            except ValueError:
                raise _LostError("a malformed chunk") from None
            while len(buffer) < size + 2:
                buffer = self._more(buffer, deadline)
            content += buffer[:size]
            buffer = buffer[size + 2 :]
            if size == 0:
                return content

    def _more(self, buffer: bytes, deadline: float) -> bytes:
        left = deadline - monotonic()
        if left <= 0:
            raise _SilentError("no answer in time")
        if len(buffer) > LARGEST_ANSWER:
            raise _LostError("an answer of excessive length")
        try:
            self._connection.settimeout(left)
            piece = self._connection.recv(65536)
        except TimeoutError:
            raise _SilentError("no answer in time") from None
        except OSError as error:
            raise _LostError(str(error)) from None
        if not piece:
            raise _LostError("the connection was closed")
        return bytes(buffer + piece)


def split_host_port(text: str, default: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port`; ShimError when it is none of these."""
    host, port = text, str(default)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port
    elif ":" in text:
        host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ShimError(IO_FAILURE, f"the controller's address {text!r} is not HOST[:PORT]")
    return host, int(port)


def _encrypted(connection: Any, host: str, ca_file: str | None) -> Any:
    import socket
    import ssl

    plain = socket.socket(fileno=connection.detach())
    try:
        context = ssl.create_default_context(cafile=ca_file)
        return context.wrap_socket(plain, server_hostname=host)
    except OSError as error:  # ssl's errors are OSErrors; a missing ca_file too
        plain.close()
        raise _LostError(f"TLS with {host} failed: {error} (ca_file: {ca_file or 'system'})") from None


def _where_others_may_do_better(error: RefusedError, urls: int) -> RefusedError:
    """Return a refusal that is the controller's own trouble, if there are others to ask; raise any other."""
    if urls > 1 and error.status in (500, 502, 503, 504):
        return error
    raise error


def _refuse(method: str, path: str, status: int, problem: Any) -> NoReturn:
    """Raise what an RFC 9457 problem says."""
    if not isinstance(problem, dict):
        problem = {}
    title = str(problem.get("title") or f"the controller answered {status}")
    detail = str(problem.get("detail") or f"{method} {path}")
    code = TRY_AGAIN if status in (429, 500, 502, 503, 504) else REFUSED
    raise RefusedError(status, code, title, detail)


def read_token(path: str) -> str:
    """The bearer token in the file at `path`; ShimError when it cannot be read or holds none."""
    try:
        with open(path, "rb") as file:
            token = file.read(4096).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ShimError(
            IO_FAILURE, f"no node token in {path}", f"{error}; write there what `heddle create-node` printed"
        ) from None
    if not token or any(character <= " " for character in token):
        raise ShimError(IO_FAILURE, f"no node token in {path}", "the file must hold the token alone, on one line")
    return token
