"""Whether a flow lets a packet come to a table that it has seen. Asked of flows that do not hold: what to call them.

That flows which hold do not is what `docs/verification.md` says of the claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology.fields import FULL_MASK
from topology.flow import Actions, Flow, Op
from topology.pipeline import ASKED, BALANCER, OUTPUT_PORT, OUTSIDE, SPACE, Table

_UNASKED: Final = (OUTSIDE, 0, FULL_MASK[OUTSIDE])


def circles(flow: Flow) -> bool:
    """Whether a packet comes to a table that it has seen, as it was; by icmp0, to one that sends it there again."""
    seen = max(flow.table, Table.LEAVING_ERRORS) if flow.table == Table.ICMP_INGRESS else flow.table
    targets = {*_targets(flow.actions), *(each for group in flow.groups for each in _targets(_all(group.buckets)))}
    # LOCAL takes errors back in the pod's own space; in the shared one it would send them to icmp0 again.
    own_space = any(action[:2] == (Op.SET, SPACE) and action[2] for action in flow.actions)
    again = flow.table == Table.LOCAL and Table.ARRIVING_ERRORS in targets and not own_space
    return again or any(target <= seen and not _may_go_back(flow, target) for target in targets)


def _may_go_back(flow: Flow, target: int) -> bool:
    """Whether it is one of the ways back that there are, and a packet does not take it again."""
    match flow.table, target:
        case Table.ROUTING, Table.ROUTING:  # who has asked is told from who has not
            return any(each[:3] == (Op.SET, OUTSIDE, ASKED) for each in flow.actions) and _UNASKED in flow.match
        case Table.OUTPUT, Table.OUTPUT:
            return (Op.NO_IN_PORT,) in flow.actions
        case Table.BALANCING, Table.OUTPUT:
            return any(each[:2] == (Op.SET, OUTPUT_PORT) and each[2] != BALANCER for each in flow.actions)
        case ((Table.BALANCING | Table.ENDPOINTS), Table.EGRESS_POLICY):
            return True  # what chooses the load balancer is before that
        case (Table.BALANCING, Table.AFFINITY) | (Table.LEARNING, Table.ENDPOINTS):
            return True  # the first only loads a number; with that, the second knows an endpoint
    return False


def _all(buckets: tuple[tuple[int, int, Actions], ...]) -> Actions:
    return tuple(action for _, _, actions in buckets for action in actions)


def _targets(actions: Actions) -> Iterator[int]:
    for action in actions:
        match action:
            case (Op.CLONE, tuple(nested)):
                yield from _targets(nested)
            case (Op.GOTO | Op.RESUBMIT, int(table)) | (Op.CT, _, _, int(table), _):
                yield table
