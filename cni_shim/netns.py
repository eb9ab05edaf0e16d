"""Entering a network namespace and coming back, for one thread. No configuration here.

`posix` is the C module under `os`, whose import would cost a plugin start 0.9 ms.
"""

from __future__ import annotations

import posix
from fcntl import ioctl

from cni_shim.errors import BAD_ENVIRONMENT, UNKNOWN_CONTAINER, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

CLONE_NEWNET = 0x40000000
NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
_OWN = "/proc/thread-self/ns/net"


class Namespace:
    """The network namespace at `path` (CNI_NETNS); `with` it, the calling thread is in it.

    ShimError UNKNOWN_CONTAINER when there is nothing, BAD_ENVIRONMENT when it is no network namespace, or this one.
    """

    def __init__(self, path: str) -> None:
        self.path: Final = path
        try:
            self.descriptor: Final = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        except FileNotFoundError:
            raise ShimError(UNKNOWN_CONTAINER, f"CNI_NETNS {path} does not exist", "the container is gone") from None
        except OSError as error:
            raise ShimError(BAD_ENVIRONMENT, f"CNI_NETNS {path} cannot be opened", str(error)) from None
        self._own = posix.open(_OWN, posix.O_RDONLY | posix.O_CLOEXEC)
        problem = ""
        if not _is_network_namespace(self.descriptor):
            problem = "it is not a network namespace"
        elif _same(self.descriptor, self._own):
            problem = "it is the node's own network namespace"
        if problem:
            self.close()
            raise ShimError(BAD_ENVIRONMENT, f"CNI_NETNS {path} is invalid", problem)

    def close(self) -> None:
        posix.close(self.descriptor)
        posix.close(self._own)

    def __enter__(self) -> None:
        _setns(self.descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _setns(self._own)


def _same(one: int, other: int) -> bool:
    first, second = posix.fstat(one), posix.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _is_network_namespace(descriptor: int) -> bool:
    try:
        return ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


def _setns(descriptor: int) -> None:
    """setns(2). Python has it from 3.12 on; before, by the C part of ctypes (the package costs 3 ms)."""
    if hasattr(posix, "setns"):
        posix.setns(descriptor, CLONE_NEWNET)
        return
    import _ctypes

    class Integer(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = 0x1 | 0x8  # FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
        _restype_ = Integer

    program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    call = Function(_ctypes.dlsym(program, "setns"))
    if call(Integer(descriptor), Integer(CLONE_NEWNET)) != 0:
        number = _ctypes.get_errno()
        raise OSError(number, posix.strerror(number), "setns")
