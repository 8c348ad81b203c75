// The view of services: a row for each, or a card on a narrow screen.

import { attribute, h, icon, svg, text } from "./dom.js";
import { UNKNOWN, bytes, count, cpu, duration, rate, seconds } from "./format.js";
import { sparkline } from "./series.js";
import { stateOf } from "./states.js";
import { stats } from "./stats.js";

const COLUMNS = [
  ["State", null],
  ["Uptime", (service) => duration(service.uptime_s)],
  ["Records/s", (service) => rate(service.records_per_s), "rate"],
  ["Waiting", (service) => count(service.lag?.records)],
  ["Oldest", (service) => (service.lag ? (service.lag.records ? seconds(service.lag.seconds) : "0 s") : UNKNOWN)],
  ["p50", (service) => seconds(service.latency.p50_s)],
  ["p95", (service) => seconds(service.latency.p95_s)],
  ["p99", (service) => seconds(service.latency.p99_s)],
  ["Dead letters since start", (service) => count(service.dead_letters)],
  ["CPU", (service) => cpu(service.cpu_cores)],
  ["Memory", (service) => bytes(service.rss_bytes), "memory"],
  ["Restarts", (service) => count(service.restarts)], // only the stack knows this: the last column, hidden when it is empty
];

export class ServicesView {
  #rows = new Map();

  constructor(root) {
    this.root = root;
    this.body = h("tbody");
    this.more = h("dl", { class: "counts" });
    this.table = h(
      "table",
      { class: "services" },
      h("caption", { class: "hidden-text" }, "Services with state, load and latency"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Service"), ...COLUMNS.map(([title], i) => h("th", { scope: "col", class: i ? "number" : null }, title)))),
      this.body,
    );
    root.append(h("div", { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Services" }, this.table), this.more);
    stats.addEventListener("change", () => root.hidden || this.#fill());
  }

  show() {
    this.#fill();
  }

  hide() {}

  #fill() {
    const newest = stats.newest;
    if (!newest) return;
    const names = new Set(newest.services.map((service) => service.name));
    for (const [name, row] of this.#rows)
      if (!names.has(name)) {
        row.element.remove();
        this.#rows.delete(name);
      }
    this.table.classList.toggle("without-last", newest.services.every((service) => service.restarts == null));
    newest.services.forEach((service, place) => {
      if (!this.#rows.has(service.name)) this.#rows.set(service.name, this.#row(service.name));
      const row = this.#rows.get(service.name);
      if (this.body.children[place] !== row.element) this.body.insertBefore(row.element, this.body.children[place] ?? null);
      this.#fillRow(row, service);
    });
    this.#fillCounts(newest.counts);
  }

  #row(name) {
    const row = { cells: [], lines: {}, error: h("p", { class: "bad error" }) };
    const cells = COLUMNS.map(([title, tell, line]) => {
      const cell = tell ? h("span") : h("span", { class: "state" });
      row.cells.push(cell);
      if (!line) return h("td", { class: tell ? "number" : null, "data-title": title }, cell, tell ? null : row.error);
      row.lines[line] = svg("polyline", { fill: "none", "vector-effect": "non-scaling-stroke" });
      return h("td", { class: "number", "data-title": title }, svg("svg", { class: "spark", viewBox: "0 0 64 20", preserveAspectRatio: "none", "aria-hidden": "true" }, row.lines[line]), cell);
    });
    row.element = h("tr", { "data-service": name }, h("th", { scope: "row" }, name), ...cells);
    return row;
  }

  #fillRow(row, service) {
    const state = stateOf(service.state);
    COLUMNS.forEach(([, tell], i) => {
      if (tell) text(row.cells[i], tell(service));
      else if (row.cells[i].textContent !== state.name) row.cells[i].replaceChildren(icon(state.icon), state.name);
    });
    row.cells[0].dataset.tone = state.tone;
    text(row.error, service.error ?? "");
    row.error.hidden = !service.error;
    for (const [name, line] of Object.entries(row.lines)) attribute(line, "points", sparkline(stats.line(`${service.name} ${name}`), 64, 20));
  }

  #fillCounts(counts) {
    const titled = {
      "Sensors active": counts.sensors_active,
      "Sensors silent": counts.sensors_silent,
      "Duplicates skipped": counts.duplicates,
      "Late readings": counts.late_readings,
      "Averages recomputed": counts.repairs,
      "MQTT messages in flight": counts.mqtt_in_flight,
      "MQTT redelivered": counts.mqtt_redelivered,
      "Live streams": counts.streams,
    };
    this.more.replaceChildren(...Object.entries(titled).map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, count(value)))));
  }
}
