"""Every command: what it asks the controller, what it prints, how it ends; as transcripts in tests/golden/cli."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from tests.cli.answers import BINDINGS, CONNECTIONS, NETWORKS, UNSOUND, furnish, trace
from tests.cli.conftest import Ended
from tests.cli.server import Answer, Fake, problem

COMMANDS = {
    "networks": ["networks", "networks -o json", "networks -o yaml", "networks east", "networks --transit -o json"],
    "create-network": [
        "create-network red",
        "create-network red --project red --project shop --vnid 10 --global",
        "create-network red -o json",
        "create-network red --subnet 10.0.0.0/24 --subnet office=10.0.1.0/24,10.0.1.254 --flat --mtu 1400",
        "create-network red --provider acme",
    ],
    "delete-network": [
        "delete-network red",
        "delete-network red -o json",
        "delete-network east --drain --provider acme",
    ],
    "connections": ["connections", "connections -o json"],
    "join-networks": [
        "join-networks red blue",
        "join-networks red blue --output yaml",
        "join-networks red blue --one-way",
        "join-networks red blue --one-way --port 80 --port 53/udp",
        "join-networks red blue --services-only",
        "join-networks red blue --translate",
    ],
    "isolate-networks": ["isolate-networks red blue", "isolate-networks red"],
    "set-multicast": ["set-multicast red", "set-multicast red --off --provider acme"],
    "groups": ["groups red", "groups red -o json"],
    "set-dscp": ["set-dscp red 46", "set-dscp red none --provider acme"],
    "make-global": ["make-global red", "make-global red --provider acme"],
    "projects": ["projects"],
    "move-project": ["move-project shop blue", "move-project red blue --recreate", "move-project blue red -o json"],
    "create-project": ["create-project shop --network red", "create-project shop --label team=b --label tier="],
    "label-project": ["label-project red team=a", "label-project red tier=x team- -o json"],
    "bindings": ["bindings", "bindings -o json"],
    "create-binding": [
        "create-binding storage --projects 'team in (a, b),!tier' --secondary storage --optional backup",
        "create-binding storage --projects '' --primary red --secondary storage:s0 -o json",
        "create-binding db -p red -p shop --projects team --pods 'role=db,env!=test,os notin (a),x==' --secondary s:s0",
        "create-binding db -p red --pods '' --primary storage,10.0.0.7,02:00:00:00:00:0A -o yaml",
    ],
    "delete-binding": ["delete-binding storage"],
    "egresses": ["egresses", "egresses -o json"],
    "create-egress": [
        "create-egress red --network red --address 203.0.113.5 --address 203.0.113.6",
        "create-egress red-db -n red -a 203.0.113.7 --pods tier=db --node n3 --fail-open -o json",
        "create-egress green --network green --via ops/firewall --fail-open",
    ],
    "delete-egress": ["delete-egress red"],
    "pods": ["pods", "pods red/db", "pods red/db -o json"],
    "set-pod": [
        "set-pod red/db --ingress-bandwidth 10M --egress-bandwidth 500k",
        "set-pod red/db --label role=db --network backup -o json",
    ],
    "forget-pod": ["forget-pod red/db"],
    "mirrors": ["mirrors", "mirrors -o json"],
    "create-mirror": [
        "create-mirror watch --network red --to ops/probe",
        "create-mirror web --pod red/web --to ops/gone -d out -o json",
    ],
    "delete-mirror": ["delete-mirror watch"],
    "delete-project": ["delete-project shop"],
    "services": ["services", "services -o yaml"],
    "create-service": [
        "create-service red/web --address 172.30.0.10 --port http=80 --port 53/udp",
        "create-service red/web -a 172.30.0.10 --port http=80 --node-port http=30080 --external 203.0.113.5",
        "create-service red/web -a 172.30.0.10 --port 80 --external 203.0.113.5 --source 192.0.2.0/24 --external-local",
        "create-service red/web -a 172.30.0.10 --port 80 --affinity 10800 --internal-local --publish-not-ready -o json",
    ],
    "delete-service": ["delete-service red/web"],
    "endpoints": ["endpoints", "endpoints -o json"],
    "set-endpoints": [
        "set-endpoints red/web-1 --service web --port http=8080 --endpoint 10.128.0.5@n1 --endpoint 10.128.2.7",
        "set-endpoints red/web-1 --service web --port 8080/tcp --endpoint fd00::5@n1 -o yaml",
        "set-endpoints red/web-1 --service web --port 8080",
    ],
    "delete-endpoints": ["delete-endpoints red/web-1"],
    "nodes": ["nodes"],
    "create-node": [
        "create-node n1 --underlay 192.0.2.11",
        "create-node n1 -u 192.0.2.11 --dpid 1 --subnet 10.128.0.0/23 --subnet fd00::/64 -o json",
    ],
    "set-node": [
        "set-node n1 --encapsulation geneve",
        "set-node n1 --encapsulation default -o json",
    ],
    "renew-token": ["renew-token n1", "renew-token n1 -o json"],
    "delete-node": ["delete-node n1", "delete-node n1 --drain --timeout 2.5"],
    "ports": ["ports", "ports --node n1 --network red --project red -o json"],
    "addresses": [
        "addresses",
        "addresses --network east --node n1 --state bound -o json",
        "addresses --history 10.128.0.2",
        "addresses --history 10.0.0.2 --space 12 -o json",
        "addresses --history 10.0.0.2 --check",
        "addresses --check",
        "addresses --check -o json",
        "addresses --check --network east",
    ],
    "switches": ["switches", "switches -o json"],
    "flows": ["flows n1", "flows n1 --table delivery", "flows n1 -t 0 -o json", "flows n1 --owner 'network RED'"],
    "trace": [
        "trace --from red/a --to blue/b",
        "trace --from red/a --to 192.0.2.80 --protocol tcp --port 80 -o json",
    ],
    "topology": ["topology", "topology -o yaml"],
    "status": ["status", "status -o json"],
    "replicas": ["replicas", "replicas -o json"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(
    command: str, fake: Fake, transcript: Callable[[str], str], golden: Callable[[str, str], None]
) -> None:
    furnish(fake)
    golden(f"cli/{command}.txt", "\n".join(transcript(line) for line in COMMANDS[command]))


def test_json_and_yaml_are_the_api_s_own_objects(fake: Fake, heddle: Callable[..., Ended]) -> None:
    body = {"networks": [*NETWORKS, {"name": "odd", "vnid": 12, "global": False, "added_later": {"é": [1, 2.5, None]}}]}
    fake.on("GET", "/networks", body)
    assert json.loads(heddle("networks", "-o", "json").out) == body
    assert yaml.safe_load(heddle("networks", "-o", "yaml").out) == body


def test_common_options_after_the_command_win_over_those_before_it(fake: Fake, heddle: Callable[..., Ended]) -> None:
    furnish(fake)
    assert heddle("--output", "json", "networks").out.startswith("{")
    assert heddle("--output", "json", "networks", "--output", "table").out.startswith("NAME")
    assert heddle("--server", "http://127.0.0.1:1", "networks", "--server", fake.url).status == 0
    heddle("--timeout", "3", "delete-network", "red", "--timeout", "4")
    assert fake.asked[-1].target == "/v1/networks/red?timeout=4"


def test_names_are_never_taken_for_structure(fake: Fake, heddle: Callable[..., Ended]) -> None:
    heddle("delete-network", "../nodes/n1?x=#y")
    assert fake.asked[0].target.startswith("/v1/networks/..%2Fnodes%2Fn1%3Fx%3D%23y?timeout=")


@pytest.mark.parametrize(("verdict", "status"), [("delivered", 0), ("sent", 0), ("dropped", 5)])
def test_the_trace_s_verdict_is_the_exit_status(
    verdict: str, status: int, fake: Fake, heddle: Callable[..., Ended]
) -> None:
    fake.on("GET", "/trace", trace(verdict))
    ended = heddle("trace", "--from", "red/a", "--to", "blue/b")
    assert ended.status == status
    assert ended.out.splitlines()[-1] == f"{verdict} on n2, by base in table DELIVERY, as 100.64.0.2"


def test_a_pod_that_would_be_refused(fake: Fake, heddle: Callable[..., Ended]) -> None:
    why = 'pod red/db: asks for network "blue", which its project may not use; ask for none'
    refused = {"project": "red", "pod": "db", "labels": {}, "networks": ["blue"], "attachments": [], "refusal": why}
    fake.on("GET", "/pods/red/db", refused)
    fake.on("POST", "/pods", {**refused, "late": []})
    assert heddle("pods", "red/db").out == f"would be refused: {why}\n"
    assert heddle("set-pod", "red/db", "-n", "blue").out == f'pod "red/db" noted; it would be refused: {why}\n'


def test_a_binding_that_selects_nothing_says_so(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/bindings", {**BINDINGS[0], "selected": [], "late": []})
    said = heddle("create-binding", "storage", "--projects", "team=z", "--secondary", "storage").out
    assert said == 'binding "storage" is in force, selects no project now\n'


def test_a_ledger_that_is_not_sound(fake: Fake, transcript: Callable[[str], str]) -> None:
    fake.on("GET", "/addresses/check", UNSOUND)
    said = transcript("addresses --check").splitlines()
    assert said[2].split()[0] == "FAULT"
    assert [line.split()[0] for line in said[3:5]] == ["held-twice", "not-on-switch"]
    assert said[-2:] == ["not sound: 2 findings; 3 ports, 4 addresses held, 2 in quarantine", "status: 1"]


def test_a_connection_with_scopes_is_told_in_words(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/connections", Answer({**CONNECTIONS[2], "late": []}, 201))
    said = heddle("join-networks", "red", "east", "--one-way", "--port", "80", "--port", "53/udp").out
    assert said == 'networks "red" and "east" joined; "east" may begin nothing; "red" may begin 80/tcp, 53/udp\n'


def test_a_translated_connection_is_told_in_words(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/connections", Answer({**CONNECTIONS[3], "late": []}, 201))
    said = heddle("join-networks", "west", "east", "--translate").out
    ways = "10.0.0.0/24 of east is 100.64.0.0/24 in west; 10.0.0.0/24 of west is 100.64.1.0/24 in east"
    assert said == f'networks "west" and "east" joined; {ways}\n'


def test_status_says_why_it_is_not_ready(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("GET", "/readyz", problem(503, "2 of 3 switches are not in sync"))
    ended = heddle("status")
    assert (ended.status, ended.out) == (1, f"{fake.url}: not ready: 2 of 3 switches are not in sync\n")


def test_control_characters_do_not_reach_the_terminal(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("GET", "/projects", {"projects": [{"name": "a\x1b[31m\nb", "network": "[bold]:smile:"}]})
    assert heddle("projects").out.splitlines()[1].startswith("a\\x1b[31m b  [bold]:smile:  -")


def test_an_object_that_is_there_already_is_called_so(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/networks", Answer(NETWORKS[2], 200))
    assert heddle("create-network", "red").out == 'network "red" is there already, VNID 10\n'
