"""The settings of where the controller listens, and what risk that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ryu_apps.listening import Listen, TcpAddress, listen_at, tcp_address
from ryu_apps.options import flag
from ryu_apps.settings.checks import SettingsError, addresses, each
from ryu_apps.settings.values import Tls
from topology.model import Address

_HTTPS_HINT: Final = "give --heddle-tls-certificate and --heddle-tls-key"


class Doors(NamedTuple):
    """Where the API and OpenFlow listen, and at which addresses nodes reach them.

    `exposures` are the risks of that, as sentences that say what to do.
    """

    rest: tuple[Listen, ...]
    openflow: TcpAddress
    advertise: tuple[Address, ...]
    reached_at: tuple[Address, ...]
    tls: Tls | None
    exposures: tuple[str, ...]


def doors(given: dict[str, Any], tls: Tls | None, token: str | None) -> Doors:
    """Return where to listen. Raises SettingsError, also for a risk that nobody has accepted."""
    rest, openflow = _rest_listen(given["rest_listen"]), _openflow_listen(given["openflow_listen"])
    advertise = addresses(given["advertise"], "advertise")
    exposures = (*_openflow_exposure(openflow, tls), *_rest_exposures(rest, tls, token))
    if exposures and not given["insecure"]:
        raise SettingsError("; ".join(exposures) + "; or accept that with --heddle-insecure")
    return Doors(rest, openflow, advertise, _reached_at(openflow, advertise), tls, exposures)


def _rest_listen(texts: Sequence[str]) -> tuple[Listen, ...]:
    name = "rest-listen"
    pieces = [piece.strip() for text in texts for piece in text.split(",") if piece.strip()]
    listens = each(pieces, name, listen_at, "an address to listen on")
    if not listens:
        raise SettingsError(f"{flag(name)}: nowhere to listen; give HOST:PORT, unix:PATH or fd:N")
    for listen in listens:
        if listens.count(listen) > 1:
            raise SettingsError(f"{flag(name)}: {listen} is given twice")
    return listens


def _openflow_listen(text: str) -> TcpAddress:
    # Port 0 would make Ryu fall back to its own ports.
    (listen,) = each((text,), "openflow-listen", lambda one: tcp_address(one, lowest=1), "an address to listen on")
    return listen


def _openflow_exposure(listen: TcpAddress, tls: Tls | None) -> tuple[str, ...]:
    if listen.address.is_loopback or (tls and tls.ca):
        return ()
    exposure = (
        f"{flag('openflow-listen')}: on {listen} anyone who reaches it can pose as a switch:"
        f" {_HTTPS_HINT} and --heddle-tls-ca, or listen on 127.0.0.1"
    )
    return (exposure,)


def _rest_exposures(listens: Sequence[Listen], tls: Tls | None, token: str | None) -> tuple[str, ...]:
    needed = [_HTTPS_HINT] if not tls else []
    needed += ["give --heddle-admin-token-file"] if not token else []
    if not needed:
        return ()
    return tuple(
        f"{flag('rest-listen')}: on {listen} the API is open to whoever reaches it:"
        f" {' and '.join(needed)}, or listen on 127.0.0.1 or unix:PATH"
        for listen in listens
        if isinstance(listen, TcpAddress) and not listen.address.is_loopback
    )


def _reached_at(listen: TcpAddress, advertise: tuple[Address, ...]) -> tuple[Address, ...]:
    if not advertise and listen.address.is_unspecified:
        raise SettingsError(
            f"{flag('openflow-listen')}: {listen} is every address of this machine, so nodes have to be told one:"
            " give --heddle-advertise ADDRESS"
        )
    return advertise or (listen.address,)
