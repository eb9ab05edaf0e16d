"""What the fake controller answers by default: a small network, in the API's shapes."""

from __future__ import annotations

from typing import Any

from tests.cli.server import Answer, Fake

NETWORKS = [
    {
        "name": "blue",
        "vnid": 11,
        "global": False,
        "space": 0,
        "subnets": [],
        "flat": False,
        "mtu": None,
        "dscp": None,
        "multicast": False,
        "provider": "heddle",
        "phase": "Active",
        "projects": ["blue"],
        "nodes": ["n2"],
        "ports": 1,
        "outdated": 0,
    },
    {
        "name": "default",
        "vnid": 0,
        "global": True,
        "space": 0,
        "subnets": [],
        "flat": False,
        "mtu": None,
        "dscp": None,
        "multicast": False,
        "provider": "heddle",
        "phase": "Active",
        "projects": [],
        "nodes": [],
        "ports": 0,
        "outdated": 0,
    },
    {
        "name": "red",
        "vnid": 10,
        "global": False,
        "space": 0,
        "subnets": [],
        "flat": False,
        "mtu": None,
        "dscp": None,
        "multicast": False,
        "provider": "heddle",
        "phase": "Active",
        "projects": ["red", "shop"],
        "nodes": ["n1", "n2"],
        "ports": 1,
        "outdated": 0,
    },
]
REPLICAS = [
    {
        "name": "heddle-controller-5d9f-x2x7k",
        "api": "https://192.0.2.1:8443",
        "openflow": "ssl:192.0.2.1:6653",
        "since": "2026-01-01T00:00:00.123456Z",
        "me": False,
        "decides": True,
        "shares": [
            {"name": "decisions", "since": "2026-01-01T00:00:05.500000Z"},
            {"name": "switches-0", "since": "2026-01-01T00:01:00.250000Z"},
        ],
        "nodes": ["n1", "n2"],
    },
    {
        "name": "heddle-controller-5d9f-zq4wp",
        "api": "https://192.0.2.2:8443",
        "openflow": "ssl:192.0.2.2:6653",
        "since": None,
        "me": True,
        "decides": False,
        "shares": [{"name": "switches-1", "since": None}],
        "nodes": ["n3"],
    },
]
EAST = {
    "name": "east",
    "vnid": 12,
    "global": False,
    "space": 12,
    "subnets": [
        {"name": "s1", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"},
        {"name": "office", "cidr": "10.0.1.0/24", "gateway": "10.0.1.254"},
    ],
    "flat": True,
    "mtu": 1400,
    "dscp": None,
    "multicast": False,
    "provider": "acme",
    "phase": "Terminating",
    "projects": ["east"],
    "nodes": ["n1"],
    "ports": 1,
    "outdated": 1,
}
CONDITIONS = [
    {
        "type": "Programmed",
        "status": True,
        "reason": "Acknowledged",
        "message": "every switch that hosts it has its flows",
    },
    {"type": "Terminating", "status": True, "reason": "Draining", "message": "1 pods on n1 are left"},
]
MOVING = {"from": "red", "to": "blue", "transit": "transit-13", "stage": "crossing"}
EVERYTHING = {"services_only": False, "ports": []}
WEB_ONLY = {"services_only": False, "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 53}]}
CONNECTIONS: list[dict[str, Any]] = [
    {
        "networks": ["blue", "east"],
        "forward": {"services_only": True, "ports": []},
        "backward": EVERYTHING,
        "translations": [],
    },
    {"networks": ["blue", "red"], "forward": EVERYTHING, "backward": EVERYTHING, "translations": []},
    {"networks": ["east", "red"], "forward": None, "backward": WEB_ONLY, "translations": []},
    {
        "networks": ["east", "west"],
        "forward": EVERYTHING,
        "backward": EVERYTHING,
        "translations": [
            {"network": "east", "cidr": "10.0.0.0/24", "seen_as": "100.64.0.0/24"},
            {"network": "west", "cidr": "10.0.0.0/24", "seen_as": "100.64.1.0/24"},
        ],
    },
]
_PLAIN: dict[str, Any] = {
    "placed": True,
    "labels": {},
    "secondary": [],
    "optional": [],
    "outdated": 0,
    "moving": None,
}
PROJECTS = [
    {"name": "blue", "network": "blue", "home": "blue", "ports": 1, **_PLAIN},
    {
        "name": "red",
        "network": "red",
        "home": "red",
        "ports": 1,
        **_PLAIN,
        "labels": {"team": "a", "tier": ""},
        "outdated": 1,
    },
    {
        "name": "shop",
        "network": "red",
        "home": "shop",
        "placed": False,
        "labels": {"team": "b"},
        "secondary": ["storage"],
        "optional": ["backup"],
        "ports": 0,
        "outdated": 0,
        "moving": MOVING,
    },
]
BINDINGS: list[dict[str, Any]] = [
    {
        "name": "storage",
        "projects": {
            "match_labels": {},
            "match_expressions": [
                {"key": "team", "operator": "In", "values": ["a", "b"]},
                {"key": "tier", "operator": "DoesNotExist", "values": []},
            ],
        },
        "pods": None,
        "primary": None,
        "secondary": [{"network": "storage", "interface": None, "addresses": [], "mac": None}],
        "optional": ["backup"],
    },
    {
        "name": "db",
        "projects": {"match_labels": {}, "match_expressions": []},
        "pods": {"match_labels": {"role": "db"}, "match_expressions": []},
        "primary": {"network": "backup", "interface": None, "addresses": [], "mac": None},
        "secondary": [{"network": "storage", "interface": "s0", "addresses": ["10.0.0.7"], "mac": "02:00:00:00:00:07"}],
        "optional": [],
    },
]
PODS: list[dict[str, Any]] = [
    {
        "project": "red",
        "pod": "db",
        "labels": {"role": "db"},
        "networks": ["backup"],
        "ingress_bandwidth": "10M",
        "egress_bandwidth": None,
    },
    {
        "project": "red",
        "pod": "web",
        "labels": {},
        "networks": [],
        "ingress_bandwidth": None,
        "egress_bandwidth": "500k",
    },
]
GROUPS: dict[str, Any] = {
    "network": "red",
    "multicast": True,
    "heard_in": ["red", "blue"],
    "groups": [
        {
            "group": "239.1.1.1",
            "members": [
                {"pod": "red/web", "network": "red", "node": "n1", "interface": "eth0"},
                {"pod": "blue/db", "network": "blue", "node": "n2", "interface": "eth0"},
            ],
        },
        {"group": "239.1.1.2", "members": [{"pod": "red/db", "network": "red", "node": "n2", "interface": "net1"}]},
    ],
}

MIRRORS: list[dict[str, Any]] = [
    {
        "name": "watch",
        "target": {"project": "ops", "pod": "probe"},
        "network": "red",
        "pod": None,
        "direction": "both",
        "number": 1,
        "ports": 12,
        "node": "n2",
    },
    {
        "name": "web",
        "target": {"project": "ops", "pod": "gone"},
        "network": None,
        "pod": {"project": "red", "pod": "web"},
        "direction": "out",
        "number": 3,
        "ports": 1,
        "node": None,
    },
]
INTERFACES = [
    {"network": "red", "interface": None, "addresses": [], "mac": None},
    {"network": "storage", "interface": "net1", "addresses": ["10.0.0.7"], "mac": "02:00:00:00:00:07"},
]
NODES = [
    {
        "name": "n1",
        "dpid": "0000000000000001",
        "underlay": "192.0.2.11",
        "subnets": ["10.128.0.0/23"],
        "gateways": ["10.128.0.1/23"],
        "encapsulation": "vxlan",
        "connected": True,
        "phase": "InSync",
        "ports": 1,
        "free_addresses": 508,
        "mtu": 1450,
        "warnings": [],
    },
    {
        "name": "n2",
        "dpid": "0000000000000002",
        "underlay": "192.0.2.12",
        "subnets": ["10.128.2.0/23", "fd00:1::/64"],
        "gateways": ["10.128.2.1/23", "fd00:1::1/64"],
        "encapsulation": "geneve",
        "connected": False,
        "phase": "Away",
        "ports": 1,
        "free_addresses": 0,
        "mtu": 1350,
        "warnings": ["packets of 1400 bytes do not get from 192.0.2.12 to 192.0.2.11: 1300 do"],
    },
]
SERVICES = [
    {
        "name": "web",
        "project": "red",
        "address": "172.30.0.10",
        "ports": [
            {"protocol": "TCP", "port": 80, "name": "http", "node_port": 30080},
            {"protocol": "UDP", "port": 53, "name": "", "node_port": 0},
        ],
        "affinity": 10800,
        "internal_local": True,
        "publish_not_ready": False,
        "external": ["203.0.113.5"],
        "sources": ["192.0.2.0/24"],
        "external_local": True,
        "health_port": 30999,
        "load_balancer": True,
        "load_balancer_address": None,
        "ingress": ["203.0.113.225"],
    }
]
_HTTP = {"protocol": "TCP", "port": 8080, "name": "http"}
ENDPOINTS: list[dict[str, Any]] = [
    {"name": "dns-1", "project": "red", "service": "dns", "ports": [], "endpoints": []},
    {
        "name": "web-1",
        "project": "red",
        "service": "web",
        "ports": [_HTTP],
        "endpoints": [
            {"address": "10.128.0.5", "node": "n1", "ready": True, "serving": True, "terminating": False},
            {"address": "10.128.0.6", "node": "n1", "ready": False, "serving": False, "terminating": False},
            {"address": "10.128.2.7", "node": "", "ready": False, "serving": True, "terminating": True},
        ],
    },
]
PORTS = [
    {
        "node": "n1",
        "container": "8d5f0c",
        "interface": "eth0",
        "project": "red",
        "pod": "a",
        "network": "red",
        "host_interface": "v0123456789abcd",
        "mac": "0a:58:0a:80:00:02",
        "addresses": [{"address": "10.128.0.2/23", "gateway": "10.128.0.1"}],
        "cluster_addresses": [],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}],
        "mtu": None,
        "vnid": 10,
        "space": 0,
        "others": [],
        "secondary": False,
        "pod_uid": "",
        "ofport": 3,
        "phase": "Committed",
        "reason": "",
    },
    {
        "node": "n2",
        "container": "8d5f0d",
        "interface": "eth0",
        "project": "blue",
        "pod": "b",
        "network": "blue",
        "host_interface": "v0123456789abce",
        "mac": "0a:58:0a:80:02:02",
        "addresses": [{"address": "10.128.2.2/23", "gateway": "10.128.2.1"}],
        "cluster_addresses": [],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.2.1"}],
        "mtu": None,
        "vnid": 11,
        "space": 0,
        "others": [],
        "secondary": False,
        "pod_uid": "",
        "ofport": None,
        "phase": "Pending",
        "reason": "the switch has not reported interface v0123456789abce",
    },
]
OWN_PORT = {
    "node": "n1",
    "container": "8d5f0e",
    "interface": "eth0",
    "project": "east",
    "pod": "c",
    "network": "east",
    "host_interface": "v0123456789abcf",
    "mac": "0a:58:0a:00:00:02",
    "addresses": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}],
    "cluster_addresses": ["10.128.0.3"],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
    "mtu": 1400,
    "vnid": 12,
    "space": 12,
    "others": [],
    "secondary": False,
    "pod_uid": "",
    "ofport": 4,
    "phase": "Committed",
    "reason": "",
}
ADDRESSES = [
    {
        "address": "10.128.0.2",
        "space": 0,
        "network": "red",
        "state": "bound",
        "port": {"project": "red", "pod": "a", "container": "8d5f0c", "interface": "eth0"},
        "node": "n1",
        "translated": [],
    },
    {
        "address": "10.128.0.9",
        "space": 0,
        "network": None,
        "state": "quarantined",
        "port": None,
        "node": "n1",
        "translated": [],
    },
    {
        "address": "10.0.0.2",
        "space": 12,
        "network": "east",
        "state": "bound",
        "port": {"project": "east", "pod": "c", "container": "8d5f0e", "interface": "eth0"},
        "node": "n1",
        "translated": [{"network": "west", "address": "100.64.0.2"}],
    },
    {
        "address": "10.0.0.9",
        "space": 12,
        "network": "east",
        "state": "quarantined",
        "port": None,
        "node": "n1",
        "translated": [],
    },
]
HISTORY = {
    "address": "10.128.0.2",
    "space": 0,
    "entry": ADDRESSES[0],
    "history": [
        {
            "at": "2030-01-02T03:04:05.678+00:00",
            "state": "allotted",
            "node": "n1",
            "pod": "red/a",
            "attachment": "8d5f0c/eth0",
        },
        {"at": "2030-01-02T03:04:05.600+00:00", "state": "free", "node": "n1", "pod": None, "attachment": None},
    ],
}
SOUND: dict[str, Any] = {"ok": True, "ports": 3, "held": 4, "quarantined": 2, "findings": []}
UNSOUND = {
    **SOUND,
    "ok": False,
    "findings": [
        {
            "kind": "held-twice",
            "subject": "address 10.128.0.2",
            "cause": "is held by port red/a (n1/8d5f0c/eth0) and port red/z (n1/8d5f0f/eth0)",
        },
        {
            "kind": "not-on-switch",
            "subject": "port blue/b (n2/8d5f0d/eth0)",
            "cause": "is Pending: the switch has not reported interface v0123456789abce",
        },
    ],
}
SWITCHES = [
    {
        "node": "n1",
        "dpid": "0000000000000001",
        "connected": True,
        "phase": "InSync",
        "committed_revision": 12,
        "desired_revision": 12,
        "last_error": None,
        "conflicts": [],
        "faults": [],
    },
    {
        "node": "n2",
        "dpid": "0000000000000002",
        "connected": False,
        "phase": "Away",
        "committed_revision": 0,
        "desired_revision": 12,
        "last_error": "connection reset by peer",
        "conflicts": [{"left_out": "ports n2/x/eth0", "owner": "ports n2/y/eth0", "table": 30, "priority": 200}],
        "faults": ["leak on node n2: flow table=80(DELIVERY),priority=100 actions=goto_table:100 is not asked for"],
    },
]
FLOWS = [
    {
        "table": 0,
        "table_name": "DISPATCH",
        "priority": 100,
        "match": "in_port=1",
        "actions": "goto_table:10",
        "cookie": "0x0100000000000001",
        "feature": "BASE",
        "owner": "base",
        "state": "Installed",
        "packets": 0,
        "bytes": 0,
    },
    {
        "table": 80,
        "table_name": "DELIVERY",
        "priority": 200,
        "match": "reg0=0xa,reg1=0xa",
        "actions": "goto_table:100",
        "cookie": "0x0700000000000002",
        "feature": "NETWORKS",
        "owner": "network red",
        "state": "Installed",
        "packets": 12,
        "bytes": 1176,
    },
    {
        "table": 80,
        "table_name": "DELIVERY",
        "priority": 0,
        "match": "",
        "actions": "drop",
        "cookie": "0x0100000000000003",
        "feature": "BASE",
        "owner": "base",
        "state": "Pending",
        "packets": None,
        "bytes": None,
    },
]
TOPOLOGY = {
    "nodes": NODES,
    "tunnels": [{"from": "n1", "to": "n2", "kind": "vxlan", "up": False}],
    "networks": [*NETWORKS, EAST],
    "connections": CONNECTIONS,
    "revision": 12,
}


EGRESSES: list[dict[str, Any]] = [
    {
        "name": "red",
        "network": "red",
        "addresses": ["203.0.113.5", "203.0.113.6"],
        "pods": None,
        "nodes": [],
        "fail": "closed",
        "via": None,
        "held": [{"address": "203.0.113.5", "node": "n1"}, {"address": "203.0.113.6", "node": "n2"}],
    },
    {
        "name": "red-db",
        "network": "red",
        "addresses": ["203.0.113.7"],
        "pods": {"match_labels": {"tier": "db"}, "match_expressions": []},
        "nodes": ["n3"],
        "fail": "open",
        "via": None,
        "held": [{"address": "203.0.113.7", "node": None}],
    },
    {
        "name": "green",
        "network": "green",
        "addresses": [],
        "pods": None,
        "nodes": [],
        "fail": "open",
        "via": {"project": "ops", "pod": "firewall"},
        "held": [],
    },
]


def trace(verdict: str) -> dict[str, Any]:
    """Return a trace of two steps that ends with this verdict."""
    fields = ("table", "table_name", "priority", "match", "actions", "feature", "owner")
    steps = [
        {"node": f"n{number}", **{name: flow[name] for name in fields}}
        for number, flow in ((1, FLOWS[0]), (2, FLOWS[2]))
    ]
    place = {name: steps[-1][name] for name in ("node", "table", "table_name", "owner")}
    reason = "by base in table DELIVERY"
    ended = {"verdict": verdict, "at": place, "reason": reason, "copies": []}
    return {"destination": "100.64.0.2", "steps": steps, **ended}


def furnish(fake: Fake) -> None:
    """Give the fake controller an answer for everything that heddle asks."""
    red, shop, web = ({**made, "late": []} for made in (NETWORKS[2], PROJECTS[2], SERVICES[0]))
    node = {**NODES[0], "token": "hdl-0123456789", "late": []}
    lists = {
        "addresses": ADDRESSES,
        "connections": CONNECTIONS,
        "networks": [*NETWORKS, EAST],
        "projects": PROJECTS,
        "bindings": BINDINGS,
        "egresses": EGRESSES,
        "pods": PODS,
        "services": SERVICES,
        "endpoints": ENDPOINTS,
        "mirrors": MIRRORS,
        "nodes": NODES,
        "ports": [*PORTS, OWN_PORT],
        "switches": SWITCHES,
    }
    for name, found in lists.items():
        fake.on("GET", f"/{name}", {name: found})
    fake.on("GET", "/nodes/n1/flows", FLOWS)
    fake.on("GET", "/networks/red/groups", GROUPS)
    fake.on("GET", "/topology", TOPOLOGY)
    fake.on("GET", "/trace", trace("dropped"))
    fake.on("GET", "/readyz", {"status": "ready"})
    fake.on("GET", "/replicas", {"replicas": REPLICAS})
    fake.on("POST", "/networks", Answer(red, 201))
    fake.on("POST", "/projects", Answer(shop, 201))
    fake.on("GET", "/projects/shop", PROJECTS[2])
    fake.on("PATCH", "/projects/shop", {**shop, "labels": {"team": "a"}})
    fake.on("POST", "/bindings", Answer({**BINDINGS[0], "selected": ["red", "shop"], "late": []}, 201))
    fake.on("POST", "/egresses", Answer({**EGRESSES[0], "late": []}, 201))
    fake.on("GET", "/pods/red/db", {**PODS[0], "attachments": INTERFACES, "refusal": None})
    fake.on("POST", "/pods", Answer({**PODS[0], "attachments": INTERFACES, "refusal": None, "late": []}, 201))
    fake.on("POST", "/mirrors", Answer({**MIRRORS[0], "late": []}, 201))
    fake.on("POST", "/services", Answer(web, 201))
    fake.on("POST", "/endpoints", Answer({**ENDPOINTS[1], "late": []}, 201))
    fake.on("POST", "/nodes", Answer(node, 201))
    fake.on("PATCH", "/nodes/n1", {**NODES[0], "encapsulation": "geneve", "late": []})
    fake.on("POST", "/nodes/n1/token", Answer({"node": "n1", "token": "hdl-9876543210"}, 201))
    fake.on("GET", "/addresses/check", SOUND)
    fake.on("GET", "/addresses/10.128.0.2", HISTORY)
    fake.on("GET", "/addresses/10.0.0.2", {**HISTORY, "address": "10.0.0.2", "space": 12, "entry": None})
    fake.on("POST", "/connections", Answer({**CONNECTIONS[1], "late": []}, 201))
    fake.on("PATCH", "/networks/red", {**red, "global": True})
    fake.on("GET", "/networks/east", {**EAST, "conditions": CONDITIONS, "blocks": []})
    fake.on("DELETE", "/networks/east", {**EAST, "late": []})
    fake.on("PATCH", "/projects/shop", Answer(shop, 202))
    fake.on("PATCH", "/projects/red", {**PROJECTS[1], "network": "blue", "late": []})
    fake.on("PATCH", "/projects/blue", {**PROJECTS[0], "network": "red", "late": []})
    for path in (
        "networks/red",
        "projects/shop",
        "bindings/storage",
        "egresses/red",
        "pods/red/db",
        "services/red/web",
        "endpoints/red/web-1",
        "nodes/n1",
        "connections/red/blue",
        "connections/red",
    ):
        fake.on("DELETE", f"/{path}", Answer(status=204))
