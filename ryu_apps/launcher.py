"""The commands `ryu-manager` and `heddle-controller`: Ryu's own manager, made fit for today's Python and for our flags.

It prepares the process, checks what it was told before anything starts, and hands over to ryu.cmd.manager.
What the flags mean is in `options` and `settings`; what is mended in Ryu, in `compat`. No network logic.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ryu_apps.listening import TcpAddress
    from ryu_apps.settings import Settings

LOG = logging.getLogger(__name__)

CONTROLLER: Final = "ryu_apps.controller"
RYU_CONFIG: Final = Path("/usr/local/etc/ryu/ryu.conf")  # where Ryu looks when no --config-file is given
DESCRIPTION: Final = (
    "Runs Ryu applications; without a name, the Heddle controller (ryu_apps.controller)."
    " Each flag can stand in the INI file of --config-file too: --heddle-rest-listen is rest_listen in [heddle]."
)
USAGE_ERROR: Final = 2


def main(args: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the controller until it is told to stop (SIGINT, SIGTERM), and return the exit status.

    `args` are the command line without the program's name, `prog` is that name (None: those of this process).
    Status 0: stopped by a signal; 1: it stopped by itself; 2: wrong flags or settings, nothing was started.
    """
    prog = prog or Path(sys.argv[0]).name
    arguments = list(sys.argv[1:] if args is None else args)
    conf = _prepare()
    from oslo_config import cfg

    from ryu_apps.settings import SettingsError

    try:
        _parse(conf, arguments, prog)
        if not _names(conf):
            arguments.append(CONTROLLER)
        if CONTROLLER in (_names(conf) or (CONTROLLER,)):
            _announce(_checked_settings(conf), prog)
    except (cfg.Error, SettingsError) as error:
        sys.stderr.write(f"{prog}: error: {error}\n")
        return USAGE_ERROR
    return _run(arguments, prog)


def _prepare() -> Any:
    """Make this process a green one, mend Ryu, register the options; return Ryu's configuration."""
    # Nothing of this is imported at the top of the file: the order matters, and to import a module must change nothing.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet

    eventlet.monkey_patch()
    from ryu.cfg import CONF

    from ryu_apps import compat, options

    options.register(CONF)
    LOG.debug("repairs of Ryu: %s", ", ".join(repair.__name__ for repair in compat.REPAIRS))
    # Ryu's manager adds its own flags when it is imported; ours come first in --help.
    from ryu.cmd import manager

    return manager.CONF


def _parse(conf: Any, arguments: list[str], prog: str) -> None:
    conf(
        args=arguments,
        prog=prog,
        project="ryu",
        version=f"heddle {version('heddle')} on ryu {version('ryu')}",
        usage="%(prog)s [--config-file FILE] [flags] [application ...]",
        description=DESCRIPTION,
        default_config_files=[str(RYU_CONFIG)] if RYU_CONFIG.exists() else [],
    )


def _names(conf: Any) -> tuple[str, ...]:
    """Return the applications that the user named, as Ryu reads them."""
    return tuple(name for text in (*conf.app_lists, *conf.app) for name in text.split(","))


def _checked_settings(conf: Any) -> Settings:
    from ryu_apps import settings

    read = settings.read(conf)
    try:
        _try_to_listen(read.openflow_listen)
    except OSError as error:
        raise settings.SettingsError(
            f"--heddle-openflow-listen: cannot listen on {read.openflow_listen}: {error.strerror};"
            " is another controller running? Choose another port, or stop it"
        ) from None
    return read


def _try_to_listen(listen: TcpAddress) -> None:
    """Raise OSError when the address cannot be listened on: in Ryu that would be a traceback in a green thread."""
    family = socket.AF_INET6 if listen.address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((str(listen.address), listen.port))


def _announce(settings: Settings, prog: str) -> None:
    for exposure in settings.exposures:
        sys.stderr.write(f"{prog}: warning: --heddle-insecure: {exposure}\n")


def _run(arguments: list[str], prog: str) -> int:
    from ryu.base.app_manager import AppManager
    from ryu.cmd import manager

    stopped = _throw_when_signalled(signal.SIGINT, signal.SIGTERM)
    try:
        manager.main(args=arguments, prog=prog)
    except KeyboardInterrupt:  # while still starting: Ryu closes its applications only once all of them run
        AppManager.get_instance().close()
    return 0 if stopped else 1


def _throw_when_signalled(*numbers: int) -> Sequence[int]:
    """Throw KeyboardInterrupt into this green thread when one of the signals comes; a second one ends the process.

    Returns a list that holds the signals that came. The thread gets it where it waits, never in the midst of its work.
    """
    import eventlet
    import eventlet.hubs
    import greenlet

    came: list[int] = []
    thread = greenlet.getcurrent()
    # Python's handler must not raise: in eventlet's loop that loses the timer just taken from the heap, and with it
    # the green thread that waits for it; in another green thread Ryu would log it and go on. And it may not run at
    # all: a signal just before epoll_wait(2) is noticed when that returns. The interpreter's own handler in C writes
    # to a socket instead, which the loop watches.
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def note(number: int, _frame: object) -> None:
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    def wait() -> None:
        with reading, writing:
            while not came:
                reading.recv(1)
            signal.set_wakeup_fd(-1)
        eventlet.hubs.get_hub().schedule_call_global(0, thread.throw, KeyboardInterrupt)

    for number in numbers:
        signal.signal(number, note)
    eventlet.spawn(wait)
    return came
