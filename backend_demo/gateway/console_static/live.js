// The view of charts: chosen sensors, a range of time, history from the tables and what comes in live.

import { get } from "./api.js";
import { Chart, forgetColours } from "./chart.js";
import { h, text } from "./dom.js";
import { fromLocalInput, localInput, moment } from "./format.js";
import { health } from "./health.js";
import { SensorList } from "./sensors.js";
import { Track } from "./series.js";
import { EventStream } from "./sse.js";
import { CHOSEN_MAX, RANGES, store } from "./state.js";
import { stats } from "./stats.js";

/** Sensors that are shown while nobody has chosen any. */
const FIRST = 4;
/** Live points that history may be longer than what was asked for, before it is down-sampled again. */
const LONGEST = 4;
const RELOAD_MS = 10_000;
/** The loader writes what has passed Kafka in this time, or a little later. */
const JOIN_MS = 1000;

export class LiveView {
  #lines = new Map();
  #charts = [];
  #key = "";
  #stream = null;
  #streamed = "";
  #abort = new AbortController();
  #loadedAt = 0;
  #changed = true;
  #drawnAt = 0;
  #joining = 0;
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

  /** A shorter (-1) or longer (1) range up to now. */
  step(by) {
    const names = Object.keys(RANGES);
    const place = names.indexOf(store.current.range) + by;
    if (names[place]) store.set({ range: names[place], from: null, to: null });
  }

  /** Makes what is seen longer, or shorter, around its middle. @param {number} factor */
  zoom(factor) {
    const [from, to] = this.#window();
    const half = ((to - from) / 2) * factor;
    this.#look((from + to) / 2 - half, (from + to) / 2 + half);
  }

  /** Goes to earlier or later times. @param {number} part of what is seen */
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
        h("h2", {}, "No sensor has published yet"),
        h("p", {}, "Let some do it: their readings appear here as they come."),
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
    text(this.wrong, from == null || to == null ? "Give both times" : from >= to ? "It ends before it begins" : "");
    if (from < to && from != null) this.#look(from, to);
  }

  #changedState(before) {
    const { sensors, range, from, to, layout } = store.current;
    if (before.sensors === sensors && before.range === range && before.from === from && before.to === to && before.layout === layout) return;
    this.#apply();
    this.reload();
    this.#follow();
  }

  /** Makes page and charts what the state says. */
  #apply() {
    const { sensors, range, from, to, layout } = store.current;
    const chosen = sensors ?? [];
    for (const sensor of this.#lines.keys()) if (!chosen.includes(sensor)) this.#lines.delete(sensor);
    const used = new Set([...this.#lines.values()].map((line) => line.slot));
    for (const sensor of chosen) {
      if (this.#lines.has(sensor)) continue;
      const slot = Array.from({ length: CHOSEN_MAX }, (_, i) => i).find((i) => !used.has(i));
      used.add(slot);
      this.#lines.set(sensor, { sensor, slot, readings: new Track(), averages: new Track(), firstLive: {} });
    }
    this.list.choose(new Map([...this.#lines.values()].map((line) => [line.sensor, line.slot])));
    const key = `${layout} ${chosen}`;
    if (key !== this.#key) {
      this.#key = key;
      this.#charts.forEach((chart) => chart.close());
      const lines = chosen.map((sensor) => this.#lines.get(sensor));
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
    text(this.layout, layout === "split" ? "One chart" : "A chart each");
    this.layout.title = `${layout === "split" ? "One chart for all" : "One chart for each"} (o)`;
    this.layout.disabled = chosen.length < 2;
    text(this.side.firstElementChild, `Sensors (${chosen.length} chosen)`);
    if (from != null) this.#told("history", `${moment(from)} to ${moment(to)}`);
    this.#changed = true;
  }

  // -- history, and what comes live

  /** Fetches the history of what is seen; what has come live since it began stays. */
  async reload() {
    const { sensors, from, to } = store.current;
    if (!this.#on || !sensors?.length || document.hidden || !health.askable) return;
    clearTimeout(this.#joining);
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#loadedAt = Date.now();
    const [begin] = this.#window();
    const points = Math.min(2000, Math.max(100, Math.round(Math.max(...this.#charts.map((chart) => chart.width)))));
    const wanted = { sensor: sensors, from: begin, ...(from != null && { to }), max_points: points };
    try {
      const [readings, averages] = await Promise.all([get("v1/readings", wanted, { signal }), get("v1/averages", wanted, { signal })]);
      if (signal.aborted) return;
      this.#replace("readings", readings.readings, from != null);
      this.#replace("averages", averages.averages, from != null);
      if (from == null && this.#hasHole()) this.#joining = setTimeout(() => this.reload(), JOIN_MS);
    } catch (error) {
      if (error.status === 422) text(this.wrong, error.message);
      // what else is wrong is told above, and this is called again when it is over
    }
  }

  #replace(kind, rows, whole) {
    const bySensor = new Map([...this.#lines.keys()].map((sensor) => [sensor, [[], []]]));
    for (const { sensor, timestamp, value } of rows) {
      bySensor.get(sensor)?.[0].push(timestamp);
      bySensor.get(sensor)?.[1].push(value);
    }
    for (const [sensor, [times, values]] of bySensor) {
      const line = this.#lines.get(sensor);
      if (whole) line[kind] = new Track();
      line[kind].replace(times, values);
      line[`${kind}End`] = times.at(-1) ?? -Infinity;
    }
    this.#changed = true;
  }

  /** Whether the tables had not yet what was on its way to them when the stream began. */
  #hasHole() {
    return [...this.#lines.values()].some(
      (line) => line.firstLive.readings > line.readingsEnd || line.firstLive.averages > line.averagesEnd,
    );
  }

  /** Opens the stream of what is seen, or closes it. */
  #follow() {
    const { sensors, from } = store.current;
    const wanted = this.#on && !document.hidden && from == null && sensors?.length ? sensors.join(",") : "";
    if (wanted === this.#streamed) return;
    this.#streamed = wanted;
    this.#stream?.close();
    this.#stream = null;
    if (!wanted) return;
    for (const line of this.#lines.values()) line.firstLive = {};
    this.#told("connecting", "Connecting");
    let fresh = true;
    this.#stream = new EventStream(
      { topic: ["readings", "averages"], sensor: sensors },
      (event, data) => this.#came(event, data),
      (state) => {
        this.#told(state, state === "live" ? "Live" : "Connecting");
        if (state === "live" && fresh) {
          fresh = false;
          this.reload(); // once it is there, so that nothing is missing in between
        }
      },
      () => this.reload(),
    );
  }

  #came(event, data) {
    if (event === "notice") {
      if (data.code === "kafka_away") this.#told("waiting", "Waiting for Kafka");
      else {
        this.#told("live", "Live");
        this.reload();
      }
      return;
    }
    const kind = { reading: "readings", average: "averages" }[event];
    const line = this.#lines.get(data.sensor);
    if (!kind || !line) return;
    line.firstLive[kind] ??= data.timestamp;
    if (line[kind].push(data.timestamp, data.value)) this.#changed = true;
  }

  // -- drawing

  #window() {
    const { range, from, to } = store.current;
    const now = stats.now();
    return from != null ? [from, to] : [now - RANGES[range], now];
  }

  /** Draws when something has come, or when time has gone on by a pixel. */
  #frame() {
    const { from, range } = store.current;
    const now = performance.now();
    const width = this.#charts[0]?.width ?? 600;
    const pixel = Math.max(matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 50, (RANGES[range] * 1000) / width);
    const moved = from == null && now - this.#drawnAt >= pixel;
    if (!this.#changed && !moved) return;
    const changed = this.#changed;
    this.#changed = false;
    this.#drawnAt = now;
    const [begin, end] = this.#window();
    for (const chart of this.#charts) chart.draw(begin, end, changed);
    if (from != null) return;
    let most = 0;
    for (const line of this.#lines.values()) {
      line.readings.trim(begin);
      line.averages.trim(begin);
      most = Math.max(most, line.readings.size);
    }
    if (most > LONGEST * width && Date.now() - this.#loadedAt > RELOAD_MS) this.reload();
  }

  #told(state, words) {
    this.state.dataset.state = state;
    text(this.state, words);
  }

  #legend() {
    return h("span", { class: "legend quiet", "aria-hidden": "true" }, h("i", { class: "dot" }), "reading ", h("i", { class: "dash" }), "average");
  }
}
