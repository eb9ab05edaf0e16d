"""By what controllers know this node: the token in its file. Where Kubernetes knows the node, it is asked for there.

A controller gives a new token to whoever shows the ServiceAccount token of heddle-node's pod on that node; earlier ones
are void then. The plugin reads the same file for each pod.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from cni_shim.controller import Controller, read_token
from cni_shim.errors import UNDECODABLE, ShimError
from cni_shim.node.apiserver import read_account
from cni_shim.node.configuration import write_by_rename
from cni_shim.node.settings import Settings

REST = 10.0  # seconds between two renewals: the controllers may not all know the new token yet


class Identity:
    """This node's token. `clock`: seconds that only grow."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._renewed = float("-inf")

    @property
    def _account(self) -> str | None:
        return self._settings.apiserver.token_file if self._settings.apiserver is not None else None

    def token(self) -> str:
        """The token in the file. ShimError when there is none and none can be asked for; "" when it can."""
        try:
            return read_token(self._settings.token_file)
        except ShimError:
            if self._account is None:
                raise
            return ""

    def renew(self, urls: Sequence[str], refused: str) -> str | None:
        """Another token than the `refused` one, None when there is no hope of one now. ShimError when one is denied."""
        present = self.token()
        if present != refused:
            return present  # somebody has put a new one there
        if self._account is None or self._clock() - self._renewed < REST:
            return None
        with closing(Controller(urls, read_account(self._account), self._settings.ca_file)) as client:
            _, content = client.call("POST", f"/v1/nodes/{self._settings.node}/token", {})
        token = content.get("token") if isinstance(content, dict) else None
        if not isinstance(token, str) or not token:
            raise ShimError(UNDECODABLE, "the controller's answer holds no token", "is its version too old?")
        write_by_rename(Path(self._settings.token_file), f"{token}\n", 0o600)
        self._renewed = self._clock()
        return token
