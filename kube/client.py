"""Calls to one API server: bytes out and in, by the connection and the credentials that `kubernetes` sets up.

What objects look like is in `objects` and `resources`; what a watch means, in `reflector`. A call returns the answer's
body or raises an ApiError that names verb and object; nothing is tried again here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import structlog
import urllib3
from kubernetes import client as library
from kubernetes import config as library_config

from kube.errors import ApiError, Unreachable, of_answer

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 5.0
LIST_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 90.0  # an API server sends a bookmark each minute
MOST_CONNECTIONS: Final = 64  # watches, and writes beside them
MERGE_PATCH: Final = "application/merge-patch+json"  # RFC 7396
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
_JSON: Final = "application/json"


log = structlog.get_logger(__name__)


class Resource(NamedTuple):
    """One kind of object: where it is in the API."""

    group: str  # "" for the core group
    version: str
    plural: str
    namespaced: bool = False

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of an object, of all of a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        space = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        tail = "".join(f"/{quote(part)}" for part in (name, subresource) if part)
        return f"{root}{space}/{self.plural}{tail}"

    @property
    def full_name(self) -> str:
        """Its name in messages, as in RBAC: plural and group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class ApiServer(NamedTuple):
    """Where the API server is, and by what it is reached: a kubeconfig file (and context), or a pod's own account.

    `url` overrides the server's: a real address, where a service address is ours to provide.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    url: str | None = None


class _Ask(NamedTuple):
    """One call: HTTP's method, RBAC's verb, the object, and what is sent. `seconds` are given to each read."""

    method: str
    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str | int] | None = None
    body: Any = None
    media_type: str = _JSON
    seconds: float = READ_SECONDS

    @property
    def path(self) -> str:
        """Where the object is."""
        return self.resource.path(self.namespace, self.name, self.subresource)

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        return self.body if self.body is None or isinstance(self.body, bytes) else msgspec.json.encode(self.body)

    @property
    def subject(self) -> str:
        """The object in messages, such as `pods/status "shop/web-1"`."""
        what = self.resource.full_name + (f"/{self.subresource}" if self.subresource else "")
        which = "/".join(part for part in (self.namespace, self.name) if part)
        return f'{what} "{which}"' if which else what


class _Said(msgspec.Struct, frozen=True):
    """What of a Status (meta/v1) is looked at."""

    message: str = ""
    reason: str = ""


class Client:
    """Calls to an API server. Any number of threads (green ones too) may call at once.

    Raises ApiError when it cannot be set up.
    """

    def __init__(self, server: ApiServer) -> None:
        configuration = _configuration(server)
        configuration.connection_pool_maxsize = MOST_CONNECTIONS
        configuration.retries = False
        self._configuration = configuration
        self._pool: Any = library.ApiClient(configuration).rest_client.pool_manager
        self.url: str = configuration.host.rstrip("/")
        if self.url.startswith("https:") and not configuration.verify_ssl:
            log.warning("the API server's certificate is not checked: its kubeconfig says so", url=self.url)
            warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)

    def get(self, resource: Resource, name: str, namespace: str = "") -> bytes:
        """Return one object."""
        return self._call(_Ask("GET", "get", resource, namespace, name))

    def list(self, resource: Resource, query: Mapping[str, str | int], namespace: str = "") -> bytes:
        """Return a page of objects."""
        return self._call(_Ask("GET", "list", resource, namespace, query=query, seconds=LIST_SECONDS))

    def watch(self, resource: Resource, query: Mapping[str, str | int], namespace: str = "") -> Iterator[bytes]:
        """Yield the lines of a watch until it ends. `query` has timeoutSeconds; the API server ends it then.

        One that says nothing for long, not even a bookmark, has lost its connection.
        """
        seconds = min(float(query["timeoutSeconds"]) + READ_SECONDS, QUIET_SECONDS)
        ask = _Ask("GET", "watch", resource, namespace, query={**query, "watch": "true"}, seconds=seconds)
        answer = self._open(ask)
        try:
            yield from _lines(answer, ask)
        finally:
            answer.close()  # not given back: what is left to read on it is not known

    def create(self, resource: Resource, body: Any, namespace: str = "", name: str = "") -> bytes:
        """Make an object; return it as it is. `name` is for messages only."""
        ask = _Ask("POST", "create", resource, namespace, name, body=body)
        return self._call(ask, resource.path(namespace))

    def replace(self, resource: Resource, name: str, body: Any, namespace: str = "", subresource: str = "") -> bytes:
        """Replace an object; the body's metadata.resourceVersion, if it has one, has to be the present one."""
        return self._call(_Ask("PUT", "update", resource, namespace, name, subresource, body=body))

    def patch(self, resource: Resource, name: str, body: Any, namespace: str = "", subresource: str = "") -> bytes:
        """Change an object by a merge patch (RFC 7396)."""
        ask = _Ask("PATCH", "patch", resource, namespace, name, subresource, body=body, media_type=MERGE_PATCH)
        return self._call(ask)

    def patch_status(self, resource: Resource, name: str, body: Any, namespace: str = "") -> bytes:
        """Change the status of one of Kubernetes' own objects, by a patch that knows its lists' keys."""
        ask = _Ask("PATCH", "patch", resource, namespace, name, "status", body=body, media_type=STRATEGIC_PATCH)
        return self._call(ask)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        resource_version: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Delete an object, if given only at that version. `options`: more of meta/v1, DeleteOptions."""
        preconditions = {"preconditions": {"resourceVersion": resource_version}} if resource_version else {}
        body = {**(options or {}), **preconditions} or None
        return self._call(_Ask("DELETE", "delete", resource, namespace, name, body=body))

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _call(self, ask: _Ask, path: str | None = None) -> bytes:
        answer = self._open(ask, path)
        try:
            content: bytes = answer.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            answer.close()
            raise _unreachable(self.url, ask, error) from None
        answer.release_conn()
        return content

    def _open(self, ask: _Ask, path: str | None = None) -> Any:
        """Return the answer with its body unread. Raises ApiError for anything but success."""
        query = f"?{urlencode(ask.query)}" if ask.query else ""
        headers = {"Accept": _JSON, "User-Agent": "heddle", **self._credentials()}
        if ask.body is not None:
            headers["Content-Type"] = ask.media_type
        try:
            answer = self._pool.request(
                ask.method,
                f"{self.url}{path or ask.path}{query}",
                body=ask.content,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ask.seconds),
                preload_content=False,
                retries=False,
            )
            if answer.status < 300:
                return answer
            said = answer.read(1 << 20)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(self.url, ask, error) from None
        answer.release_conn()
        raise _failed(answer, said, ask)

    def _credentials(self) -> dict[str, str]:
        """Return the headers that say who calls; a pod's token is read again when it is old."""
        found = self._configuration.auth_settings().get("BearerToken")
        return {} if found is None or not found["value"] else {"Authorization": found["value"]}


def _configuration(server: ApiServer) -> Any:
    configuration = library.Configuration()
    try:
        if server.kubeconfig is not None:
            library_config.load_kube_config(str(server.kubeconfig), server.context, configuration, persist_config=False)
        else:
            library_config.load_incluster_config(configuration)
    except (library_config.ConfigException, OSError, ValueError, TypeError) as error:
        where = f"kubeconfig {server.kubeconfig}" if server.kubeconfig else "the pod's service account"
        remedy = "name a kubeconfig with --heddle-kubeconfig, or run in a pod with a ServiceAccount"
        raise ApiError(where, f"cannot be used: {error}", remedy) from None
    if server.url is not None:
        configuration.host = server.url
    configuration.no_proxy = os.environ.get("no_proxy", "")
    return configuration


def _failed(answer: Any, said: bytes, ask: _Ask) -> ApiError:
    try:
        message = msgspec.json.decode(said, type=_Said).message
    except msgspec.DecodeError:
        message = said[:200].decode("utf-8", "replace").strip()
    after = answer.headers.get("Retry-After", "")
    return of_answer(ask.subject, ask.verb, answer.status, message, float(after) if after.isdigit() else None)


def _unreachable(url: str, ask: _Ask, error: Exception) -> Unreachable:
    reason = getattr(error, "reason", None) or error
    return Unreachable(ask.subject, f"cannot {ask.verb}: {url} does not answer ({reason})", "it is tried again")


def _lines(answer: Any, ask: _Ask) -> Iterator[bytes]:
    """Yield the lines of a body as they come."""
    rest = b""
    try:
        for chunk in answer.stream(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(ask.subject, f"the watch broke off ({error})", "it is begun again") from None
