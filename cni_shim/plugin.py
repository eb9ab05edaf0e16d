"""The plugin from edge to edge: environment and stdin in, one JSON value on stdout, logs on stderr, an exit status.

Every failure ends as a CNI error on stdout. What a command does is in its own module, imported only when asked for.
"""

from __future__ import annotations

from cni_shim import jsontext
from cni_shim.errors import BAD_ENVIRONMENT, INTERNAL, IO_FAILURE, TRY_AGAIN, ShimError
from cni_shim.request import VERSIONS, read_request, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from cni_shim.request import Request

    Log = Callable[[str], object]

    class Reads(Protocol):
        def read(self, size: int, /) -> bytes: ...

    class Writes(Protocol):
        def write(self, text: str, /) -> object: ...


LARGEST_INPUT = 4 << 20
COMMANDS = ("VERSION", "ADD", "DEL", "CHECK", "STATUS", "GC")


def main(environment: Mapping[str, str], stdin: Reads, stdout: Writes, stderr: Writes) -> int:
    """Do what `CNI_COMMAND` says; the exit status."""
    version = VERSIONS[-1]
    try:
        command = variable(environment, "CNI_COMMAND")
        if command not in COMMANDS:
            raise ShimError(BAD_ENVIRONMENT, "CNI_COMMAND is unknown", f"{command!r} is none of {', '.join(COMMANDS)}")
        text = stdin.read(LARGEST_INPUT + 1)
        version = _announced_version(text)
        if command == "VERSION":
            answer: Any = {"cniVersion": version, "supportedVersions": list(VERSIONS)}
        else:
            request = read_request(command, environment, text, LARGEST_INPUT)
            answer = _function(command)(request, lambda line: stderr.write(f"heddle: {line}\n"))
    except ShimError as error:
        return _fail(stdout, version, error)
    except _Terminated:
        return _fail(stdout, version, ShimError(TRY_AGAIN, "the runtime ended the call", "SIGTERM"))
    except OSError as error:
        return _fail(stdout, version, ShimError(IO_FAILURE, "input or output failed", str(error)))
    except Exception as error:
        return _fail(stdout, version, _mistake(error))
    if answer is not None:
        stdout.write(jsontext.dumps(answer) + "\n")
    return 0


class _Terminated(BaseException):
    """The runtime lost patience: undo, and say so."""


def end_cleanly_on_sigterm() -> None:
    """Turn SIGTERM into an exception, so that an ADD that is cut short takes back what it did."""
    import _signal  # type: ignore[import-not-found]  # built in; `signal` brings `enum` along

    def terminate(*_: object) -> None:
        raise _Terminated

    _signal.signal(_signal.SIGTERM, terminate)


def _function(command: str) -> Callable[[Request, Log], Any]:
    if command == "ADD":
        from cni_shim.add import add

        return add
    if command in ("DEL", "GC"):
        from cni_shim.remove import collect, delete

        return delete if command == "DEL" else collect
    if command == "CHECK":
        from cni_shim.check import check

        return check
    from cni_shim.status import status

    return status


def _announced_version(text: bytes) -> str:
    """The version to answer in: that of the configuration, as far as it can be read and is known."""
    try:
        version = jsontext.loads(text.decode())["cniVersion"]
    except (ValueError, KeyError, TypeError, IndexError):
        return VERSIONS[-1]
    return version if version in VERSIONS else VERSIONS[-1]


def _fail(stdout: Writes, version: str, error: ShimError) -> int:
    content = {"cniVersion": version, "code": error.code, "msg": error.msg, "details": error.details}
    stdout.write(jsontext.dumps(content) + "\n")
    return 1


def _mistake(error: Exception) -> ShimError:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    return ShimError(
        INTERNAL, "a mistake in the plugin", f"{type(error).__name__}: {error} at {where}; please report it"
    )
