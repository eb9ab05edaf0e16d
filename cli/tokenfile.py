"""The file that a new node's token is written to: made before the node is, so that no token gets lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli.failures import Misused


class TokenFile:
    """A new file that only its owner may read. As a context manager: gone again when no token was kept in it."""

    def __init__(self, file: Path) -> None:
        """Remember the name; the file is made on entry."""
        self._file = file
        self._descriptor = -1
        self._kept = False

    def __enter__(self) -> TokenFile:
        """Make the file. Raises Misused when it exists or cannot be made: it is never overwritten."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._file, flags, 0o600)
        except FileExistsError as error:
            raise Misused(
                f"token file {self._file}: it exists, and create-node writes the new node's token to a new file; "
                "name another one. Your own token file goes before the command: heddle --token-file FILE create-node …"
            ) from error
        except OSError as error:
            raise Misused(f"token file {self._file}: {error.strerror}; name a file that can be made") from error
        return self

    def keep(self, token: str) -> None:
        """Write the token. When the disk does not take it, it is printed: the server will not tell it again."""
        text = f"{token}\n".encode()
        try:
            if os.write(self._descriptor, text) != len(text):
                raise OSError(0, "written in part only")
            os.fsync(self._descriptor)
            self._kept = True
        except OSError as error:
            print(f"heddle: token file {self._file}: {error.strerror}; keep this token: {token}", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        """Close the file, and remove it when it holds no token."""
        os.close(self._descriptor)
        if not self._kept:
            self._file.unlink(missing_ok=True)
