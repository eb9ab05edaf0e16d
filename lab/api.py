"""The controller's REST interface as the laboratory uses it: JSON in and out, problems as errors. Knows no paths."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from lab.errors import LabError

TIMEOUT = 20.0
"""Seconds; longer than the controller waits for its switches (10) before it answers 202."""


class ProblemError(LabError):
    """The controller refused: `status` and the problem document (RFC 9457) as `problem`."""

    def __init__(self, request: str, status: int, problem: dict[str, Any]) -> None:
        text = problem.get("detail") or problem.get("title") or "no problem document"
        super().__init__(f"{request}: {status}: {text}")
        self.status = status
        self.problem = problem


class LateError(LabError):
    """The controller accepted a change that is not in force everywhere yet (202); `body` names the switches."""

    def __init__(self, request: str, body: Any) -> None:
        super().__init__(f"{request}: accepted, but not yet in force: {body}")
        self.body = body


class Api:
    """REST at `url` (without the /v1), with an optional bearer token."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.settle: Callable[[], None] = lambda: None
        """Called where the next packet has to be decided by what was changed; see Lab.settle."""
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def get(self, path: str, timeout: float = TIMEOUT) -> Any:
        """What the controller says at `path` (`/v1/…`). ProblemError, or OSError when it does not answer in time."""
        return self._request("GET", path, None, timeout)

    def post(self, path: str, body: Any) -> Any:
        """Create; return what was made. ProblemError; LateError when a switch has not followed in time."""
        return self._request("POST", path, body, TIMEOUT)

    def patch(self, path: str, body: Any) -> Any:
        """Change; errors as for post."""
        return self._request("PATCH", path, body, TIMEOUT)

    def delete(self, path: str) -> None:
        """Delete; errors as for post."""
        self._request("DELETE", path, None, TIMEOUT)

    def _request(self, method: str, path: str, body: Any, timeout: float) -> Any:
        what = f"{method} {self.url}{path}"
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with _opener().open(request, timeout=timeout) as answer:
                content = json.loads(answer.read() or b"null")
                if answer.status == 202:
                    raise LateError(what, content)
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise ProblemError(what, error.code, _problem(error.read())) from None


def _opener() -> urllib.request.OpenerDirector:
    # A proxy that the environment names is for the world, not for our own controller.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {"detail": body.decode(errors="replace")[:200]}
    return problem if isinstance(problem, dict) else {"detail": str(problem)}
