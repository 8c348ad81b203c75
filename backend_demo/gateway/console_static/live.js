// The view of charts: which sensors, which range of time, and when to draw.

import { Chart, forgetColours } from "./chart.js";
import { h, text } from "./dom.js";
import { fromLocalInput, localInput, moment } from "./format.js";
import { health } from "./health.js";
import { Lines } from "./lines.js";
import { SensorList } from "./sensors.js";
import { CHOSEN_MAX, RANGES, store } from "./state.js";
import { stats } from "./stats.js";

/** Number of sensors shown until the user chooses some. */
const FIRST = 4;
/** A line with this many readings a pixel is down-sampled again. */
const LONGEST = 4;
const RELOAD_MS = 10_000;

export class LiveView {
  #charts = [];
  #key = "";
  #drawnAt = 0;
  #on = false;

  constructor(root) {
    this.list = new SensorList({ onToggle: (sensor) => this.#toggle(sensor), onFirst: (numbers) => this.#first(numbers) });
    this.state = h("span", { class: "chip", role: "status" });
    this.ranges = h("div", { class: "segmented", role: "group", "aria-label": "Range up to now" });
    for (const name of Object.keys(RANGES))
      this.ranges.append(h("button", { type: "button", "data-range": name, "aria-label": `Last ${name}`, onclick: () => store.set({ range: name, from: null, to: null }, { step: true }) }, name));
    this.from = h("input", { type: "datetime-local", step: "1", "aria-label": "From" });
    this.to = h("input", { type: "datetime-local", step: "1", "aria-label": "To" });
    this.wrong = h("span", { class: "bad", role: "alert" });
    this.lines = new Lines(this.wrong, (state, words) => this.#showState(state, words), () => this.reload());
    this.own = h(
      "form",
      { class: "own-range", id: "own-range", hidden: true, onsubmit: (event) => this.#ownRange(event) },
      this.from,
      h("span", { class: "quiet" }, "to"),
      this.to,
      h("button", { class: "small" }, "Show"),
      this.wrong,
    );
    this.ranges.append(h("button", { type: "button", "data-range": "own", "aria-expanded": "false", "aria-controls": "own-range", onclick: () => this.#openOwn(this.own.hidden || store.current.from != null) }, "Custom"));
    this.live = h("button", { type: "button", class: "primary small", hidden: true, onclick: () => this.goLive() }, "Back to live");
    this.layout = h("button", { type: "button", class: "small", onclick: () => this.toggleLayout() });
    this.charts = h("div", { class: "charts" });
    this.empty = h("div", { class: "empty panel", hidden: true });
    this.side = h("details", { class: "side panel" }, h("summary", {}, "Sensors"), this.list.element);
    const wide = matchMedia("(min-width: 900px)");
    const fold = () => (this.side.open = wide.matches);
    wide.addEventListener("change", fold);
    fold();
    root.append(
      h(
        "div",
        { class: "live" },
        this.side,
        h(
          "div",
          { class: "live-main" },
          h("div", { class: "toolbar" }, this.ranges, this.own, this.live, h("span", { class: "spring" }), this.#legend(), this.layout, this.state),
          this.empty,
          this.charts,
        ),
      ),
    );
    health.addEventListener("change", () => health.condition === "ok" && this.reload());
    document.addEventListener("visibilitychange", () => this.#follow());
    store.addEventListener("change", (event) => this.#on && this.#changedState(event.before));
    const frame = () => {
      if (this.#on) this.#frame();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  show() {
    this.#on = true;
    this.list.polling.start();
    this.#apply();
    this.reload();
    this.#follow();
  }

  hide() {
    this.#on = false;
    this.list.polling.stop();
    this.#follow();
  }

  repaint() {
    forgetColours();
    this.#charts.forEach((chart) => chart.repaint());
  }

  goLive() {
    store.set({ from: null, to: null }, { step: true });
  }

  toggleLayout() {
    store.set({ layout: store.current.layout === "split" ? "together" : "split" });
  }

  /** Takes the next shorter (-1) or longer (1) range up to now. */
  step(by) {
    const names = Object.keys(RANGES);
    const place = names.indexOf(store.current.range) + by;
    if (names[place]) store.set({ range: names[place], from: null, to: null });
  }

  /** Makes the visible range longer or shorter, around its middle. @param {number} factor */
  zoom(factor) {
    const [from, to] = this.#window();
    const half = ((to - from) / 2) * factor;
    this.#look((from + to) / 2 - half, (from + to) / 2 + half);
  }

  /** Moves to earlier or later times. @param {number} part of the visible range */
  pan(part) {
    const [from, to] = this.#window();
    const by = (to - from) * part;
    if (to + by >= stats.now() && part > 0) this.goLive();
    else this.#look(from + by, to + by);
  }

  // -- what is chosen

  #first(numbers) {
    this.empty.hidden = numbers.length > 0;
    if (!numbers.length) {
      this.empty.replaceChildren(
        h("h2", {}, "No readings yet"),
        h("p", {}, "Start some sensors, and their readings appear here as they arrive:"),
        h("pre", {}, "bdemo simulate --sensors 5"),
      );
    } else if (store.current.sensors === null) store.set({ sensors: numbers.slice(0, FIRST) });
  }

  #toggle(sensor) {
    const chosen = store.current.sensors ?? [];
    if (chosen.includes(sensor)) store.set({ sensors: chosen.filter((each) => each !== sensor) });
    else if (chosen.length < CHOSEN_MAX) store.set({ sensors: [...chosen, sensor] });
  }

  #look(from, to) {
    if (to - from < 1) return;
    store.set({ from: Math.max(0, Math.round(from * 1000) / 1000), to: Math.round(to * 1000) / 1000 }, { step: true });
  }

  #openOwn(open) {
    this.own.hidden = !open;
    this.ranges.lastElementChild.setAttribute("aria-expanded", String(open));
    if (!open) return;
    const [first, last] = this.#window();
    this.from.value = localInput(first);
    this.to.value = localInput(last);
    this.from.focus();
  }

  #ownRange(event) {
    event.preventDefault();
    const [from, to] = [fromLocalInput(this.from.value), fromLocalInput(this.to.value)];
    text(this.wrong, from == null || to == null ? "Enter both times" : from >= to ? "The end is before the start" : "");
    if (from < to && from != null) this.#look(from, to);
  }

  #changedState(before) {
    const { sensors, range, from, to, layout } = store.current;
    if (before.sensors === sensors && before.range === range && before.from === from && before.to === to && before.layout === layout) return;
    this.#apply();
    this.reload();
    this.#follow();
  }

  /** Brings page and charts in line with the state. */
  #apply() {
    const { sensors, range, from, to, layout } = store.current;
    const chosen = sensors ?? [];
    this.lines.choose(chosen);
    this.list.choose(this.lines.slots);
    const key = `${layout} ${chosen}`;
    if (key !== this.#key) {
      this.#key = key;
      this.#charts.forEach((chart) => chart.close());
      const lines = chosen.map((sensor) => this.lines.of(sensor));
      const groups = layout === "together" && lines.length ? [lines] : lines.map((line) => [line]);
      this.#charts = groups.map((group) => new Chart(group, { onZoom: (first, last) => this.#look(first, last), onRemove: (sensor) => this.#toggle(sensor) }));
      this.charts.replaceChildren(...this.#charts.map((chart) => chart.element));
      this.charts.dataset.count = groups.length;
      if (sensors && !chosen.length) this.charts.append(h("p", { class: "empty panel quiet" }, "Choose a sensor from the list."));
    }
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(button.dataset.range === (from == null ? range : "own")));
    this.live.hidden = from == null;
    this.own.hidden &&= from == null;
    if (from != null) [this.from.value, this.to.value] = [localInput(from), localInput(to)];
    text(this.wrong, "");
    text(this.layout, layout === "split" ? "One chart" : "Separate charts");
    this.layout.title = `${layout === "split" ? "Show all sensors in one chart" : "Show each sensor in its own chart"} (o)`;
    this.layout.disabled = chosen.length < 2;
    text(this.side.firstElementChild, `Sensors (${chosen.length} chosen)`);
    if (from != null) this.#showState("history", `${moment(from)} to ${moment(to)}`);
  }

  // -- history and the stream

  /** Loads the history of the visible range again. */
  reload() {
    const { sensors, to } = store.current;
    if (!this.#on || !sensors?.length || document.hidden || !health.askable) return;
    const points = Math.min(2000, Math.max(100, Math.round(Math.max(...this.#charts.map((chart) => chart.width)))));
    const [begin] = this.#window();
    this.lines.load(begin, to, points);
  }

  /** Opens the stream of the chosen sensors, or closes it. */
  #follow() {
    const { sensors, from } = store.current;
    this.lines.follow(this.#on && !document.hidden && from == null ? (sensors ?? []) : []);
  }

  // -- drawing

  #window() {
    const { range, from, to } = store.current;
    const now = stats.now();
    return from != null ? [from, to] : [now - RANGES[range], now];
  }

  /** Draws when something has come, or when time has moved on by a pixel. */
  #frame() {
    const { from, range } = store.current;
    const now = performance.now();
    const width = this.#charts[0]?.width ?? 600;
    const pixel = Math.max(matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 50, (RANGES[range] * 1000) / width);
    const moved = from == null && now - this.#drawnAt >= pixel;
    const { changed } = this.lines;
    if (!changed && !moved) return;
    this.lines.changed = false;
    this.#drawnAt = now;
    const [begin, end] = this.#window();
    for (const chart of this.#charts) chart.draw(begin, end, changed);
    if (from != null) return;
    if (this.lines.trim(begin) > LONGEST * width && Date.now() - this.lines.loadedAt > RELOAD_MS) this.reload();
  }

  #showState(state, words) {
    this.state.dataset.state = state;
    text(this.state, words);
  }

  #legend() {
    return h("span", { class: "legend quiet", "aria-hidden": "true" }, h("i", { class: "dot" }), "reading ", h("i", { class: "dash" }), "average");
  }
}
