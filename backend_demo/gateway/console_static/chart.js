// A chart of one or several sensors: readings as dots or a pale line, averages as a bold line.

import { h, text } from "./dom.js";
import { degrees, moment } from "./format.js";
import { title } from "./names.js";
import { align, bounds, lowerBound, summary, upperBound } from "./series.js";

const uPlot = globalThis.uPlot;

/** With less room than this, readings are drawn as a pale line: down-sampled readings are extremes, and dots would mislead. */
const PIXELS_A_DOT = 4;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The theme's colours, read once for each theme. */
let colours = null;

export function forgetColours() {
  colours = null;
}

function theme() {
  colours ??= {
    series: Array.from({ length: 8 }, (_, i) => style(`--series-${i}`)),
    grid: style("--grid"),
    text: style("--muted"),
    font: `12px ${getComputedStyle(document.body).fontFamily}`,
  };
  return colours;
}

/** Labels of the time axis, in local time with 24 hours: the closer the grid lines, the more precise. */
function axisTimes(plot, splits, axis, space, step) {
  return splits.map((time, i) => {
    const full = moment(time, { millis: step < 1 });
    const newDay = i === 0 || moment(splits[i - 1]).slice(0, 10) !== full.slice(0, 10);
    const day = full.slice(5, 10);
    const clock = step >= 60 ? full.slice(11, 16) : full.slice(11);
    if (step >= 86_400) return day;
    return newDay && plot.scales.x.max - plot.scales.x.min > 43_200 ? `${clock}\n${day}` : clock;
  });
}

/**
 * @typedef {object} Line the data of one sensor
 * @property {string} sensor its number
 * @property {number} slot index of its colour
 * @property {import("./series.js").Track} readings
 * @property {import("./series.js").Track} averages
 */

export class Chart {
  #window = [0, 1];
  #bounds = null;
  #data = [[]];
  #plot = null;
  /** Number of visible readings in the densest line. */
  #seen = 0;
  #resize;

  /**
   * @param {Line[]} lines
   * @param {{onZoom: (from: number, to: number) => void, onRemove: (sensor: string) => void}} actions
   */
  constructor(lines, actions) {
    this.lines = lines;
    this.actions = actions;
    this.heads = lines.map((line) => this.#head(line));
    this.area = h("div", { class: "plot", tabindex: "0", role: "img" });
    this.empty = h("p", { class: "plot-empty quiet", hidden: true }, "No readings in this range.");
    this.area.append(this.empty);
    this.element = h(
      "figure",
      { class: "chart panel", "data-sensors": lines.map((line) => line.sensor).join(",") },
      h("figcaption", {}, ...this.heads.map((head) => head.element)),
      this.area,
    );
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(this.area);
  }

  /** Width of the plot, pixels. */
  get width() {
    return this.area.clientWidth || 600;
  }

  close() {
    this.#resize.disconnect();
    this.#plot?.destroy();
    this.element.remove();
  }

  /** Draws the tracks as they are now. @param {number} from epoch seconds @param {number} to @param {boolean} changed */
  draw(from, to, changed) {
    this.#window = [from, to];
    if (changed) this.#data = align(this.lines.flatMap((line) => [line.averages, line.readings]));
    if (!this.#plot) this.#fit();
    else if (changed) this.#plot.setData(this.#data);
    else this.#plot.setScale("x", { min: from, max: to });
    this.#showValues();
  }

  /** Redraws in the colours of the current theme. */
  repaint() {
    this.#plot?.redraw(false, true);
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.area;
    if (!width || !height) return;
    if (this.#plot) this.#plot.setSize({ width, height });
    else this.#plot = new uPlot(this.#options(width, height), this.#data, this.area);
  }

  #options(width, height) {
    const axis = { stroke: () => theme().text, font: theme().font, ticks: { show: false } };
    const grid = { stroke: () => theme().grid, width: 1 };
    return {
      width,
      height,
      padding: [12, 28, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: "console", filters: { pub: (event) => event === "mousemove" || event === "mouseleave" } },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7, width: 1.5 },
        y: false,
      },
      scales: {
        x: { time: true, range: () => this.#window },
        y: { range: (_, least, greatest) => this.#range(least, greatest) },
      },
      axes: [
        { ...axis, grid: { show: false }, values: axisTimes, space: 60, size: 32 },
        { ...axis, grid, size: 52, space: 36, values: (_, splits) => splits.map((value) => `${+value.toFixed(2)}°`) },
      ],
      series: [{}, ...this.lines.flatMap((line) => this.#series(line))],
      hooks: {
        setSelect: [(plot) => this.#zoom(plot)],
        setCursor: [(plot) => this.#point(plot.cursor.idx)],
      },
    };
  }

  #series({ slot }) {
    const colour = () => theme().series[slot];
    const pale = () => `${theme().series[slot]}${this.#dense() ? "4d" : "00"}`;
    const dot = () => `${theme().series[slot]}a0`;
    return [
      { stroke: colour, width: 2, points: { show: false } },
      { stroke: pale, width: 1, points: { show: () => !this.#dense(), size: 4.5, width: 0, stroke: dot, fill: dot } },
    ];
  }

  #dense() {
    return this.#seen > this.width / PIXELS_A_DOT;
  }

  #range(least, greatest) {
    if (least == null) return this.#bounds ?? [15, 25];
    this.#bounds = bounds(this.#bounds, least, greatest);
    return this.#bounds;
  }

  #zoom(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.actions.onZoom(from, to);
  }

  // -- the line above the plot, with the values under the cursor

  #head(line) {
    const head = {
      swatch: h("span", { class: "swatch", "data-slot": line.slot }),
      name: h("span", {}, title(line.sensor)),
      value: h("strong", { class: "value" }),
      average: h("span", {}),
      extremes: h("span", { class: "quiet extremes" }),
      at: h("span", { class: "quiet at" }),
    };
    const remove = h(
      "button",
      { class: "ghost small", type: "button", "aria-label": `Remove sensor ${line.sensor}`, title: "Remove", onclick: () => this.actions.onRemove(line.sensor) },
      "×",
    );
    head.element = h(
      "div",
      { class: "chart-head" },
      h("span", { class: "chart-name" }, head.swatch, head.name),
      head.value,
      h("span", { class: "chart-average" }, h("span", { class: "quiet" }, "avg "), head.average),
      head.extremes,
      head.at,
      remove,
    );
    return head;
  }

  /** Shows the values at this index of the axis; null: the newest values. */
  #point(index) {
    this.pointed = index;
    this.#showValues();
  }

  #showValues() {
    const [from, to] = this.#window;
    const at = this.pointed == null ? null : this.#data[0][this.pointed];
    let total = 0;
    this.#seen = 0;
    this.lines.forEach((line, i) => {
      const head = this.heads[i];
      const inside = line.readings.within(from, to);
      const extremes = summary(inside);
      total += inside.length;
      this.#seen = Math.max(this.#seen, inside.length);
      const shown = at == null ? [last(line.readings, to), last(line.averages, to)] : [near(line.readings, at), near(line.averages, at)];
      text(head.value, shown[0] ? `${degrees(shown[0].value)} °C` : "–");
      text(head.average, shown[1] ? `${degrees(shown[1].value)} °C` : "–");
      text(head.extremes, extremes ? `${degrees(extremes.min)} to ${degrees(extremes.max)}` : "");
      text(head.name, title(line.sensor));
      text(head.at, shown[0] ? `${at == null ? "" : "at "}${moment(shown[0].time, { date: to - from > 43_200, millis: at != null && to - from <= 60 })}` : "");
    });
    this.empty.hidden = total > 0;
    this.element.dataset.points = total;
    this.element.dataset.newest = Math.max(...this.lines.map((line) => line.readings.end));
    this.area.setAttribute(
      "aria-label",
      this.lines.map((line, i) => `${title(line.sensor)}: ${this.heads[i].value.textContent}, average ${this.heads[i].average.textContent}, from ${this.heads[i].extremes.textContent || "no readings"}`).join("; "),
    );
  }
}

/** The newest point at or before a time. */
function last(track, to) {
  const place = upperBound(track.times, to) - 1;
  return place < 0 ? null : { time: track.times[place], value: track.values[place] };
}

/** The point nearest to a time. */
function near(track, time) {
  const place = lowerBound(track.times, time);
  const before = place - 1;
  const best = place >= track.size || (before >= 0 && time - track.times[before] < track.times[place] - time) ? before : place;
  return best < 0 ? null : { time: track.times[best], value: track.values[best] };
}
