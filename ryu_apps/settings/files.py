"""The settings that name files: the store, the administrator's token, certificates."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Final

from ryu_apps.options import flag
from ryu_apps.settings import checks
from ryu_apps.settings.checks import SettingsError
from ryu_apps.settings.values import Tls

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")  # the b64token of RFC 6750, section 2.1, of a decent length


def store(text: str) -> Path:
    """Return the file of the state, which need not exist yet. Raises SettingsError."""
    name, path = flag("store"), Path(text).absolute()
    if not path.parent.is_dir():
        raise SettingsError(f"{name}: there is no directory {str(path.parent)!r} for {text!r}; make it first")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{name}: {text!r} is not a file; name one, it is made when it does not exist")
    if not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        raise SettingsError(f"{name}: {text!r} cannot be read and written by user id {os.geteuid()}")
    return path


def token(text: str | None) -> str | None:
    """Return the administrator's token, which a file holds. Raises SettingsError, which does not tell it."""
    if text is None:
        return None
    name = flag("admin-token-file")
    try:
        held = Path(text).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{name}: {text!r} cannot be read: {checks.why(error)}") from None
    if not _TOKEN.fullmatch(held):
        raise SettingsError(
            f"{name}: {text!r} has to hold one token of 16 or more letters, digits and any of ._~+/-"
            " (for example: openssl rand -hex 32)"
        )
    return held


def tls(certificate: str | None, key: str | None, ca: str | None) -> Tls | None:
    """Return the files of TLS, which are tried now: not when the first switch comes. Raises SettingsError."""
    if not certificate and not key and not ca:
        return None
    if not certificate or not key:
        missing = flag("tls-key" if certificate else "tls-certificate")
        raise SettingsError(f"{missing} is missing: certificate and key are needed together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, file in (("tls-certificate", certificate), ("tls-key", key), ("tls-ca", ca)):
        if file:
            checks.file(file, name, checks.readable)
    # An empty password instead of OpenSSL's question on the terminal, when the key is encrypted.
    checks.file(certificate, "tls-certificate", lambda path: context.load_cert_chain(path, key, password=""))
    if ca:
        checks.file(ca, "tls-ca", context.load_verify_locations)
    return Tls(Path(certificate).absolute(), Path(key).absolute(), Path(ca).absolute() if ca else None)
