// The page: asks the API every two seconds, keeps what is chosen, and lets draw.js draw.

import { addresses, drawNetworks, drawNodes, ranges, scopeText } from "./draw.js";

const EVERY_MS = 2000;
const MOST_PORTS = 2000; // with more pods only numbers are shown
const MOST_NODES = 60; // with more nodes tunnels are not asked for: their number grows with the square
const PORTS_EVERY = 5; // rounds after which pods are asked for though nothing was changed: their phases may have

const find = (id) => document.getElementById(id);
let round = 0;
const view = { topology: null, ports: [], chosen: chosenByAddress() };

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, cache: "no-store" });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail ?? response.statusText), { status: response.status });
  return body;
}

async function refresh() {
  try {
    const many = (view.topology?.nodes.length ?? 0) > MOST_NODES;
    const topology = await ask(many ? "v1/topology?tunnels=false" : "v1/topology");
    await refreshPorts(topology);
    const order = new Intl.Collator("en", { numeric: true });
    topology.nodes.sort((a, b) => order.compare(a.name, b.name));
    view.topology = topology;
    show();
    tell("live", "live");
  } catch (error) {
    const locked = error.status === 401 || error.status === 403;
    find("login").hidden = !locked;
    tell("lost", locked ? "locked" : "no answer", locked ? error.message : `The controller does not answer: ${error.message}`);
  }
}

async function refreshPorts(topology) {
  const pods = topology.nodes.reduce((sum, node) => sum + node.ports, 0);
  const news = topology.revision !== view.topology?.revision || round++ % PORTS_EVERY === 0;
  if (pods === 0 || pods > MOST_PORTS) view.ports = [];
  else if (news) view.ports = (await ask("v1/ports")).ports;
}

function tell(kind, state, notice = "") {
  find("state").className = `state ${kind}`;
  find("state").textContent = state;
  find("notice").hidden = !notice;
  find("notice").textContent = notice;
  if (kind === "live") find("login").hidden = true;
}

function show() {
  const { topology } = view;
  const pods = topology.nodes.reduce((sum, node) => sum + node.ports, 0);
  const down = topology.tunnels.filter((tunnel) => !tunnel.up && !tunnel.by.length).length;
  const relayed = topology.tunnels.filter((tunnel) => !tunnel.up && tunnel.by.length).length;
  find("summary").textContent =
    [counted(topology.nodes.length, "node"), counted(topology.networks.length, "network"), counted(pods, "pod")].join(" · ") +
    ` · revision ${topology.revision}`;
  const shown = topology.tunnels.length || topology.nodes.length < 2;
  find("tunnels").textContent = shown
    ? `${counted(topology.tunnels.length, "tunnel")}${down ? `, ${down} not up` : ""}${relayed ? `, ${relayed} by relays` : ""}`
    : "between every two nodes";
  const appliances = topology.external_vteps?.length ? `, ${counted(topology.external_vteps.length, "external VTEP")}` : "";
  find("connections").textContent = counted(topology.connections.length, "connection") + appliances;
  drawNodes(find("nodes"), view, choose);
  drawNetworks(find("networks"), view, choose);
  find("details-body").replaceChildren(...details());
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function choose(kind, name) {
  const same = view.chosen?.kind === kind && view.chosen.name === name;
  view.chosen = same ? null : { kind, name };
  history.replaceState(null, "", same ? "#" : `#${kind}=${encodeURIComponent(name)}`);
  show();
}

/** What the address says is chosen, such as #node=n1: a view can be sent to somebody. */
function chosenByAddress() {
  const [kind, name] = location.hash.slice(1).split("=");
  return name && (kind === "node" || kind === "network") ? { kind, name: decodeURIComponent(name) } : null;
}

function details() {
  const { topology, chosen } = view;
  const node = chosen?.kind === "node" && topology.nodes.find((each) => each.name === chosen.name);
  if (node) return [facts(ofNode(node)), pods((port) => port.node === node.name)];
  const network = chosen?.kind === "network" && topology.networks.find((each) => each.name === chosen.name);
  if (network) return [facts(ofNetwork(network)), pods((port) => port.network === network.name)];
  return [element("p", { className: "hint" }, "Choose a node or a network.")];
}

function ofNode(node) {
  return {
    Node: node.name,
    Switch: `${node.phase}, datapath ${node.dpid}`,
    Underlay: node.underlay,
    Subnets: node.subnets.join(", "),
    Gateways: node.gateways.join(", "),
    Pods: `${node.ports}, ${node.free_addresses} addresses free`,
  };
}

function ofNetwork(network) {
  const joined = view.topology.connections
    .filter((connection) => connection.networks.includes(network.name))
    .map((connection) => relation(network, connection));
  const own = ranges(network);
  const behind = (view.topology.external_vteps ?? []).filter((each) => each.network === network.name);
  return {
    Network: network.name,
    VNID: String(network.vnid),
    Phase: network.phase,
    Ranges: own ? `${own}${network.flat ? ", on any node" : ""}` : "those of the nodes",
    ...(network.mtu ? { MTU: `${network.mtu} bytes` } : {}),
    "May talk with": network.global ? "all networks (global)" : joined.join("; ") || "itself and global networks",
    ...(behind.length ? { "External VTEPs": behind.map(appliance).join("; ") } : {}),
    Projects: network.projects.join(", ") || "none",
    Nodes: network.nodes.join(", ") || "none",
    Pods: String(network.ports),
  };
}

/** Return an external VTEP in words: hosts of the network behind an appliance. */
function appliance(external) {
  return `${external.name}: ${external.subnets.join(", ")} behind ${external.address} (${external.encapsulation})`;
}

/** Return whom a network is joined with, and what either may begin if that is not everything. */
function relation(network, connection) {
  const isFirst = connection.networks[0] === network.name;
  const peer = connection.networks[isFirst ? 1 : 0];
  const own = scopeText(isFirst ? connection.forward : connection.backward);
  const other = scopeText(isFirst ? connection.backward : connection.forward);
  if (own === "everything" && other === "everything") return peer;
  return `${peer} (may begin ${own}, ${peer} ${other})`;
}

function facts(pairs) {
  const entries = Object.entries(pairs).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  return element("dl", {}, ...entries);
}

function pods(wanted) {
  const found = view.ports.filter(wanted);
  if (!found.length) return element("p", { className: "hint" }, "No pods to list.");
  const head = ["Pod", "Network", "Node", "Addresses", "MAC", "Phase"];
  const row = (port) => [
    `${port.project}/${port.pod}`,
    port.network,
    port.node,
    addresses(port),
    port.mac,
    port.reason ? `${port.phase}: ${port.reason}` : port.phase,
  ];
  const cells = (kind, texts) => element("tr", {}, ...texts.map((content) => element(kind, {}, content)));
  const body = element("tbody", {}, ...found.map((port) => cells("td", row(port))));
  return element("table", {}, element("thead", {}, cells("th", head)), body);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

find("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", find("token").value.trim());
  find("token").value = "";
  void refresh();
});

// A page that nobody looks at asks nothing.
async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, EVERY_MS);
}
void loop();
