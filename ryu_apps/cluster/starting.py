"""Puts a replica together. Nothing is listed, led or decided yet: the threads returned do that, in this order.

First all inputs are listed; only when they are known does the replica take part in leases, so nothing is programmed, or
deleted, by half of what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import eventlet
import msgspec
from eventlet import GreenPool

from kube.client import ApiServer, Client, Resource
from kube.errors import ApiError
from kube.inputs import Heard, Inputs
from kube.leases import Membership
from kube.leases import Replica as LeasedReplica
from kube.mirror import Mirror, Name, Version
from kube.objects import Custom
from kube.resources import ADDRESS_SLICES, GROUP, VERSION
from kube.reviews import Reviews
from kube.shares import share_names
from kube.store import KubernetesStore
from ryu_apps.cluster.allotting import Allotting, Known
from ryu_apps.cluster.announcing import Announcing
from ryu_apps.cluster.control import ClusterControl, Sources
from ryu_apps.cluster.deciding import Deciding, Parts
from ryu_apps.cluster.domain import ClusterDomain
from ryu_apps.cluster.following import Following
from ryu_apps.cluster.leading import Knowing, Leading
from ryu_apps.cluster.peers import Peers
from ryu_apps.link import Wire
from ryu_apps.moves import Conductor
from ryu_apps.owner import Owner
from ryu_apps.settings import Kubernetes, Settings
from ryu_apps.started import Started
from ryu_apps.tunnels import TunnelConductor
from topology.admission import admit
from topology.requests import SetCluster
from topology.snapshot import apply_all, empty

_WRITES_AT_ONCE: Final = 16
_LOOK_SECONDS: Final = 0.1


def start_cluster(settings: Settings, wire: Wire) -> Started:
    """Return the parts of a replica. Raises ApiError when the API server cannot be called at all, Refused."""
    told = settings.kubernetes
    assert told is not None
    client = Client(ApiServer(told.kubeconfig, url=told.apiserver))
    mirror = Mirror()
    store = KubernetesStore(client, mirror, _at_once)
    membership = Membership(client, _replica(settings, told), share_names(told.shards), told.namespace, told.lease)
    domain = ClusterDomain(membership, told.shards)
    snapshot = apply_all(empty(), admit(empty(), SetCluster(settings.cluster)))[0]
    owner = Owner(store, wire, snapshot, domain)
    owner.say(waiting_for=("everything: nothing is listed yet",))
    following = Following(owner, mirror, store)
    inputs = Inputs(client, eventlet.sleep, following.wake)
    knowing = Knowing(partial(_refresh, client, following), partial(_catch_up, inputs))
    leading = Leading(owner, membership, domain, knowing)
    announcing = Announcing(client, owner)
    token = settings.admin_token
    own = None if token is None else f"Bearer {token}"
    peers = Peers(settings.tls.ca if settings.tls else None, own, encrypted=settings.tls is not None)
    control = ClusterControl(owner, store, Sources(client, mirror, following, domain), peers, announcing)
    deciding = Deciding(Parts(following, store, mirror, control), lambda: leading.decides, pod_cidrs=told.pod_cidrs)
    allotting = Allotting(
        client,
        Known(mirror, lambda: owner.publication.current.snapshot, following.faults),
        lambda: leading.decides,
    )
    following.touched = _both(deciding.touched, allotting.touched)
    following.misread = lambda found, why: announcing.misread(found, why) if leading.decides else None
    conductor = Conductor(owner, lambda: leading.decides, control.reached)
    tunnels = TunnelConductor(owner, lambda: leading.decides, control.have_tunnels)
    taking_part: tuple[Callable[[], None], ...] = (
        leading.run,
        deciding.run,
        conductor.run,
        tunnels.run,
        allotting.run,
        partial(announcing.run, domain.answers_for),
    )
    threads: tuple[Callable[[], None], ...] = (
        partial(inputs.start, eventlet.spawn),
        partial(following.run, inputs),
        *(partial(_when_synchronised, following, thread) for thread in taking_part),
    )
    return Started(owner, control, threads, membership.leave, Reviews(client, told.namespace, told.audiences))


def _replica(settings: Settings, told: Kubernetes) -> LeasedReplica:
    return LeasedReplica(told.replica, told.api_url, settings.controllers[0])


def _both(*told: Callable[[Iterable[Name]], object]) -> Callable[[Iterable[Name]], None]:
    def tell(names: Iterable[Name]) -> None:
        for each in told:
            each(names)

    return tell


def _when_synchronised(following: Following, thread: Callable[[], None]) -> None:
    following.synchronised.wait()
    thread()


def _refresh(client: Client, following: Following, nodes: Iterable[str]) -> None:
    """Read the ports and addresses of nodes as they are now. What cannot be read comes by the watch."""
    pool = GreenPool(_WRITES_AT_ONCE)
    found = pool.imap(partial(_slice, client), sorted(nodes))
    following.take_in([heard for heard in found if heard is not None])


def _slice(client: Client, node: str) -> Heard | None:
    try:
        content = client.get(Resource(GROUP, VERSION, ADDRESS_SLICES.plural), node)
        return Heard(ADDRESS_SLICES.plural, msgspec.json.decode(content, type=Custom), gone=False)
    except (ApiError, msgspec.DecodeError):
        return None


def _catch_up(inputs: Inputs) -> None:
    inputs.restart()
    while not inputs.is_idle:
        eventlet.sleep(_LOOK_SECONDS)


def _at_once(calls: Iterable[Callable[[], Version]]) -> list[Version]:
    """Do calls at once; when several fail, the first error is raised when all are done."""
    calls = list(calls)
    if len(calls) == 1:
        return [calls[0]()]
    pool = GreenPool(_WRITES_AT_ONCE)
    threads = [pool.spawn(call) for call in calls]
    versions, errors = [], []
    for thread in threads:
        try:
            versions.append(thread.wait())
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return versions
