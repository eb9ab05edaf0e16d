"""Chapters of `lab.demo_tenancy` about who decides: bindings, labels, a pod on three networks, a move under traffic."""

from __future__ import annotations

from lab.laboratory import Lab
from lab.runtime import CniError
from lab.story import Story
from lab.trials import NOBODY, Trial


def several_networks(lab: Lab, story: Story) -> None:
    """A pod on three networks reaches, and is reached by, who is on one of them; these stay apart from each other."""
    story.say("binding fir to the network ring besides, and to vault for pods that ask; elm's pods may be on either")
    lab.network("ring", projects=[], subnets=["10.20.0.0/24"])
    lab.network("vault", projects=[], subnets=["10.30.0.0/24"])
    lab.bind("fir-more", projects="fir", secondary=["ring"], optional=["vault"])
    lab.bind("elm-may", projects="elm", optional=["ring", "vault"])
    for name in ("ring", "vault"):
        lab.bind(f"in-{name}", projects="elm", pods={"role": name}, primary=name)
        lab.label_pod(f"elm/{name}", {"role": name})
    lab.label_pod("fir/hub", networks=["vault"])
    hub, ring, vault = lab.pods({"fir/hub": "n1", "elm/ring": "n2", "elm/vault": "n3"})
    story.say(f"fir/hub is on {', '.join(f'{name}: {network}' for name, network in hub.networks.items())}")
    fir = lab.pods_by_name["fir/b"]
    trials = [Trial(hub, peer, peer.name) for peer in (fir, ring, vault)]
    trials += [Trial(peer, hub, hub.name) for peer in (fir, ring, vault)]
    trials += [Trial(one, other, NOBODY) for one, other in ((ring, vault), (vault, ring), (fir, vault))]
    story.try_out("A pod on three networks, and one pod of each of them on another node", trials)


def labels(lab: Lab, story: Story) -> None:
    """What a tenant writes chooses only among what the administrator gave its project."""
    story.say("oak's pod thief labels itself as those of vault do, and another one asks for vault")
    lab.bind("by-label", projects={}, pods={"role": "vault"}, primary="vault")
    lab.label_pod("oak/thief", {"role": "vault"})
    lab.label_pod("oak/beggar", networks=["vault"])
    for name in ("oak/thief", "oak/beggar"):
        story.expect(f"{name} gets nothing", '"vault"', _refusal(lab, name))
    for name in ("by-label", "in-ring", "in-vault"):
        lab.unbind(name)


def _refusal(lab: Lab, name: str) -> str:
    """What the plugin says to a pod."""
    try:
        pod = lab.pod(name, "n1")
    except CniError as error:
        return str(error)
    return f"it is on {pod.network}"


def move(lab: Lab, story: Story) -> None:
    """A project goes to another network and back, with pods on two nodes that talk meanwhile."""
    a, b = (lab.pods_by_name[name] for name in ("oak/a", "oak/b"))
    pairs = [(a, b), (b, a)]
    story.say("moving oak, which has pods on n1 and n3, to the network fir and back, under pings every 10 ms")
    with lab.pings(pairs, interval=0.01) as pings:
        lab.move("oak", "fir")
        fir = lab.pods_by_name["fir/a"]
        there = Trial(a, fir, fir.name)
        story.try_out("On fir", [there, Trial(fir, b, b.name)])
        lab.move("oak", "oak")
    sent = sum(len(tally.sent) for tally in pings.tallies.values())
    story.expect("oak/a and oak/b meanwhile", "0 lost", f"{sent} pings, {sum(map(len, pings.lost.values()))} lost")
    story.try_out("Back on oak", [Trial(a, fir, NOBODY), Trial(a, b, b.name)])


def proof(lab: Lab, story: Story) -> None:
    """The flows of all nodes, proven against the model; and the ledger of addresses."""
    statement = lab.api.get("/v1/verification")
    seen = f"{statement['flows']} flows, proven" if statement["proven"] else str(statement["findings"])
    story.expect("heddle verify", "proven", seen)
    checked = lab.api.get("/v1/addresses/check")
    story.expect("heddle addresses --check", "sound", "sound" if checked["ok"] else str(checked["findings"]))
