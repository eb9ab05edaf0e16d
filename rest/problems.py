"""Errors as clients see them: problem details (RFC 9457). Which kinds there are, and how refusals become them.

Every problem names the object (`subject`), what is wrong (`cause`) and what to do (`remedy`); `detail` is the three in
one sentence. No routing and no resources here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from store.base import StoreError
from store.fields import Malformed, Object
from topology.requests import Reason, Refused
from topology.verification import Unsafe
from topology.verification.words import whole_text


class Kind(NamedTuple):
    """One kind of problem. `slug` stands in its type URI; `meaning` is its documentation."""

    slug: str
    status: int
    title: str
    meaning: str

    @property
    def type_uri(self) -> str:
        """What identifies the kind: a reference to the list of all of them."""
        return f"/v1/problems#{self.slug}"


MALFORMED: Final = Kind("malformed", 400, "Malformed request", "Path, query or body are not of the documented shape.")
UNAUTHENTICATED: Final = Kind("unauthenticated", 401, "No valid token", "The call needs a token, or has a wrong one.")
FORBIDDEN: Final = Kind("forbidden", 403, "Not allowed", "The token is good, but not for this call.")
NO_RESOURCE: Final = Kind("no-resource", 404, "No such resource", "The API has nothing at this path.")
UNKNOWN: Final = Kind("unknown", 404, "No such object", "The call names an object that does not exist.")
NO_METHOD: Final = Kind("no-method", 405, "Method not allowed", "The resource has no such method; see Allow.")
TAKEN: Final = Kind("taken", 409, "Taken", "A name, number or address belongs to somebody else.")
IN_USE: Final = Kind("in-use", 409, "In use", "Others depend on the object.")
BUILT_IN: Final = Kind("built-in", 409, "Built in", "The object cannot be changed by anybody.")
TOO_LARGE: Final = Kind("too-large", 413, "Body too large", "The body is larger than any valid one.")
NOT_JSON: Final = Kind("not-json", 415, "Not JSON", "The body's media type is not application/json.")
INVALID: Final = Kind("invalid", 422, "Cannot be granted", "Well-formed, but a value that can never be right here.")
INTERNAL: Final = Kind("internal", 500, "Internal error", "The controller failed; its log says where.")
UNSAFE: Final = Kind(
    "unsafe", 500, "Not sound", "The change's flows would not do what the network allows; nothing was changed."
)
NOT_READY: Final = Kind("not-ready", 503, "Not ready", "What was asked about is not ready; the detail says why.")
NO_REPLICA: Final = Kind(
    "no-replica", 503, "No replica answers", "The replica that answers for this is gone; another takes over in seconds."
)
STORE: Final = Kind("store", 503, "The store failed", "Nothing was changed, for it could not be kept.")
EXHAUSTED: Final = Kind("exhausted", 507, "Exhausted", "A pool of addresses or numbers is empty.")

KINDS: Final = (
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NO_RESOURCE,
    UNKNOWN,
    NO_METHOD,
    TAKEN,
    IN_USE,
    BUILT_IN,
    TOO_LARGE,
    NOT_JSON,
    INVALID,
    INTERNAL,
    UNSAFE,
    NOT_READY,
    NO_REPLICA,
    STORE,
    EXHAUSTED,
)
OF_REASON: Final = {
    Reason.INVALID: INVALID,
    Reason.UNKNOWN: UNKNOWN,
    Reason.TAKEN: TAKEN,
    Reason.IN_USE: IN_USE,
    Reason.BUILT_IN: BUILT_IN,
    Reason.EXHAUSTED: EXHAUSTED,
    Reason.UNSAFE: UNSAFE,
}


class ProblemDocument(Object, frozen=True, rename={"kind": "type"}):
    """Problem details (RFC 9457). `type` leads to the list of kinds; `instance` is the path that was asked for."""

    kind: str
    title: str
    status: int
    detail: str
    instance: str
    subject: str
    cause: str
    remedy: str
    path: str | msgspec.UnsetType = msgspec.UNSET  # JSON path of the field at fault, such as $.vnid
    findings: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET  # of a change that is not sound, with witnesses


class Problem(Exception):
    """Ends a call with an error. `path` is the JSON path of the field at fault, `headers` go with the answer."""

    def __init__(self, kind: Kind, subject: str, cause: str, remedy: str) -> None:
        super().__init__(f"{subject}: {cause}; {remedy}")
        self.kind, self.subject, self.cause, self.remedy = kind, subject, cause, remedy
        self.path: str | None = None
        self.findings: tuple[str, ...] | None = None
        self.headers: tuple[tuple[str, str], ...] = ()

    def at(self, path: str) -> Problem:
        """Return this problem with the JSON path of the field at fault."""
        self.path = path
        return self

    def sending(self, *headers: tuple[str, str]) -> Problem:
        """Return this problem with headers for the answer."""
        self.headers = headers
        return self

    def document(self, instance: str) -> ProblemDocument:
        """Return what the client is sent."""
        return ProblemDocument(
            kind=self.kind.type_uri,
            title=self.kind.title,
            status=self.kind.status,
            detail=str(self),
            instance=instance,
            subject=self.subject,
            cause=self.cause,
            remedy=self.remedy,
            path=self.path if self.path is not None else msgspec.UNSET,
            findings=self.findings if self.findings is not None else msgspec.UNSET,
        )


def of_refusal(refused: Refused) -> Problem:
    """Return the problem that a refusal is."""
    problem = Problem(OF_REASON[refused.reason], refused.subject, refused.cause, refused.remedy)
    if isinstance(refused, Unsafe):
        problem.findings = tuple(map(whole_text, refused.findings))
    return problem


def of_store(error: StoreError) -> Problem:
    """Return the problem that a failure of the store is."""
    return Problem(STORE, error.name, error.cause, error.remedy)


def of_malformed(error: Malformed, subject: str) -> Problem:
    """Return the problem of a value that is of its schema, and still none that an object of its kind can have."""
    return Problem(INVALID, f"{subject}, {error.path}", error.cause, error.remedy).at(error.path)


_PLACE: Final = re.compile(r"(?P<cause>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_NEW_FIELD: Final = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<field>.*)`", re.DOTALL)
_PATTERN: Final = re.compile(r"Expected `str` matching regex (?P<regex>.*)", re.DOTALL)


def of_validation(error: msgspec.ValidationError, subject: str, shape: object, words: dict[str, str]) -> Problem:
    """Return the problem of a body or query that is not of its shape. `words` say patterns in plain language."""
    found = _PLACE.fullmatch(str(error))
    assert found is not None
    path, cause = found["path"] or "$", found["cause"]
    remedy = f"see {_name(shape)} in /v1/openapi.json"
    field = _NEW_FIELD.fullmatch(cause)
    if field is not None:
        path = f"{path}.{field['field']}"
        unknown = field["what"].startswith("contains")
        cause = "no such field is known" if unknown else "this field is required"
        known = _fields(shape) if path.count(".") == 1 else None
        remedy = f"the fields are: {known}" if known else remedy
    pattern = _PATTERN.fullmatch(cause)
    if pattern is not None:
        said = next((said for regex, said in words.items() if repr(regex) == pattern["regex"]), None)
        cause = f"expected {said}" if said else cause
    return Problem(MALFORMED, f"{subject}, {path}", cause.replace("`", ""), remedy).at(path)


def _name(shape: object) -> str:
    return getattr(shape, "__name__", "the schema")


def _fields(shape: object) -> str | None:
    names = getattr(shape, "__struct_encode_fields__", None)
    return ", ".join(names) if names else None
