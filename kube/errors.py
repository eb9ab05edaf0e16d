"""What can go wrong with the API server, as exceptions that name the object, the cause and the remedy."""

from __future__ import annotations

from typing import Final


class ApiError(Exception):
    """A call that failed. `status` is HTTP's, 0 when no answer came; `retry_after` in seconds, if it said so."""

    def __init__(
        self, subject: str, cause: str, remedy: str, status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{subject}: {cause}; {remedy}")
        self.subject, self.cause, self.remedy, self.status = subject, cause, remedy, status
        self.retry_after = retry_after


class NotFound(ApiError):
    """There is no such object, or the API server does not know such objects."""


class Conflict(ApiError):
    """The object has changed meanwhile, or (when it was to be made) exists already."""


class Gone(ApiError):
    """The resource version is too old: list anew."""


class Forbidden(ApiError):
    """The caller lacks a right."""


class Invalid(ApiError):
    """The API server does not take such an object."""


class Unreachable(ApiError, ConnectionError):
    """No answer: the API server is away, or answers something else than itself."""


class Busy(ApiError, ConnectionError):
    """The API server asks to come again later, or failed inside."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    400: Invalid,
    422: Invalid,
    429: Busy,
}
_REMEDIES: Final[dict[type[ApiError], str]] = {
    NotFound: "make it first, or apply the manifests of this version (deploy/kubernetes)",
    Conflict: "read it again",
    Gone: "list it anew",
    Invalid: "correct what is named",
    Busy: "it is tried again",
}


def of_answer(subject: str, verb: str, status: int, message: str, retry_after: float | None) -> ApiError:
    """Return the error that an answer stands for. `subject` is as in `pods "a/b"`."""
    kind = _BY_STATUS.get(status, Busy if status >= 500 else ApiError)
    if status == 401:
        remedy = "give a token or certificate that the API server knows"
    elif status == 403:
        remedy = f"let this ServiceAccount {verb} {subject.partition(' ')[0]} (RBAC: deploy/kubernetes/base/rbac.yaml)"
    else:
        remedy = _REMEDIES.get(kind, "look at the API server's log")
    return kind(subject, f"cannot {verb}: {message or f'status {status}'}", remedy, status, retry_after)
