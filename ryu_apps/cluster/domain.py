"""What this replica may decide: by its shares, and only while the API server confirms that it lives."""

from __future__ import annotations

from typing import Final

from kube.leases import Membership
from kube.shares import DECISIONS, share_of
from store.base import StoreError
from topology.requests import (
    ForgetPort,
    GroupsHeard,
    NodeFound,
    NodeLost,
    PortSeen,
    PortVanished,
    ReleaseAddresses,
    ReportPort,
    Request,
    SwitchPorts,
)

# What a switch tells, and which groups a node has heard of: asked for as far as it is allowed.
_NUMBERS: Final = (PortSeen, PortVanished, SwitchPorts, GroupsHeard)


class ClusterDomain:
    """See `ryu_apps.domain.Domain`."""

    def __init__(self, membership: Membership, switch_shares: int) -> None:
        self._membership = membership
        self._switch_shares = switch_shares

    def check(self, request: Request) -> None:
        """Raise StoreError when another replica decides on a request, or nobody can now."""
        if isinstance(request, _NUMBERS):
            return
        trouble = self._membership.trouble
        if trouble:
            raise StoreError("the API server", trouble, "nothing is decided until it does; ask again")
        if isinstance(request, ReportPort | ForgetPort):
            if not self.answers_for(request.key.node):
                raise _elsewhere(f"node {request.key.node}")
        elif isinstance(request, NodeLost | NodeFound):
            if not self.answers_for(request.name):
                raise _elsewhere(f"node {request.name}")
        elif not isinstance(request, ReleaseAddresses) and DECISIONS not in self._membership.view.mine:
            raise _elsewhere("the whole network")

    def answers_for(self, node: str) -> bool:
        """Whether this replica answers for a node's ports and addresses."""
        return self.share_of(node) in self._membership.view.mine and not self._membership.trouble

    def share_of(self, node: str) -> str:
        """Return the share that a node is in."""
        return share_of(node, self._switch_shares)


def _elsewhere(what: str) -> StoreError:
    return StoreError("this replica", f"another one answers for {what}", "ask that one: GET /v1/replicas")
