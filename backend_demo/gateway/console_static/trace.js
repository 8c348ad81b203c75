// The view of a test reading, which the gateway publishes and follows hop by hop.

import { request } from "./api.js";
import { attribute, h, text } from "./dom.js";
import { milliseconds } from "./format.js";
import { parse } from "./sensor_numbers.js";
import { pieces } from "./sse.js";
import { store } from "./state.js";

/** All hops in their order, and the service that brings a reading there. `branch`: no hop follows from it. */
const WAY = [
  { name: "MQTT published", by: "gateway", words: "Published over MQTT" },
  { name: "MQTT acknowledged", by: "mqtt", words: "Acknowledged to the sensor", branch: true },
  { name: "sensor-data", by: "mqtt", words: "Topic sensor-data" },
  { name: "src-data", by: "collection", words: "Topic src-data" },
  { name: "processed-data", by: "processing", words: "Topic processed-data" },
  { name: "table temperature", by: "loader", words: "Row in table temperature", branch: true },
  { name: "REST /temperature", by: "gateway", words: "Served by /temperature", branch: true },
  { name: "aggregated-data", by: "aggregation", words: "Topic aggregated-data" },
  { name: "table average", by: "loader", words: "Row in table average", branch: true },
  { name: "REST /average", by: "gateway", words: "Served by /average", branch: true },
  { name: "dead-letter", by: "", words: "Topic dead-letter" },
];

/** The hops that a trace has reached and those still missing, in order. Pure. */
export function steps(trace) {
  const reached = new Map(trace.hops.map((hop) => [hop.name, hop]));
  const names = [...WAY.map((step) => step.name), ...trace.hops.map((hop) => hop.name)];
  return [...new Set(names)]
    .filter((name) => reached.has(name) || trace.missing.includes(name))
    .map((name) => ({
      ...(WAY.find((step) => step.name === name) ?? { name, by: reached.get(name)?.service ?? "", words: name }),
      hop: reached.get(name) ?? null,
      next: trace.stands_before.includes(name),
      trouble: trace.troubles?.[name] ?? "",
    }));
}

/** The outcome of a trace as a sentence, with its tone. Pure. @returns {[string, string]} */
export function outcome(trace) {
  const total = milliseconds(trace.total_ms);
  const waits = [...new Set(trace.stands_before.map((name) => WAY.find((step) => step.name === name)?.by).filter(Boolean))];
  switch (trace.outcome) {
    case "served":
      return [`Served after ${total}`, "good"];
    case "stored":
      return [`Stored after ${total}; this stack runs without a gateway`, "good"];
    case "repeated":
      return ["Served; the reading existed already, so its average did not change", "good"];
    case "refused":
      return [`Refused by ${trace.refusal.stage} after ${total}: ${trace.refusal.reason}, ${trace.refusal.detail}`, "bad"];
    case "timed out":
      return [`It has not arrived: ${waits.join(" and ") || "the next hop"} did not pass it on. See Services, or run: bdemo logs ${waits.join(" ")}`, "warning"];
    case "failed":
      return [`Failed: ${trace.problem?.detail ?? "the gateway did not give a reason"}`, "bad"];
    default:
      return [`On its way for ${total}`, "waiting"];
  }
}

export class TraceView {
  #abort = null;
  #rows = new Map();

  constructor(root) {
    this.root = root;
    this.sensor = h("input", { id: "trace-sensor", type: "text", inputmode: "numeric", pattern: "0|[1-9][0-9]{0,18}", required: true, autocomplete: "off", value: "1" });
    this.value = h("input", { id: "trace-value", type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "same as its newest" });
    this.button = h("button", { class: "primary", id: "publish" }, "Publish a test reading");
    this.refused = h("button", { type: "button", title: "Fills in 999 °C, which is out of range", onclick: () => this.#fillIn("999") }, "Use an invalid value");
    this.why = h("p", { class: "quiet", id: "publish-why" }, "This is a real reading: it becomes the sensor's newest one and stays in the tables.");
    this.wrong = h("p", { class: "bad", role: "alert" });
    this.end = h("p", { class: "outcome", role: "status", hidden: true });
    this.table = h("div", { class: "way", role: "table", "aria-label": "Hops of the reading" });
    this.picture = h("div", { class: "panel way-panel", hidden: true }, this.end, this.table);
    root.append(
      h(
        "form",
        { class: "panel publish", onsubmit: (event) => this.#publish(event) },
        h("label", { for: "trace-sensor" }, "Sensor", this.sensor),
        h("label", { for: "trace-value" }, "Value in °C", this.value),
        this.button,
        this.refused,
        this.why,
        this.wrong,
      ),
      this.picture,
    );
  }

  show() {
    const [first] = store.current.sensors ?? [];
    if (first !== undefined && this.sensor.value === "1" && !this.#rows.size) this.sensor.value = first;
  }

  hide() {}

  #fillIn(value) {
    this.value.value = value;
    this.button.focus();
  }

  async #publish(event) {
    event.preventDefault();
    const given = this.value.value.trim().replace(",", ".");
    if (given && !Number.isFinite(Number(given))) {
      text(this.wrong, "The value is not a number");
      this.value.focus();
      return;
    }
    text(this.wrong, "");
    this.#busy(true);
    this.#abort = new AbortController();
    try {
      // put together by hand: a number of JavaScript may be another sensor's
      const body = `{"sensor": ${this.sensor.value}, "value": ${given ? Number(given) : null}}`;
      const init = { method: "POST", body, headers: { "Content-Type": "application/json", Accept: "application/x-ndjson" }, signal: this.#abort.signal };
      const answer = await request("v1/traces", {}, init);
      this.#begin();
      let rest = "";
      for await (const piece of pieces(answer)) {
        const lines = (rest + piece).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line.trim()) this.#show(parse(line));
      }
      if (rest.trim()) this.#show(parse(rest));
    } catch (error) {
      if (error.status === 403) this.#forbid(error.message);
      else text(this.wrong, error.errors?.length ? error.errors.map(({ field, reason }) => `${field}: ${reason}`).join("; ") : error.message);
    } finally {
      this.#busy(false);
    }
  }

  #busy(on) {
    attribute(this.button, "aria-busy", on ? "true" : null);
    this.button.disabled = on || this.forbidden;
    text(this.button, on ? "On its way" : "Publish a test reading");
  }

  /** Disables publishing, which this gateway does not allow. */
  #forbid(reason) {
    this.forbidden = true;
    this.refused.disabled = true;
    attribute(this.button, "aria-describedby", "publish-why");
    text(this.why, `Not possible here: ${reason}. On the machine of the stack, run: bdemo trace ${this.sensor.value}`);
  }

  #begin() {
    this.picture.hidden = false;
    this.#rows.clear();
    this.table.replaceChildren(
      h("div", { class: "way-row way-head quiet", role: "row" }, ...["Hop", "By", "Where", "Hop time", "Total", ""].map((title, i) => h("span", { role: "columnheader", class: i === 3 || i === 4 ? "number" : null }, title))),
    );
  }

  #show(trace) {
    const [words, tone] = outcome(trace);
    this.end.hidden = false;
    this.end.dataset.tone = tone;
    attribute(this.end, "data-outcome", trace.outcome);
    text(this.end, words);
    const all = steps(trace);
    const names = new Set(all.map((step) => step.name));
    for (const [name, row] of this.#rows)
      if (!names.has(name)) {
        row.element.remove();
        this.#rows.delete(name);
      }
    for (const step of all) {
      if (!this.#rows.has(step.name)) this.#rows.set(step.name, this.#row(step));
      this.#fill(this.#rows.get(step.name), step, trace);
      this.table.append(this.#rows.get(step.name).element);
    }
  }

  #row({ name, words, branch }) {
    const cell = (kind) => h("span", { role: "cell", class: kind });
    const row = { name: h("span", { role: "cell", class: `way-name${branch ? " branch" : ""}` }, words), by: cell("way-by quiet"), where: cell("way-where quiet"), took: cell("number way-took"), all: cell("number way-all"), bar: h("i", { class: "bar" }) };
    row.element = h("div", { class: "way-row", role: "row", "data-hop": name }, row.name, row.by, row.where, row.took, row.all, h("span", { class: "bars", "aria-hidden": "true" }, row.bar));
    return row;
  }

  #fill(row, step, trace) {
    const { hop } = step;
    attribute(row.element, "data-state", hop ? (step.name === "dead-letter" ? "refused" : "reached") : step.next && trace.outcome === "under way" ? "next" : step.next ? "stuck" : "waiting");
    text(row.by, hop?.service || step.by);
    text(row.where, hop ? where(hop) : step.trouble || (step.next ? (trace.outcome === "under way" ? "on its way" : "not arrived") : ""));
    text(row.took, hop?.after ? milliseconds(hop.since_previous_ms) : "");
    text(row.all, hop ? milliseconds(hop.since_start_ms) : "");
    const total = trace.total_ms || 1;
    const width = hop?.after ? Math.max(0.6, (100 * hop.since_previous_ms) / total) : 0;
    row.bar.style.left = `${hop ? Math.min(99.4, (100 * (hop.since_start_ms - hop.since_previous_ms)) / total) : 0}%`;
    row.bar.style.width = `${Math.min(100, width)}%`;
  }
}

/** Where a hop found the reading: a place in a topic, or a row's value. */
function where({ topic, partition, offset, value }) {
  if (offset != null) return `partition ${partition}, offset ${offset}`;
  return topic ?? (value == null ? "" : `${value} °C`);
}
