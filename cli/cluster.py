"""A cluster's controllers, and by what one is known to them: kubectl is asked, for it knows the cluster and its user.

Each replica of the controller has a Lease that says where its API is. The token is one for Heddle alone: it is good for
ten minutes, and for nothing else than the controllers. Nothing here talks to a controller.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cli.failures import Away, Failure, Misused, Refused, one_line

DEFAULT_NAMESPACE = "heddle-system"
ACCOUNT = "heddle-admin"
AUDIENCE = "heddle"
AUTHORITIES = "heddle-ca"  # a ConfigMap; its key is as in Kubernetes' own kube-root-ca.crt
_KEY = "ca.crt"
_LEASES = "leases.coordination.k8s.io"
_LABEL = "heddle.sdn/lease=replica"
_API = "heddle.sdn/api"
_GROUP = "heddle.sdn"
_SECONDS = 30.0
_BY_HAND = "name a controller with --server or HEDDLE_SERVER"


class Cluster(NamedTuple):
    """Which cluster, and which namespace of it has the controllers. `program`: kubectl, or oc."""

    program: str = "kubectl"
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = DEFAULT_NAMESPACE


class Found(NamedTuple):
    """Where controllers are (those that gave the latest sign of life first), a token for them, and who signs for them.

    `authorities`: certificates in PEM; None: those that the system trusts.
    """

    urls: tuple[str, ...]
    token: str
    authorities: str | None


class _Said(NamedTuple):
    """How a call of kubectl ended."""

    ok: bool
    out: str
    err: str

    @property
    def why(self) -> str:
        """The last line of what it said, which is the cause: before it come warnings and attempts."""
        lines = [line for line in self.err.splitlines() if line.strip()] or ["it said nothing"]
        return one_line(lines[-1]).removeprefix("error: ")

    @property
    def is_forbidden(self) -> bool:
        """Whether a right is lacking, and nothing else."""
        return not self.ok and "forbidden" in self.err.lower()

    @property
    def is_not_found(self) -> bool:
        """Whether there is no such object."""
        return not self.ok and "not found" in self.err.lower()


def find(cluster: Cluster, token: str | None, with_authorities: bool) -> Found:
    """Ask kubectl where the controllers are; for a token unless one is given, and for their authorities if asked to.

    Raises Misused when kubectl is not installed, Refused when a right is lacking, Away for everything else.
    """
    program = _program(cluster)
    with ThreadPoolExecutor(max_workers=3) as at_once:
        leases = at_once.submit(_run, program, cluster, "get", _LEASES, "--selector", _LABEL, "--output=json")
        asked = ("create", "token", ACCOUNT, "--duration=10m", f"--audience={AUDIENCE}")
        made = None if token is not None else at_once.submit(_run, program, cluster, *asked)
        named = ("get", "configmap", AUTHORITIES, "--output=json")
        trusted = at_once.submit(_run, program, cluster, *named) if with_authorities else None
    urls = _urls(program, cluster, leases.result())
    if token is None and made is not None:
        urls, token = _private(urls), _token(program, cluster, made.result())
    assert token is not None
    encrypted = any(url.startswith("https:") for url in urls)
    return Found(urls, token, _authorities(cluster, trusted.result()) if trusted and encrypted else None)


# --- where they are --------------------------------------------------------------------------------------------------


def _urls(program: str, cluster: Cluster, said: _Said) -> tuple[str, ...]:
    """Return the replicas' URLs. No clock of this machine is asked which of them live: they are tried."""
    if not said.ok:
        raise _failure(cluster, said, ("list", _LEASES, "replicas of the controller"))
    leases = _read(cluster, said).get("items") or []
    leases.sort(key=lambda lease: str((lease.get("spec") or {}).get("renewTime") or ""), reverse=True)
    told = (str((lease["metadata"].get("annotations") or {}).get(_API, "")) for lease in leases)
    found = dict.fromkeys(url for url in told if url.startswith(("http://", "https://")))
    if not found:
        raise Away(_nobody(program, cluster))
    return tuple(found)


def _nobody(program: str, cluster: Cluster) -> str:
    """Say why there is no replica."""
    where = f"no controller has a Lease in namespace {cluster.namespace}"
    known = _run(program, cluster, "api-resources", f"--api-group={_GROUP}", "--output=name")
    if known.ok and not known.out.strip():
        return f"{where}, and the cluster does not know {_GROUP} objects; install Heddle (docs/kubernetes.md)"
    look = f"{cluster.program} get pods --namespace {cluster.namespace}"
    return f"{where}; look whether one runs ({look}), or name the right namespace with --namespace"


def _private(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Return the URLs at which a token is not read on its way. Raises Refused when there are none."""
    found = tuple(url for url in urls if url.startswith("https:") or _is_here(url))
    if not found:
        remedy = "let the controllers have certificates, or give a token that may be read on its way, with --token-file"
        raise Refused(f"{', '.join(urls)}: no token of the cluster is sent there unencrypted; {remedy}")
    return found


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- who one is, and who they are ------------------------------------------------------------------------------------


def _token(program: str, cluster: Cluster, said: _Said) -> str:
    """Return the token made for this call; where none may be made, the user's own, if they have one."""
    if said.ok:
        return said.out.strip()
    own = _own_token(program, cluster) if said.is_forbidden else None
    if own is not None:
        return own
    if said.is_not_found:
        raise Away(f"{said.why}; install Heddle there (docs/kubernetes.md), or name the namespace with --namespace")
    raise _failure(cluster, said, ("create", "serviceaccounts/token", f"a token of {ACCOUNT}"))


def _own_token(program: str, cluster: Cluster) -> str | None:
    """Return the bearer token that kubeconfig has for its user; what such a user may, the controller asks itself."""
    said = _run(program, cluster, "config", "view", "--minify", "--raw", "--output=json")
    users = (_read(cluster, said).get("users") or []) if said.ok else []
    user = users[0].get("user", {}) if users else {}
    try:
        file = user.get("tokenFile")
        return user.get("token") or (Path(file).read_text(encoding="ascii").strip() if file else None)
    except (OSError, ValueError):
        return None


def _authorities(cluster: Cluster, said: _Said) -> str | None:
    """Return the certificates by which the controllers are known, None where the cluster names none."""
    if said.is_not_found:
        return None
    if not said.ok:
        raise _failure(
            cluster, said, ("get", "configmaps", f"{AUTHORITIES}, the controllers' authorities"), " or --ca-file"
        )
    found = (_read(cluster, said).get("data") or {}).get(_KEY)
    if not found:
        cause = f"configmap {cluster.namespace}/{AUTHORITIES} has no key {_KEY}"
        raise Refused(f"{cause}; put the authorities' certificates there (PEM), or name a file with --ca-file")
    return str(found)


# --- kubectl ---------------------------------------------------------------------------------------------------------


def _program(cluster: Cluster) -> str:
    found = shutil.which(cluster.program) or shutil.which("kubectl") or shutil.which("oc")
    if found is None:
        raise Misused(f"{cluster.program}: is not on PATH; install it, or {_BY_HAND}")
    return found


def _run(program: str, cluster: Cluster, *words: str) -> _Said:
    """Call kubectl. Who it needs to ask something on the way (a log-in), it may ask."""
    command = [program, *words, f"--namespace={cluster.namespace}", "--request-timeout=10s"]
    command += [f"--kubeconfig={cluster.kubeconfig}"] if cluster.kubeconfig else []
    command += [f"--context={cluster.context}"] if cluster.context else []
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _Said(ok=False, out="", err=f"it gave no answer within {_SECONDS:g} s")
    except OSError as error:
        raise Misused(f"{program}: {error.strerror}; install kubectl, or {_BY_HAND}") from error
    return _Said(done.returncode == 0, done.stdout, done.stderr)


def _read(cluster: Cluster, said: _Said) -> dict[str, Any]:
    """Return the object that kubectl has printed."""
    try:
        found = json.loads(said.out)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Away(
            f"{cluster.program} printed no JSON object where one was asked for; is it kubectl? If not, {_BY_HAND}"
        )
    return found


def _failure(cluster: Cluster, said: _Said, wanted: tuple[str, str, str], besides: str = "") -> Failure:
    """Return what a failed call stands for; `wanted` has the verb and the resource, as in RBAC, and what it is for."""
    verb, resource, what = wanted
    if said.is_forbidden:
        right = f"{verb} {resource} in namespace {cluster.namespace}"
        return Refused(f"{what}: {said.why}; ask for the right to {right} (RBAC), or {_BY_HAND}{besides}")
    return Away(f"{what}: {cluster.program} says: {said.why}; check --kubeconfig and --context, or {_BY_HAND}")
