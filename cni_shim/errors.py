"""The one error that crosses the node's part: a CNI error code, what failed, and what to do about it.

No input or output here. The codes are those of the CNI specification 1.1.0, section "Error"; own codes start at 100.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs a plugin start 8 ms; type checkers know this name
if TYPE_CHECKING:
    from typing import Final

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
BAD_ENVIRONMENT = 4
IO_FAILURE = 5
UNDECODABLE = 6
BAD_CONFIGURATION = 7
TRY_AGAIN = 11
NOT_READY = 50
NOT_READY_DISCONNECTED = 51
REFUSED = 100  # the controller refused the port: unknown project or node, bad token, a conflict
POOL_EXHAUSTED = 101  # no free address on this node
INTERFACE_EXISTS = 102
CHANGED = 110  # CHECK found something else than what ADD left
INCOMPLETE = 111  # GC could not remove everything
INTERNAL = 199  # a mistake in this program


class ShimError(Exception):
    """Something failed, said so that an operator can act.

    `code`: a CNI error code; `msg`: the object and what happened to it; `details`: the cause and the remedy.
    """

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code: Final = code
        self.msg: Final = msg
        self.details: Final = details

    def __str__(self) -> str:
        return f"{self.msg}: {self.details}" if self.details else self.msg


class RefusedError(ShimError):
    """The controller answered, and said no. `status`: the HTTP status."""

    def __init__(self, status: int, code: int, msg: str, details: str = "") -> None:
        super().__init__(code, msg, details)
        self.status: Final = status
