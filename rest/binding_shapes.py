"""The shapes of what is said and answered about projects, bindings and pods. No behaviour here."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from rest.shapes import Counter, LateNodes
from store.bindings import Attachment, Binding, LabelMap, Pod
from store.fields import Label, Object


class ProjectCreation(Object, frozen=True):
    """Make a project, at home on a network; without, on its own or the default one, as the cluster is set up.

    `labels` replace what the project has; null: they stay.
    """

    name: Label
    network: Label | None = None
    labels: LabelMap | None = None


class ProjectChange(Object, frozen=True):
    """Replace a project's labels, or (one at a time) take the project and its pods to another network, its new home.

    `recreate`: pods whose addresses cannot go along stay as they are until they are made anew.
    """

    labels: LabelMap | None = None
    network: Label | None = None
    recreate: bool = False


class MoveView(Object, frozen=True, rename={"source": "from", "target": "to"}):
    """A move that is under way, and how far it is; meanwhile pods are on the transit network."""

    source: Label
    target: Label
    transit: Label
    stage: Literal["preparing", "crossing", "serving", "arriving"]


class ProjectView(Object, frozen=True):
    """A project, the primary network of its pods, and its home: the network that it is on without a binding.

    `secondary` networks are those that each of its pods gets besides, `optional` those that one may ask for. `outdated`
    counts ports that are on a network which the project is not bound to any more, until their pods are made anew.
    """

    name: Label
    network: Label
    home: Label
    is_placed: bool = field(name="placed")
    labels: LabelMap
    secondary: tuple[Label, ...]
    optional: tuple[Label, ...]
    ports: Counter
    outdated: Counter
    moving: MoveView | None


class ProjectMade(ProjectView, frozen=True):
    """A project that was made or changed."""

    late: LateNodes = ()


class Projects(Object, frozen=True):
    """All projects."""

    projects: tuple[ProjectView, ...]


class Bindings(Object, frozen=True):
    """All bindings."""

    bindings: tuple[Binding, ...]


class BindingDetail(Binding, frozen=True, kw_only=True):
    """A binding, and the projects that it selects now."""

    selected: tuple[Label, ...]


class BindingMade(BindingDetail, frozen=True, kw_only=True):
    """A binding that was made or replaced."""

    late: LateNodes = ()


class Pods(Object, frozen=True):
    """All pods of which something was said."""

    pods: tuple[Pod, ...]


class PodDetail(Pod, frozen=True, kw_only=True):
    """A pod, and the interfaces that it would get if it came now, the primary one first; or why it would be refused."""

    attachments: tuple[Attachment, ...]
    refusal: str | None


class PodMade(PodDetail, frozen=True, kw_only=True):
    """A pod of which something was said."""

    late: LateNodes = ()
