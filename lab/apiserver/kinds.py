"""Which kinds of objects the double has: those built in that a network looks at, and custom ones that are installed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple


class KindName(NamedTuple):
    """What identifies a kind in a path."""

    group: str
    plural: str


@dataclass(frozen=True)
class Kind:
    """One kind. `status`: it has the status subresource, so that spec and status are written apart."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = False
    status: bool = False
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    @property
    def name(self) -> KindName:
        """What identifies it."""
        return KindName(self.group, self.plural)

    @property
    def api_version(self) -> str:
        """As in objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


CRDS: Final = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", status=True)
NAMESPACES: Final = Kind("", "v1", "namespaces", "Namespace", status=True, short=("ns",))
BUILT_IN: Final = (
    NAMESPACES,
    Kind("", "v1", "pods", "Pod", namespaced=True, status=True, short=("po",)),
    Kind("", "v1", "nodes", "Node", status=True, short=("no",)),
    Kind("", "v1", "services", "Service", namespaced=True, status=True, short=("svc",)),
    Kind("", "v1", "events", "Event", namespaced=True, short=("ev",)),
    Kind("", "v1", "configmaps", "ConfigMap", namespaced=True, short=("cm",)),
    Kind("", "v1", "secrets", "Secret", namespaced=True),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True, short=("sa",)),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", namespaced=True),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", namespaced=True, short=("netpol",)),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True),
    CRDS,
)


PODS: Final = next(kind for kind in BUILT_IN if kind.plural == "pods")


def of_definition(body: dict[str, Any]) -> Kind:
    """Return the kind that a CustomResourceDefinition makes. Raises KeyError for one that lacks what it needs."""
    spec, names = body["spec"], body["spec"]["names"]
    version = next(each for each in spec["versions"] if each.get("storage"))
    return Kind(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        "status" in version.get("subresources", {}),
        tuple(names.get("shortNames", ())),
        tuple(names.get("categories", ())),
        tuple(version.get("additionalPrinterColumns", ())),
    )
