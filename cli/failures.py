"""How a command of heddle ends: exit statuses, and failures that are one line on standard error.

Nothing here talks to a server or prints.
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the shell gets; documented in docs/cli.md."""

    DONE = 0
    REFUSED = 1  # the server said no, or says that it is not ready
    USAGE = 2  # the command line itself is wrong (typer's own status)
    AWAY = 3  # no Heddle controller answers at the server's URL
    LATE = 4  # stored, but not in force on every switch when the time was up
    DROPPED = 5  # the traced packet is dropped
    UNHEARD = 141  # who read standard output went away; what the shell gives for SIGPIPE


class Failure(Exception):
    """Ends the command. The message names the object, the cause and the remedy, in one line."""

    status = ExitStatus.REFUSED


class Refused(Failure):
    """The server answered with a problem (RFC 9457)."""


class Misused(Failure):
    """The command line or the environment asks for something that cannot be."""

    status = ExitStatus.USAGE


class Away(Failure):
    """The server cannot be reached, does not answer in time, or is no Heddle controller."""

    status = ExitStatus.AWAY


class Unheard(Failure):
    """Standard output is closed."""

    status = ExitStatus.UNHEARD


class Late(Failure):
    """The change is stored, and some switches have not taken it over yet."""

    status = ExitStatus.LATE


def one_line(text: str) -> str:
    """Return `text` as one line that is safe to print: control characters are shown, not sent to the terminal."""
    spaced = " ".join(text.split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in spaced)
