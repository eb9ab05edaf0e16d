"""What Kubernetes' API server tells a node of the controllers: where they are, as their Leases say.

Asked at the start, and when no controller that is known answers. Nothing else of Kubernetes is looked at here.
"""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cni_shim.errors import IO_FAILURE, REFUSED, TRY_AGAIN, ShimError
from cni_shim.node.settings import SCHEMES, ApiServer

LABEL = "heddle.sdn/lease=replica"
ANNOTATION = "heddle.sdn/api"
TIMEOUT = 5.0  # seconds
LARGEST_ANSWER = 8 << 20


def controllers(server: ApiServer) -> tuple[str, ...]:
    """URLs of the controllers' APIs, of who renewed its Lease last first. ShimError names verb, resource and remedy.

    Some may be dead: whose Lease is not renewed any more cannot be told without watching it for a while.
    """
    path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(server.namespace)}/leases?labelSelector={quote(LABEL)}"
    status, content = _get(server, path)
    if status != 200:
        raise _refused(server, status, content)
    found = sorted(filter(None, map(_url, _items(content))), reverse=True)
    return tuple(dict.fromkeys(url for _, url in found))


def _get(server: ApiServer, path: str) -> tuple[int, Any]:
    where = urlsplit(server.url)
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
        if server.certificate is not None:
            context.load_cert_chain(server.certificate, server.key)
        connection = http.client.HTTPSConnection(where.netloc, timeout=TIMEOUT, context=context)
        with closing(connection):
            connection.request("GET", where.path.rstrip("/") + path, headers=_headers(server))
            answer = connection.getresponse()
            text = answer.read(LARGEST_ANSWER)
        return answer.status, json.loads(text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ShimError(TRY_AGAIN, f"the API server at {server.url} does not answer", str(error)) from None


def _headers(server: ApiServer) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "heddle-node"}
    if server.token_file is not None:
        headers["Authorization"] = f"Bearer {read_account(server.token_file)}"
    return headers


def read_account(path: str) -> str:
    """The ServiceAccount's token at `path`: read anew each time, as kubelet renews it. ShimError when there is none."""
    try:
        token = Path(path).read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ShimError(IO_FAILURE, f"no ServiceAccount token in {path}", str(error)) from None
    if not token:
        raise ShimError(IO_FAILURE, f"no ServiceAccount token in {path}", "the file is empty")
    return token


def _items(content: Any) -> list[Any]:
    items = content.get("items") if isinstance(content, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _url(lease: dict[str, Any]) -> tuple[str, str] | None:
    """When a Lease was renewed, and the URL that it tells; None when it tells none."""
    try:
        url = lease["metadata"]["annotations"][ANNOTATION]
        renewed = lease["spec"].get("renewTime") or ""
    except (KeyError, TypeError, AttributeError):
        return None
    return (str(renewed), url) if isinstance(url, str) and url.startswith(SCHEMES) else None


def _refused(server: ApiServer, status: int, content: Any) -> ShimError:
    said = content.get("message") if isinstance(content, dict) else None
    what = f"the API server refuses to list leases.coordination.k8s.io in namespace {server.namespace}"
    remedy = "give this node's account the Role heddle-node" if status == 403 else "is its token or certificate good?"
    return ShimError(REFUSED, what, f"{status}: {said or 'no reason given'}; {remedy}")
