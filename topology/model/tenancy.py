"""Who is on which network: projects, pods, the administrator's bindings, and moves that are under way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from topology.labels import Labels, Selector
from topology.model.addressing import NAME_LABEL, Address


@dataclass(frozen=True, slots=True)
class Project:
    """A Kubernetes namespace, and `network`, the primary one of its pods.

    `home`, unless given the same, is the one it is on when no binding says otherwise. Whether somebody chose that is
    `is_placed`; else it came by itself: the flat default, or a network of the project's own.
    """

    name: str
    network: str
    home: str = ""
    labels: Labels = ()
    is_placed: bool = True

    def __post_init__(self) -> None:
        if not self.home:
            object.__setattr__(self, "home", self.network)

    @property
    def selectable(self) -> Labels:
        """Its labels as selectors see them: with the one that says its name."""
        return (*self.labels, (NAME_LABEL, self.name))


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of a pod. Without a name it is net1, net2, …; of a pod's primary network, the runtime names it.

    `addresses` (one for each family at most) and `mac` are allotted unless given.
    """

    network: str
    interface: str = ""
    addresses: tuple[Address, ...] = ()
    mac: int | None = None


# Bits a second that a pod can be limited to, as in Kubernetes (pkg/util/bandwidth): 1k to 1P.
LEAST_BANDWIDTH: Final = 10**3
MOST_BANDWIDTH: Final = 10**15


class PodKey(NamedTuple):
    """What identifies a pod."""

    project: str
    name: str


@dataclass(frozen=True, slots=True)
class Pod:
    """What a tenant says of a pod: its labels, and which networks it asks for besides. It gives the pod no right.

    By each of its ports it may get (`ingress_bandwidth`) and send (`egress_bandwidth`) so many bits a second, or any.
    """

    key: PodKey
    labels: Labels = ()
    networks: tuple[str, ...] = ()
    ingress_bandwidth: int | None = None
    egress_bandwidth: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """An administrator's rule: which networks the selected projects, or pods of them, are on.

    Without `pods` it gives networks to projects: the primary one (None: as it is), those that each of their pods gets
    besides, and those that a pod may ask for. With `pods` it chooses, for the pods selected, among what their
    project has.
    """

    name: str
    projects: Selector
    pods: Selector | None = None
    primary: Attachment | None = None
    secondary: tuple[Attachment, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The primary one, if there is any, and the secondary ones."""
        return self.secondary if self.primary is None else (self.primary, *self.secondary)

    @property
    def networks(self) -> tuple[str, ...]:
        """Every network that it names, once."""
        return tuple(dict.fromkeys((*(each.network for each in self.attachments), *self.optional)))


class Stage(Enum):
    """How far a move is: what the switches are being told, or have been."""

    PREPARING = "preparing"  # the transit network is connected; the pods are on the source
    CROSSING = "crossing"  # the pods are on the transit network
    SERVING = "serving"  # the project, with its services, is on the target; its pods are where they were
    ARRIVING = "arriving"  # the pods are on the target, too; the transit network ends next


@dataclass(frozen=True, slots=True)
class Move:
    """A project's pods on their way from one network to another, by a transit network that may talk with whoever the
    source or the target may talk with. See docs/decisions/live-changes.md.
    """

    project: str
    source: str
    target: str
    transit: str
    stage: Stage = Stage.PREPARING
