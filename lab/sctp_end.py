"""`python -I lab/sctp_end.py`: one end of SCTP associations, in the network namespace that it is started in.

The stack is usrsctp, in user space over a raw socket, as this kernel may have none: state cookies, verification tags,
CRC32c, retransmission and shutdown (RFC 9260) are its business. It is one stack for each process, so an end is a
program, and nothing of the laboratory is imported: it has to start quickly. A raw socket gets all SCTP of a namespace.
What belongs to another end there is passed over in silence, but for the first moment: then it is aborted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from threading import Thread
from typing import NoReturn

LIBRARY = "libusrsctp.so.2"
ANSWER_LENGTH = 8192  # several packets
SCTP = 132  # IANA, protocol numbers
_BACKLOG = 128
_REPEAT = 300  # ms; RFC 9260 says 3 s for the first packet
_RECEIVE_ERRORS = 11  # linux/in.h, IP_RECVERR
_OF_OTHERS_TOO = 2  # sctp(4), net.inet.sctp.blackhole: no ABORT for what is not for us
_FIRST_PORT, _PORTS = 49152, 16384  # RFC 6335, 6
_PATH_MTU = 1280  # bytes; by a raw socket it would find out nothing about a path, and every interface here carries that
_PEER_ADDRESS_PARAMETERS, _NO_DISCOVERY = 0x0A, 0x10  # usrsctp.h: SCTP_PEER_ADDR_PARAMS, SPP_PMTUD_DISABLE
_PARAMETERS = struct.Struct("=128sIIIIIHBx")  # usrsctp.h: struct sctp_paddrparams
_VOID, _SIZE, _LENGTH = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32


class Stack:
    """The stack of this process; each call raises OSError where usrsctp says one."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError as error:
            raise SystemExit(f"{error}; install Debian's package libusrsctp2: make setup") from None
        self._declare()
        self._library.usrsctp_init(0, None, None)
        self._library.usrsctp_sysctl_set_sctp_blackhole(_OF_OTHERS_TOO)
        for timer in ("initial", "min", "max"):
            getattr(self._library, f"usrsctp_sysctl_set_sctp_rto_{timer}_default")(_REPEAT)

    def opened(self, address: str, port: int) -> int:
        """A socket that has this address only, so that no other one is offered to the peer."""
        made = self._made(self._library.usrsctp_socket(socket.AF_INET, socket.SOCK_STREAM, SCTP, None, None, 0, None))
        self._done(self._library.usrsctp_bind(made, _packed(address, port), 16))
        told = _PARAMETERS.pack(b"", 0, 0, _PATH_MTU, _NO_DISCOVERY, 0, 0, 0)
        self._done(self._library.usrsctp_setsockopt(made, SCTP, _PEER_ADDRESS_PARAMETERS, told, len(told)))
        return made

    def listening(self, address: str, port: int) -> int:
        """A socket at which `accepted` waits."""
        made = self.opened(address, port)
        self._done(self._library.usrsctp_listen(made, _BACKLOG))
        return made

    def accepted(self, listener: int) -> tuple[int, str]:
        """The next association that is there, and its peer's address."""
        peer, length = ctypes.create_string_buffer(128), _LENGTH(128)
        made = self._made(self._library.usrsctp_accept(listener, peer, ctypes.byref(length)))
        return made, socket.inet_ntoa(peer.raw[4:8])

    def connect(self, made: int, address: str, port: int) -> None:
        """Begin an association, and wait until it is there."""
        self._done(self._library.usrsctp_connect(made, _packed(address, port), 16))

    def send(self, made: int, message: bytes) -> None:
        """Send a message."""
        self._done(self._library.usrsctp_sendv(made, message, len(message), None, 0, None, 0, 0, 0))

    def receive(self, made: int) -> bytes:
        """What comes next; b"" when the peer has shut down."""
        octets, source, length = ctypes.create_string_buffer(1 << 16), ctypes.create_string_buffer(128), _LENGTH(128)
        about = (ctypes.byref(length), None, ctypes.byref(_LENGTH(0)), ctypes.byref(ctypes.c_uint()))
        flags = ctypes.c_int(0)
        got = self._library.usrsctp_recvv(made, octets, 1 << 16, source, *about, ctypes.byref(flags))
        return octets.raw[: self._done(got)]

    def shut_down(self, made: int) -> None:
        """Send no more, and say so."""
        self._done(self._library.usrsctp_shutdown(made, socket.SHUT_WR))

    def close(self, made: int) -> None:
        """Close a socket."""
        self._library.usrsctp_close(made)

    def _declare(self) -> None:
        """Pointers and sizes are wider than ctypes takes them for (usrsctp.h)."""
        integer = ctypes.c_int
        about = [_VOID, _VOID, _VOID, _VOID, _VOID, _VOID]
        for name, result, arguments in (
            ("init", None, [ctypes.c_uint16, _VOID, _VOID]),
            ("socket", _VOID, [integer, integer, integer, _VOID, _VOID, _LENGTH, _VOID]),
            ("bind", integer, [_VOID, _VOID, _LENGTH]),
            ("setsockopt", integer, [_VOID, integer, integer, _VOID, _LENGTH]),
            ("listen", integer, [_VOID, integer]),
            ("accept", _VOID, [_VOID, _VOID, _VOID]),
            ("connect", integer, [_VOID, _VOID, _LENGTH]),
            ("sendv", ctypes.c_ssize_t, [_VOID, _VOID, _SIZE, _VOID, integer, _VOID, _LENGTH, ctypes.c_uint, integer]),
            ("recvv", ctypes.c_ssize_t, [_VOID, _VOID, _SIZE, *about]),
            ("shutdown", integer, [_VOID, integer]),
            ("close", None, [_VOID]),
        ):
            function = getattr(self._library, f"usrsctp_{name}")
            function.restype, function.argtypes = result, arguments

    @staticmethod
    def _made(pointer: int | None) -> int:
        return pointer or Stack._done(-1)

    @staticmethod
    def _done(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def serve(name: str, address: str, ports: list[int]) -> None:
    """Answer on ports for ever, as echo.py does: the own name, the address seen, what was asked, and padding."""
    stack = Stack()
    threads = [Thread(target=_accept, args=(stack, stack.listening(address, port), name)) for port in ports]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


def ask(address: str, port: int, patience: float, source: str) -> None:
    """Ask once, and print who answered, whom he saw, and after how many seconds the association was shut down.

    Ends by SIGALRM when that takes longer than `patience` seconds. When it is refused, prints after how many seconds,
    and ends with ECONNREFUSED.
    """
    stack, nonce = Stack(), os.urandom(8).hex()
    own_port = _FIRST_PORT + os.getpid() % _PORTS
    own = stack.opened(source or _own_address(address), own_port)
    listening = _hears_errors(address)
    signal.setitimer(signal.ITIMER_REAL, patience)
    began = time.monotonic()
    Thread(target=_watch, args=(listening, struct.pack("!HH", own_port, port), began), daemon=True).start()
    try:
        stack.connect(own, address, port)
        stack.send(own, nonce.encode())
        answer = b""
        while len(answer) < ANSWER_LENGTH and (got := stack.receive(own)):
            answer += got
        stack.shut_down(own)
        if stack.receive(own):
            raise SystemExit("more came than was announced")
    except OSError as error:
        _end(error.errno or 1, began)
    by, seen_as, echoed = answer.partition(b"\n")[0].decode().split()
    if echoed != nonce or len(answer) != ANSWER_LENGTH:
        raise SystemExit(f"not what was asked: {len(answer)} octets, {answer[:60]!r}")
    print(by, seen_as, end=" ")
    _end(0, began)


def _hears_errors(address: str) -> socket.socket:
    """A socket that is told of ICMP errors about what was sent to an address, which usrsctp does not hear."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, SCTP)
    sock.setsockopt(socket.IPPROTO_IP, _RECEIVE_ERRORS, 1)
    sock.connect((address, 0))
    return sock


def _watch(sock: socket.socket, ports: bytes, began: float) -> None:
    """End with ECONNREFUSED when it is said that a packet between these ports came to nobody."""
    while True:
        with suppress(OSError):
            sock.recv(1)  # what comes in is for the stack
            continue
        with suppress(BlockingIOError):
            about, ancillary, _, _ = sock.recvmsg(64, 512, socket.MSG_ERRQUEUE)
            number = struct.unpack("=I", ancillary[0][2][:4])[0]  # struct sock_extended_err, ip(7)
            if about[:4] == ports and number == errno.ECONNREFUSED:
                _end(number, began)


def _end(status: int, began: float) -> NoReturn:
    print(time.monotonic() - began, flush=True)
    os._exit(status)  # the stack's threads are not waited for


def _accept(stack: Stack, listener: int, name: str) -> None:
    while True:
        made, peer = stack.accepted(listener)
        Thread(target=_answer, args=(stack, made, name, peer), daemon=True).start()


def _answer(stack: Stack, made: int, name: str, peer: str) -> None:
    with suppress(OSError):  # the peer is gone
        asked = stack.receive(made).decode(errors="replace")
        stack.send(made, f"{name} {peer} {asked}\n".encode().ljust(ANSWER_LENGTH, b"."))
        while stack.receive(made):
            pass
    stack.close(made)


def _packed(address: str, port: int) -> bytes:
    """struct sockaddr_in, ip(7)."""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)


def _own_address(target: str) -> str:
    """The address that the kernel would send from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((target, 9))
        return str(sock.getsockname()[0])


def main() -> None:
    """`serve NAME ADDRESS PORT…` or `ask ADDRESS PORT SECONDS [SOURCE]`."""
    if sys.argv[1] == "serve":
        name, address, *ports = sys.argv[2:]
        serve(name, address, [int(port) for port in ports])
    else:
        address, port, patience, source = sys.argv[2:]
        ask(address, int(port), float(patience), source)


if __name__ == "__main__":
    main()
