// The view of the pipeline, with rate, lag and latency at every hop.

import { $, attribute, framed, h, icon, svg, text } from "./dom.js";
import { UNKNOWN, count, rate, seconds } from "./format.js";
import { stateOf } from "./states.js";
import { stats } from "./stats.js";

/** Places in the order in which a reading passes them. `stage`: it has lag and latency. `hop`: its name in /v1/stats. */
const PLACES = [
  { id: "sensors", title: "Sensors", note: "or the simulator" },
  { id: "mqtt", title: "mqtt", stage: true },
  { id: "sensor-data", topic: true, hop: "MQTT, acknowledged" },
  { id: "collection", title: "collection", stage: true },
  { id: "src-data", topic: true, hop: "src-data" },
  { id: "processing", title: "processing", stage: true },
  { id: "processed-data", topic: true, hop: "processed-data" },
  { id: "aggregation", title: "aggregation", stage: true },
  { id: "aggregated-data", topic: true, hop: "aggregated-data" },
  { id: "loader", title: "loader", stage: true },
  { id: "postgres", title: "PostgreSQL", note: "two tables" },
  { id: "gateway", title: "gateway", note: "this page, REST, streams" },
  { id: "dead-letter", topic: true },
];

/** Where readings flow. `around`: the line goes past the places in between. */
const FLOWS = [
  ["sensors", "mqtt"],
  ["mqtt", "sensor-data"],
  ["sensor-data", "collection"],
  ["collection", "src-data"],
  ["src-data", "processing"],
  ["processing", "processed-data"],
  ["processed-data", "aggregation"],
  ["processed-data", "loader", "around"],
  ["aggregation", "aggregated-data"],
  ["aggregated-data", "loader"],
  ["loader", "postgres"],
  ["postgres", "gateway"],
];

const REFUSING = ["mqtt", "collection", "processing", "aggregation", "loader"];

export class PipelineView {
  #nodes = new Map();
  #flows = new Map();

  constructor(root) {
    this.figures = {};
    const figure = (id, title, unit) => {
      this.figures[id] = h("dd", {}, UNKNOWN);
      return h("div", { class: "figure panel" }, h("dt", {}, title), this.figures[id], h("dd", { class: "quiet" }, unit));
    };
    this.lines = svg("svg", { class: "flows", "aria-hidden": "true" });
    this.picture = h("div", { class: "picture panel" }, this.lines);
    for (const place of PLACES) {
      const node = place.topic ? this.#topic(place) : this.#service(place);
      this.#nodes.set(place.id, node);
      this.picture.append(node.element);
    }
    root.append(
      h(
        "dl",
        { class: "figures" },
        figure("readings", "Readings", "stored per second"),
        figure("reading-latency", "Latency of readings", "sensor to row, p50 · p99"),
        figure("average-latency", "Latency of averages", "sensor to row, p50 · p99"),
        figure("lag", "Waiting", "records not finished yet"),
        figure("sensors", "Sensors", "active in the last minutes"),
        figure("dead", "Dead letters", "since the services started"),
      ),
      this.picture,
      h("p", { class: "quiet note" }, "Rates and latencies cover the last two seconds. Waiting: records that a service has not finished yet, and how long the oldest has waited. p50 and p99: time from a record's arrival until its result is durable."),
    );
    const paths = framed(() => this.#lay());
    const sizes = new ResizeObserver(paths);
    for (const element of this.picture.children) sizes.observe(element);
    stats.addEventListener("change", () => root.hidden || this.#fill());
    this.root = root;
  }

  show() {
    this.#fill();
    requestAnimationFrame(() => this.#lay());
  }

  hide() {}

  #service({ id, title, note, stage }) {
    const node = { title: h("h3", {}, title), state: h("span", { class: "state" }), values: {} };
    const value = (name, label) => {
      node.values[name] = h("dd", {}, UNKNOWN);
      return h("div", {}, h("dt", {}, label), node.values[name]);
    };
    node.dead = h("a", { class: "dead-count", href: `#dead-letters?stage=${id}`, hidden: true });
    node.element = h(
      "article",
      { class: "node service", "data-place": id, "aria-label": title },
      h("header", {}, node.title, node.state),
      note ? h("p", { class: "quiet" }, note) : null,
      h("dl", {}, value("rate", id === "gateway" ? "requests" : "rate"), ...(stage ? [value("lag", "waiting"), value("p50", "p50"), value("p99", "p99")] : id === "gateway" ? [value("p50", "p50"), value("p99", "p99")] : [])),
      node.dead,
    );
    return node;
  }

  #topic({ id }) {
    const node = { rate: h("span", { class: "topic-rate" }, UNKNOWN) };
    const dead = id === "dead-letter";
    node.element = dead
      ? h("a", { class: "node topic dead", "data-place": id, href: "#dead-letters" }, h("h3", {}, id), node.rate)
      : h("article", { class: "node topic", "data-place": id, "aria-label": `topic ${id}` }, h("h3", {}, id), node.rate);
    return node;
  }

  #fill() {
    const newest = stats.newest;
    if (!newest) return;
    const hops = new Map(newest.hops.map((hop) => [hop.name, hop]));
    const per = (name) => hops.get(name)?.per_s ?? null;
    const copies = (id) => newest.services.filter(({ name }) => name === id || new RegExp(`^${id}-\\d+$`).test(name));
    // readings of a broker come in through the bridge, in the place of the proxy
    const door = copies("bridge").length ? "bridge" : "mqtt";
    for (const place of PLACES) {
      const node = this.#nodes.get(place.id);
      if (place.topic && place.hop) text(node.rate, `${rate(per(place.hop))}/s`);
      else if (!place.topic) this.#fillService(place, node, copies(place.id === "mqtt" ? door : place.id), newest);
    }
    text(this.#nodes.get("mqtt").title, door);
    attribute(this.#nodes.get("mqtt").dead, "href", `#dead-letters?stage=${door}`);
    const through = { sensors: "MQTT, acknowledged", postgres: "table temperature" };
    for (const [id, hop] of Object.entries(through)) text(this.#nodes.get(id).values.rate, `${rate(per(hop))}/s`);
    this.#nodes.get("dead-letter").element.classList.toggle("some", newest.dead_letters_total > 0);
    const dead = newest.dead_letters_total;
    const deadRate = newest.dead_letters.reduce((sum, each) => sum + (each.per_s ?? 0), 0);
    text(this.#nodes.get("dead-letter").rate, dead == null ? UNKNOWN : dead ? `${count(dead)} refused${deadRate ? `, ${rate(deadRate)}/s` : ""}` : "nothing refused");
    this.#fillFigures(newest, per, dead);
    this.#move(per, newest);
  }

  #fillService({ id, stage }, node, copies, newest) {
    const sensors = newest.counts.sensors_active;
    if (id === "sensors") {
      text(node.state, sensors == null ? "" : `${count(sensors)} active`);
      return;
    }
    const worst = copies.map((copy) => stateOf(copy.state)).sort((a, b) => b.weight - a.weight)[0] ?? null;
    node.state.dataset.tone = worst?.tone ?? "off";
    const words = worst ? `${worst.name}${copies.length > 1 ? ` ×${copies.length}` : ""}` : "unknown";
    if (node.state.textContent !== words) node.state.replaceChildren(...(worst ? [icon(worst.icon)] : []), words);
    attribute(node.element, "data-tone", worst?.tone ?? null);
    if (!node.values.p50) return;
    const sum = (values) => (values.some((value) => value != null) ? values.reduce((all, value) => all + (value ?? 0), 0) : null);
    const greatest = (values) => (values.some((value) => value != null) ? Math.max(...values.map((value) => value ?? 0)) : null);
    text(node.values.rate, `${rate(sum(copies.map((copy) => copy.records_per_s)))}/s`);
    text(node.values.p50, seconds(greatest(copies.map((copy) => copy.latency.p50_s))));
    text(node.values.p99, seconds(greatest(copies.map((copy) => copy.latency.p99_s))));
    if (!stage) return;
    const waiting = id === "mqtt" ? newest.counts.mqtt_in_flight : sum(copies.map((copy) => copy.lag?.records));
    const [records, waited] = [waiting, greatest(copies.map((copy) => copy.lag?.seconds))];
    text(node.values.lag, records == null ? UNKNOWN : records && waited != null ? `${count(records)} · ${seconds(waited)}` : count(records));
    node.values.lag.className = waited >= 30 ? "bad" : waited >= 5 ? "warn" : "";
    const dead = sum(copies.map((copy) => copy.dead_letters));
    node.dead.hidden = !dead;
    text(node.dead, dead ? `${count(dead)} since start` : "");
    this.#flows.get(`dead ${id}`)?.classList.toggle("quiet-flow", !dead);
  }

  #fillFigures(newest, per, dead) {
    const both = (latency) => (latency?.p50_s == null ? UNKNOWN : `${seconds(latency.p50_s)} · ${seconds(latency.p99_s)}`);
    const waiting = newest.services.reduce((sum, { lag }) => (lag ? (sum ?? 0) + lag.records : sum), null);
    const { sensors_active: active, sensors_silent: silent } = newest.counts;
    text(this.figures.readings, rate(per("table temperature")));
    text(this.figures["reading-latency"], both(newest.end_to_end.temperature));
    text(this.figures["average-latency"], both(newest.end_to_end.average));
    text(this.figures.lag, count(waiting));
    text(this.figures.sensors, count(active) + (silent ? `, ${count(silent)} silent` : ""));
    text(this.figures.dead, count(dead));
  }

  // -- the lines between the places

  /** Draws the lines from edge to edge of the places, wherever the grid has put them. */
  #lay() {
    const frame = this.picture.getBoundingClientRect();
    if (!frame.width) return;
    attribute(this.lines, "viewBox", `0 0 ${frame.width} ${frame.height}`);
    this.lines.replaceChildren();
    this.#flows.clear();
    const box = (id) => {
      const found = this.#nodes.get(id).element.getBoundingClientRect();
      const [left, top] = [found.left - frame.left, found.top - frame.top];
      return { left, top, right: left + found.width, bottom: top + found.height, x: left + found.width / 2, y: top + found.height / 2 };
    };
    const upright = getComputedStyle(this.picture).getPropertyValue("--upright").trim() === "1";
    for (const [from, to, around] of FLOWS) {
      const path = around ? pathAround(box(from), box(to), upright) : between(box(from), box(to), upright);
      this.#flows.set(`${from} ${to}`, this.#line(path, "flow"));
    }
    if (!upright)
      for (const id of REFUSING) this.#flows.set(`dead ${id}`, this.#line(vertical(box(id), box("dead-letter")), "flow refused"));
    this.#fill();
  }

  #line(path, name) {
    const element = svg("g", { class: name }, svg("path", { d: path.d, class: "pipe" }), svg("path", { d: path.d, class: "moving" }), svg("path", { d: arrow(path), class: "arrow" }));
    this.lines.append(element);
    return element;
  }

  /** Animates the lines: the higher the rate, the faster; without a rate a line stands still. */
  #move(per, newest) {
    const rates = {
      "sensors mqtt": per("MQTT, acknowledged"),
      "mqtt sensor-data": per("MQTT, acknowledged"),
      "sensor-data collection": per("src-data"),
      "collection src-data": per("src-data"),
      "src-data processing": per("processed-data"),
      "processing processed-data": per("processed-data"),
      "processed-data aggregation": per("aggregated-data"),
      "aggregation aggregated-data": per("aggregated-data"),
      "processed-data loader": per("table temperature"),
      "aggregated-data loader": per("table average"),
      "loader postgres": per("table temperature"),
      "postgres gateway": newest.counts.requests_per_s,
    };
    for (const [name, perSecond] of Object.entries(rates)) {
      const flow = this.#flows.get(name);
      if (!flow) continue;
      flow.classList.toggle("flowing", perSecond > 0);
      const moving = $(".moving", flow);
      // ten times the rate moves twice as fast
      const time = perSecond > 0 ? `${Math.max(0.4, 2.4 / 2 ** Math.floor(Math.log10(perSecond))).toFixed(2)}s` : "";
      if (moving.style.animationDuration !== time) moving.style.animationDuration = time;
    }
  }
}

/** A line between neighbours, from edge to edge. */
function between(from, to, upright) {
  if (upright || Math.abs(from.y - to.y) > Math.max(from.bottom - from.top, to.bottom - to.top)) {
    if (!upright && from.left > to.right) return { d: `M${from.x} ${from.bottom}V${to.y - 8}q0 8 -8 8H${to.right}`, end: [to.right, to.y], way: [-1, 0] };
    if (upright && Math.abs(from.left - to.left) > 8) {
      const x = to.left + 24;
      return { d: `M${x} ${from.bottom}V${to.top}`, end: [x, to.top], way: [0, 1] };
    }
    return { d: `M${from.left + 24} ${from.bottom}V${to.top}`, end: [from.left + 24, to.top], way: [0, 1] };
  }
  const right = to.left > from.left;
  const [begin, end] = right ? [from.right, to.left] : [from.left, to.right];
  const y = (Math.max(from.top, to.top) + Math.min(from.bottom, to.bottom)) / 2;
  return { d: `M${begin} ${y}H${end}`, end: [end, y], way: [right ? 1 : -1, 0] };
}

/** A line past the places in between: below the row, or to the left of the column. */
function pathAround(from, to, upright) {
  if (upright) {
    const x = from.left + 8;
    return { d: `M${x} ${from.bottom}V${to.top}`, end: [x, to.top], way: [0, 1] };
  }
  const below = to.bottom + 24;
  return { d: `M${from.x} ${from.bottom}V${below - 8}q0 8 -8 8H${to.x + 8}q-8 0 -8 -8V${to.bottom}`, end: [to.x, to.bottom], way: [0, -1] };
}

/** A line straight up or down. */
function vertical(from, to) {
  const down = to.top > from.top;
  const [begin, end] = down ? [from.bottom, to.top] : [from.top, to.bottom];
  return { d: `M${from.x} ${begin}V${end}`, end: [from.x, end], way: [0, down ? 1 : -1] };
}

/** The arrowhead at the end of a line. */
function arrow({ end: [x, y], way: [dx, dy] }) {
  const [bx, by] = [x - dx * 7, y - dy * 7];
  return `M${bx - dy * 4} ${by - dx * 4}L${x} ${y}L${bx + dy * 4} ${by + dx * 4}Z`;
}
