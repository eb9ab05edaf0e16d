// Draws the two pictures as SVG. Knows no server: it is given what to show and what is chosen.

import { WIDTH, networkPlaces, nodePlaces } from "./layout.js";

const SVG = "http://www.w3.org/2000/svg";
const CHIP = 13;

// A network with the name of a colour has it.
const NAMED = {
  red: "#c8413b",
  blue: "#3a6fc4",
  green: "#3c9a57",
  yellow: "#b8991f",
  orange: "#d17a22",
  purple: "#7d4bb5",
  pink: "#c9518f",
  brown: "#8a5a3b",
  amber: "#c98f17",
  teal: "#2a9290",
};

/** A colour for a network: its VNID keeps it, and neighbouring numbers are far apart. */
export function colour(network) {
  if (!network) return "#98a3a8";
  if (Object.hasOwn(NAMED, network.name)) return NAMED[network.name];
  return network.vnid === 0 ? "#5b6b73" : `hsl(${Math.round((network.vnid * 137.508) % 360)} 52% 46%)`;
}

/** Make an SVG element with attributes and children; a string becomes text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function choosable(group, choose) {
  group.addEventListener("click", choose);
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  });
  return group;
}

/** Draw nodes as cards with their pods, and tunnels between them. */
export function drawNodes(svg, view, choose) {
  const { topology, ports, chosen } = view;
  const layout = nodePlaces(topology.nodes.length);
  const at = new Map(topology.nodes.map((node, index) => [node.name, layout.places[index]]));
  const networks = new Map(topology.networks.map((network) => [network.name, network]));
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${layout.height}`);
  const lines = topology.tunnels
    .filter((tunnel) => layout.ring || !tunnel.up || isEnd(chosen, tunnel))
    .map((tunnel) => line(at.get(tunnel.from), at.get(tunnel.to), tunnelClass(tunnel), tunnelText(tunnel)));
  const cards = topology.nodes.map((node) => {
    const own = ports.filter((port) => port.node === node.name);
    return choosable(card(node, at.get(node.name), own, networks, chosen), () => choose("node", node.name));
  });
  replace(svg, [...lines, ...cards], topology.nodes.length ? "" : "no nodes yet: heddle create-node");
}

function tunnelClass(tunnel) {
  if (tunnel.up) return "tunnel";
  return tunnel.by.length ? "tunnel relayed" : "tunnel down";
}

/** What a tunnel is, in words: shown when it is pointed at. */
function tunnelText(tunnel) {
  const ends = `${tunnel.from} – ${tunnel.to}`;
  if (tunnel.up) return `${ends}: up`;
  if (tunnel.by.length) return `${ends}: by ${tunnel.by.join(" and ")}`;
  return `${ends}: ${tunnel.laid ? "down" : "no way"}`;
}

function isEnd(chosen, tunnel) {
  return chosen?.kind === "node" && (tunnel.from === chosen.name || tunnel.to === chosen.name);
}

function line(from, to, kind, said) {
  const drawn = make("line", { class: kind, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
  if (said) drawn.append(make("title", {}, said));
  return drawn;
}

function card(node, place, ports, networks, chosen) {
  const { width, height } = place;
  const small = width < 160;
  const left = place.x - width / 2;
  const top = place.y - height / 2;
  const hosting = chosen?.kind === "network" && !networks.get(chosen.name)?.nodes.includes(node.name);
  const isChosen = chosen?.kind === "node" && chosen.name === node.name;
  const letters = Math.floor(width / 8.2);
  const group = make(
    "g",
    {
      class: `node${hosting ? " dim" : ""}${isChosen ? " chosen" : ""}`,
      tabindex: 0,
      role: "button",
      "aria-label": `node ${node.name}, ${node.phase}, ${node.ports} ports`,
    },
    make("title", {}, `${node.name}: ${node.phase}\n${node.subnets.join(", ")}\n${node.free_addresses} addresses free`),
    make("rect", { class: "card", x: left, y: top, width, height, rx: 9 }),
    make("circle", { class: node.phase, cx: left + 15, cy: top + 17, r: 6 }),
    text(left + 28, top + 22, clipped(node.name, letters - 3), small ? 13 : 15, "title"),
    text(left + 10, top + (small ? 38 : 42), node.underlay, small ? 11 : 12, "minor"),
  );
  if (!small) group.append(text(left + 10, top + 58, node.subnets.join(" "), 12, "minor"));
  group.append(...chips(left + 10, top + (small ? 46 : 68), width - 20, height - (small ? 52 : 76), node, ports, networks, chosen));
  return group;
}

function chips(left, top, width, height, node, ports, networks, chosen) {
  const perRow = Math.max(1, Math.floor((width + 3) / (CHIP + 3)));
  const most = perRow * Math.max(1, Math.floor((height + 3) / (CHIP + 3)));
  if (node.ports === 0) return [text(left, top + 12, "no pods", 11, "minor")];
  if (node.ports > most || ports.length < node.ports) {
    return [text(left, top + 12, `${node.ports} pods`, 12, "minor")];
  }
  return ports.map((port, index) => {
    const faded = chosen?.kind === "network" && chosen.name !== port.network;
    return make(
      "rect",
      {
        class: faded ? "dim" : port.phase === "Committed" ? "pod" : "pod pending",
        x: left + (index % perRow) * (CHIP + 3),
        y: top + Math.floor(index / perRow) * (CHIP + 3),
        width: CHIP,
        height: CHIP,
        rx: 3,
        fill: colour(networks.get(port.network)),
      },
      make("title", {}, `${port.project}/${port.pod}\n${addresses(port)}\nnetwork ${port.network}, ${port.phase}`),
    );
  });
}

/** Return a port's addresses as one text; its cluster addresses, if it has any, in brackets. */
export function addresses(port) {
  const own = port.addresses.map((entry) => entry.address.split("/")[0]).join(", ");
  return port.cluster_addresses.length ? `${own} (${port.cluster_addresses.join(", ")})` : own;
}

/** Return the ranges of a network's own as one text; empty without any. */
export function ranges(network) {
  return network.subnets.map((subnet) => subnet.cidr).join(", ");
}

/** Return in words what a scope lets a network begin. */
export function scopeText(scope) {
  if (!scope) return "nothing";
  if (scope.services_only) return "services";
  return scope.ports.map(({ protocol, port }) => `${port}/${protocol.toLowerCase()}`).join(", ") || "everything";
}

/** Draw networks as discs, global ones in the middle, and connections between them. */
export function drawNetworks(svg, view, choose) {
  const { topology, chosen } = view;
  const ordered = [...topology.networks].sort((a, b) => Number(b.global) - Number(a.global) || a.vnid - b.vnid);
  const inner = ordered.filter((network) => network.global).length;
  const layout = networkPlaces(inner, ordered.length - inner);
  const at = new Map(ordered.map((network, index) => [network.name, layout.places[index]]));
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${layout.height}`);
  const lines = topology.connections.map((connection) => edge(connection, at, layout.radius));
  const discs = ordered.map((network) => {
    const group = disc(network, at.get(network.name), layout.radius, view);
    return choosable(group, () => choose("network", network.name));
  });
  replace(svg, [arrowHead(), ...lines, ...discs], "");
}

/** Draw a connection: arrows lead to whom somebody may begin, no arrows mean both; dashes, that not all is allowed. */
function edge(connection, at, radius) {
  const [first, second] = connection.networks;
  const there = scopeText(connection.forward);
  const back = scopeText(connection.backward);
  const free = there === "everything" && back === "everything";
  const limited = [there, back].some((words) => words !== "everything" && words !== "nothing");
  const from = towards(at.get(first), at.get(second), radius);
  const to = towards(at.get(second), at.get(first), radius);
  const drawn = line(from, to, `connection${free ? "" : " arrow"}${limited ? " limited" : ""}`);
  if (!free && connection.forward) drawn.setAttribute("marker-end", "url(#head)");
  if (!free && connection.backward) drawn.setAttribute("marker-start", "url(#head)");
  drawn.append(make("title", {}, `${first} may begin towards ${second}: ${there}\n${second} towards ${first}: ${back}`));
  return drawn;
}

function arrowHead() {
  const shape = make("path", { d: "M0 0 L10 5 L0 10 z", class: "head" });
  const box = { viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 4, markerHeight: 4, orient: "auto-start-reverse" };
  return make("defs", {}, make("marker", { id: "head", ...box }, shape));
}

/** Return the point where a line from one place to another leaves the disc around the first. */
function towards(from, to, radius) {
  const part = radius / Math.hypot(to.x - from.x, to.y - from.y);
  return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
}

function disc(network, place, radius, { topology, chosen }) {
  const isChosen = chosen?.kind === "network" && chosen.name === network.name;
  const away = chosen?.kind === "node" && !network.nodes.includes(chosen.name);
  const fill = colour(network);
  const group = make(
    "g",
    {
      class: `network${isChosen ? " chosen" : ""}${away ? " dim" : ""}`,
      tabindex: 0,
      role: "button",
      "aria-label": `network ${network.name}, VNID ${network.vnid}${network.global ? ", global" : ""}`,
    },
    make("title", {}, disclosed(network, topology.nodes.length)),
    make("circle", { class: "disc", cx: place.x, cy: place.y, r: radius, fill }),
  );
  if (network.global) group.append(make("circle", { class: "halo", cx: place.x, cy: place.y, r: radius + 9, stroke: fill }));
  const size = radius > 50 ? 21 : 14;
  group.append(
    text(place.x, place.y - size * 0.25, clipped(network.name, radius > 50 ? 11 : 9), size, "inside title", "middle"),
    text(place.x, place.y + size * 0.85, `VNID ${network.vnid}`, size * 0.76, "inside", "middle"),
    text(place.x, place.y + size * 1.75, `${network.ports} pods`, size * 0.76, "inside", "middle"),
  );
  const [own, ...more] = network.subnets;
  if (own) {
    const range = more.length ? `${own.cidr} +${more.length}` : own.cidr;
    group.append(text(place.x, place.y - size * 1.35, range, size * 0.62, "inside", "middle"));
  }
  return group;
}

/** Return what a network's disc says when the pointer rests on it. */
function disclosed(network, nodes) {
  const own = ranges(network);
  const pods = `${network.ports} pods on ${network.nodes.length} of ${nodes} nodes`;
  return [network.name, ...(own ? [`${own}${network.flat ? ", flat" : ""}`] : []), pods].join("\n");
}

function text(x, y, content, size, kind, anchor) {
  return make("text", { x, y, "font-size": size, class: kind, "text-anchor": anchor }, content);
}

/** Put children in place of the old ones; whoever had the focus keeps it. */
function replace(svg, children, hint) {
  const focused = svg.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  svg.replaceChildren(...children, ...(hint ? [text(WIDTH / 2, 40, hint, 16, "minor", "middle")] : []));
  const again = [...svg.children].find((child) => focused && child.getAttribute("aria-label") === focused);
  again?.focus();
}
