// The list of all sensors, to search and choose from. Only visible rows exist, so it is as fast with 100,000 sensors as with five.

import { get } from "./api.js";
import { attribute, framed, h, svg, text } from "./dom.js";
import { age, count, degrees } from "./format.js";
import { learn, names, title } from "./names.js";
import { Polling } from "./polling.js";
import { search } from "./search.js";
import { ascending } from "./sensor_numbers.js";
import { sparkline } from "./series.js";
import { CHOSEN_MAX } from "./state.js";
import { stats } from "./stats.js";

const ROW = 44;
/** Extra rows above and below the visible ones, so that a quick scroll shows no hole. */
const SPARE = 4;
/** Number of values in a sparkline. */
const KEPT = 30;
const POLL_MS = 2000;
/** Age from which a sensor's newest reading is shown as a warning, seconds. */
const SILENT_S = 60;

export class SensorList {
  /** @type {Map<string, {time: number, value: number, line: number[]}>} */
  #known = new Map();
  #shown = [];
  #active = 0;
  #chosen = new Map();
  #rows = [];
  #took = 0;

  /** @param {{onToggle: (sensor: string) => void, onFirst: (sensors: string[]) => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.search = h("input", { type: "search", id: "search", placeholder: "Search sensors", "aria-label": "Search sensors by number or name", autocomplete: "off", "aria-controls": "sensor-list", oninput: () => this.#filter() });
    this.found = h("p", { class: "quiet found", role: "status" });
    this.space = h("div", { class: "sensor-space" });
    this.list = h("div", { id: "sensor-list", class: "sensor-list", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": "Sensors", onkeydown: (event) => this.#key(event) }, this.space);
    this.element = h("div", { class: "sensors" }, this.search, this.found, this.list);
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.list.focus();
      } else if (event.key === "Enter" && this.#shown.length) this.actions.onToggle(this.#shown[0]);
    });
    this.#paint = framed(() => this.#render());
    this.list.addEventListener("scroll", this.#paint, { passive: true });
    new ResizeObserver(this.#paint).observe(this.list);
    // with 100,000 sensors an answer takes a while: then poll less often
    this.polling = new Polling(() => this.#ask(), () => Math.max(POLL_MS, 10 * this.#took));
  }

  #paint;

  /** @param {Map<string, number>} chosen colour slots by sensor */
  choose(chosen) {
    this.#chosen = chosen;
    this.#paint();
  }

  async #ask() {
    const began = performance.now();
    const { readings, truncated } = await get("v1/latest");
    this.#took = performance.now() - began;
    const before = this.#known.size;
    for (const { sensor, timestamp, value } of readings) {
      const known = this.#known.get(sensor);
      if (!known) this.#known.set(sensor, { time: timestamp, value, line: [value] });
      else if (known.time !== timestamp) {
        known.time = timestamp;
        known.value = value;
        known.line.push(value);
        if (known.line.length > KEPT) known.line.shift();
      }
    }
    this.truncated = truncated;
    if (this.#known.size !== before || !before) {
      this.#filter({ keep: true });
      this.actions.onFirst([...this.#known.keys()].sort(ascending));
    }
    learn(this.#known.keys()).then(this.#paint, () => {}); // failures show in the banner
    this.#paint();
  }

  #filter({ keep = false } = {}) {
    const numbers = [...this.#known.keys()].sort(ascending);
    this.#shown = search(numbers, this.search.value, names);
    if (!keep) {
      this.#active = 0;
      this.list.scrollTop = 0;
    }
    const found = this.#shown.length;
    const all = `${count(numbers.length)}${this.truncated ? "+" : ""} sensor${numbers.length === 1 ? "" : "s"}`;
    text(this.found, this.search.value ? (found ? `${count(found)} of ${all}` : `No match for ${this.search.value.trim()} among ${all}`) : all);
    this.#paint();
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    const last = this.#shown.length - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      this.#active = Math.min(last, Math.max(0, this.#active + steps[event.key]));
      const top = this.#active * ROW;
      if (top < this.list.scrollTop) this.list.scrollTop = top;
      else if (top + ROW > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + ROW - this.list.clientHeight;
      this.#render();
    } else if (event.key === " " || event.key === "Enter") {
      if (this.#shown.length) this.actions.onToggle(this.#shown[this.#active]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #render() {
    const height = `${this.#shown.length * ROW}px`;
    if (this.space.style.height !== height) this.space.style.height = height;
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - SPARE);
    const seen = Math.ceil(this.list.clientHeight / ROW) + 2 * SPARE;
    const rows = this.#shown.slice(first, first + seen);
    while (this.#rows.length < rows.length) {
      const row = this.#row();
      this.#rows.push(row);
      this.space.append(row.element);
    }
    const now = stats.now();
    const full = this.#chosen.size >= CHOSEN_MAX;
    this.#rows.forEach((row, i) => {
      row.element.hidden = i >= rows.length;
      if (i < rows.length) this.#fill(row, rows[i], first + i, now, full);
    });
    if (rows.length) attribute(this.list, "aria-activedescendant", `sensor-option-${this.#shown[this.#active]}`);
    else attribute(this.list, "aria-activedescendant", null);
  }

  #row() {
    const row = {
      swatch: h("span", { class: "swatch" }),
      name: h("span", { class: "sensor-name" }),
      line: svg("polyline", { fill: "none", "vector-effect": "non-scaling-stroke" }),
      value: h("span", { class: "sensor-value" }),
      age: h("span", { class: "sensor-age" }),
      sensor: "",
    };
    row.element = h(
      "div",
      { class: "sensor", role: "option", onclick: () => this.actions.onToggle(row.sensor) },
      row.swatch,
      h("span", { class: "sensor-who" }, row.name, row.age),
      svg("svg", { class: "spark", viewBox: "0 0 64 20", preserveAspectRatio: "none", "aria-hidden": "true" }, row.line),
      row.value,
    );
    return row;
  }

  #fill(row, sensor, place, now, full) {
    const { time, value, line } = this.#known.get(sensor);
    const slot = this.#chosen.get(sensor);
    const old = Math.max(0, now - time);
    row.sensor = sensor;
    row.element.style.transform = `translateY(${place * ROW}px)`;
    attribute(row.element, "id", `sensor-option-${sensor}`);
    attribute(row.element, "aria-selected", String(slot !== undefined));
    attribute(row.element, "aria-posinset", place + 1);
    attribute(row.element, "aria-setsize", this.#shown.length);
    attribute(row.element, "aria-disabled", full && slot === undefined ? "true" : null);
    attribute(row.element, "title", full && slot === undefined ? `At most ${CHOSEN_MAX} sensors can be shown` : null);
    row.element.classList.toggle("active", place === this.#active);
    attribute(row.swatch, "data-slot", slot ?? null);
    text(row.name, title(sensor));
    text(row.value, `${degrees(value)} °C`);
    text(row.age, old < 5 ? "now" : `${age(old)}${old < SILENT_S ? "" : " ago"}`);
    row.age.classList.toggle("warn", old >= SILENT_S);
    attribute(row.line, "points", sparkline(line, 64, 20));
  }
}
