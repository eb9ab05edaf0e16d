"""JSON-RPC to Open vSwitch: the database (RFC 7047) and ovs-vswitchd's control socket. What is asked is elsewhere.

Written on `_socket`, the C module under `socket`, because the package costs a plugin start 6 ms.
"""

from __future__ import annotations

import _socket

from cni_shim import jsontext
from cni_shim.errors import IO_FAILURE, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Row = dict[str, Any]
    Operation = dict[str, Any]
else:
    Row = Operation = dict

LARGEST_REPLY = 64 << 20
DATABASE = "Open_vSwitch"


class JsonRpc:
    """One connection over a unix socket; requests one after the other. `timeout`: seconds for each wait."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._number = 0
        self._answered = 0
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise ShimError(
                IO_FAILURE, f"no connection to Open vSwitch at {path}", f"{error}; is it running on this node?"
            ) from None

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unanswered(self) -> bool:
        """Whether the request sent last has not been answered yet."""
        return self._answered < self._number

    def send(self, method: str, params: Sequence[Any]) -> None:
        """Send a request; `receive` gets its answer."""
        self._number += 1
        self._write({"method": method, "params": list(params), "id": self._number})

    def receive(self) -> Any:
        """The `result` of the request sent last; ShimError for an `error`, a broken connection or silence."""
        text = ""
        while True:
            message, text = self._message(text)
            if message.get("method") == "echo":
                self._write({"result": message["params"], "error": None, "id": message["id"]})
            elif message.get("id") == self._number:
                self._answered = self._number
                if message.get("error") is not None:
                    raise ShimError(IO_FAILURE, f"Open vSwitch at {self.path} refused", str(message["error"]).strip())
                return message.get("result")

    def _message(self, text: str) -> tuple[Row, str]:
        """The next message, and the text that came behind it (messages have no delimiter)."""
        buffer = text.encode()
        while len(buffer) < LARGEST_REPLY:
            if buffer.endswith((b"}", b"}\n")):  # else not worth a try
                try:
                    return jsontext.first(buffer.decode())
                except ValueError:
                    pass  # a brace at the end of a piece is not always the end of the message
            try:
                piece = self._socket.recv(65536)
            except OSError as error:
                raise ShimError(IO_FAILURE, f"no answer from Open vSwitch at {self.path}", str(error)) from None
            if not piece:
                raise ShimError(IO_FAILURE, f"Open vSwitch at {self.path} closed the connection", "is it restarting?")
            buffer += piece
        raise ShimError(IO_FAILURE, f"the answer of Open vSwitch at {self.path} is too large")

    def call(self, method: str, *params: Any) -> Any:
        self.send(method, params)
        return self.receive()

    def _write(self, message: Row) -> None:
        try:
            self._socket.sendall(jsontext.dumps(message).encode())
        except OSError as error:
            raise ShimError(IO_FAILURE, f"Open vSwitch at {self.path} does not read", str(error)) from None


class Database(JsonRpc):
    """The Open_vSwitch database of this node. `address`: `unix:/path/db.sock`, or the path alone."""

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        super().__init__(address.removeprefix("unix:"), timeout)

    def begin(self, operations: Sequence[Operation]) -> None:
        self.send("transact", [DATABASE, *operations])

    def finish(self) -> list[Row]:
        """The results of the transaction begun last, one an operation; ShimError when it was not made."""
        results: list[Row] = self.receive()
        for result in results:
            if result and result.get("error"):
                raise ShimError(
                    IO_FAILURE, f"the database at {self.path} refused: {result['error']}", result.get("details", "")
                )
        return results

    def transact(self, *operations: Operation) -> list[Row]:
        self.begin(operations)
        return self.finish()

    def rows(self, table: str, columns: Sequence[str], where: Sequence[Sequence[Any]] = ()) -> list[Row]:
        """Rows of `table` with decoded `columns` (and `_uuid`); `where`: RFC 7047 conditions."""
        found = self.transact(select(table, columns, where))[0]["rows"]
        return [decode_row(row) for row in found]


def select(table: str, columns: Sequence[str], where: Sequence[Sequence[Any]] = ()) -> Operation:
    return {"op": "select", "table": table, "where": list(where), "columns": ["_uuid", *columns]}


def decode(value: Any) -> Any:
    """An OVSDB value as a Python one: set -> tuple, map -> dict, uuid -> its text (RFC 7047, section 5.1)."""
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "set":
        return tuple(decode(item) for item in content)
    if kind == "map":
        return {key: decode(item) for key, item in content}
    return content


def decode_row(row: Row) -> Row:
    return {column: decode(value) for column, value in row.items()}


def as_set(value: Any) -> tuple[Any, ...]:
    """A decoded column that holds a set: OVSDB writes a set of one element as the element."""
    return value if isinstance(value, tuple) else (value,)


def encode_map(pairs: dict[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in pairs.items()]]


def encode_set(items: Sequence[Any]) -> list[Any]:
    return ["set", list(items)]
