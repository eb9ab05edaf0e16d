"""A private Open vSwitch with dummy bridges, and a plain OpenFlow 1.5 connection to one of them. Not for packets."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ryu_apps.openflow import decode, messages, wire
from ryu_apps.openflow.decode import FlowStats, Refusal
from ryu_apps.openflow.wire import MessageType

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class DummySwitch:
    """ovsdb-server and ovs-vswitchd that end with this process, whatever happens to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **{f"OVS_{name}DIR": str(directory) for name in ("RUN", "LOG", "DB", "SYSCONF")},
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both daemons and return when they answer."""
        database, remote = self.directory / "conf.db", f"unix:{self.directory}/db.sock"
        self.run("ovsdb-tool", "create", str(database), SCHEMA)
        self._daemon("ovsdb-server", str(database), f"--remote=p{remote}")
        wait_for(self.directory / "db.sock")
        self.run("ovs-vsctl", "--no-wait", "init")
        self._daemon("ovs-vswitchd", remote, "--enable-dummy=override", "--disable-system")
        self.run("ovs-vsctl", "--timeout=20", "show")

    def stop(self) -> None:
        """End both daemons."""
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()

    @contextmanager
    def bridge(self, name: str) -> Iterator[str]:
        """Make an empty bridge for a while."""
        settings = ("datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow15")
        self.run("ovs-vsctl", "--timeout=20", "add-br", name, "--", "set", "bridge", name, *settings)
        try:
            yield name
        finally:
            self.run("ovs-vsctl", "--timeout=20", "del-br", name)

    def connect(self, bridge: str) -> Connection:
        """Return an OpenFlow connection to a bridge."""
        path = self.directory / f"{bridge}.mgmt"
        wait_for(path)
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(path))
        return Connection(stream)

    @contextmanager
    def controlled(self, bridge: str) -> Iterator[Connection]:
        """Be the controller of a bridge for a while: such a connection is told of ports, too."""
        path = self.directory / f"{bridge}.controller"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            listener.settimeout(30)
            self.run("ovs-vsctl", "--timeout=20", "set-controller", bridge, f"unix:{path}")
            try:
                with Connection(listener.accept()[0]) as connection:
                    yield connection
            finally:
                self.run("ovs-vsctl", "--timeout=20", "del-controller", bridge)
                path.unlink()

    def ofctl(self, command: str, bridge: str, *arguments: str, text: str | None = None) -> str:
        """Return what `ovs-ofctl COMMAND BRIDGE ARGUMENTS…` prints."""
        target = f"unix:{self.directory}/{bridge}.mgmt"
        return self.run("ovs-ofctl", "-O", "OpenFlow15", *command.split(), target, *arguments, text=text)

    def run(self, *command: str, text: str | None = None) -> str:
        """Return what a command prints; AssertionError with its complaint when it fails."""
        done = subprocess.run(
            command, env=self._environment, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def _daemon(self, program: str, *arguments: str) -> None:
        command = ("setpriv", "--pdeathsig", "KILL", program, *arguments, f"--log-file={self.directory}/{program}.log")
        quiet = ("-vconsole:off", "-vsyslog:off", "--pidfile")
        self._daemons.append(subprocess.Popen([*command, *quiet], env=self._environment))


class Connection:
    """A connection to a bridge; it answers echo requests by itself."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._socket.settimeout(30)
        self._held = b""
        self.send(messages.message(MessageType.HELLO, 0))
        assert decode.header(self.receive()).kind == MessageType.HELLO

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send messages."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next message."""
        while True:
            raw = self._take()
            head = decode.header(raw)
            if head.kind != MessageType.ECHO_REQUEST:
                return raw
            self.send(messages.echo_reply(head.xid, raw[8:]))

    def until(self, kind: MessageType, xid: int) -> tuple[list[bytes], bytes]:
        """Receive until a message of a type with an xid; return what came before it, and it."""
        before = []
        while True:
            raw = self.receive()
            head = decode.header(raw)
            if (head.kind, head.xid) == (kind, xid):
                return before, raw
            before.append(raw)

    def commit(self, bundle: bytes) -> list[Refusal]:
        """Send a bundle; return the errors that came until a barrier after it, the commit's own included."""
        self.send(bundle + messages.barrier(99))
        before, _ = self.until(MessageType.BARRIER_REPLY, 99)
        errors = [decode.error(raw) for raw in before if decode.header(raw).kind == MessageType.ERROR]
        replies = [decode.bundle_reply(raw) for raw in before if decode.header(raw).kind == MessageType.BUNDLE_CONTROL]
        refused = any(error.ends_bundle for error in errors)
        assert refused != any(reply.committed for reply in replies)
        return errors

    def multipart(self, request: bytes) -> list[bytes]:
        """Send a multipart request; return all parts of the reply."""
        self.send(request)
        parts: list[bytes] = []
        while not parts or decode.part(parts[-1]).more:
            raw = self.receive()
            if decode.header(raw).kind == MessageType.MULTIPART_REPLY:
                parts.append(raw)
        return parts

    def flows(self, table: int = wire.ALL_TABLES, cookie: int = 0, mask: int = 0) -> list[FlowStats]:
        """Return the flows of a table, or all."""
        parts = self.multipart(messages.flow_desc_request(7, table, cookie, mask))
        return [flow for part in parts for flow in decode.flow_stats(part)]

    def _take(self) -> bytes:
        while True:
            length = int.from_bytes(self._held[2:4], "big") if len(self._held) >= 4 else 8
            if len(self._held) >= length:
                raw, self._held = self._held[:length], self._held[length:]
                return raw
            piece = self._socket.recv(1 << 16)
            assert piece, "the switch closed the connection"
            self._held += piece


def wait_for(path: Path, seconds: float = 20) -> None:
    """Wait until a Unix socket accepts connections."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                assert time.monotonic() < deadline, f"{path} does not answer"
                time.sleep(0.01)
            else:
                return


def running(directory: Path) -> Iterator[DummySwitch]:
    """Yield a switch with everything in `directory`, and end it: the body of a fixture."""
    switch = DummySwitch(directory)
    try:
        switch.start()
        yield switch
    finally:
        switch.stop()
