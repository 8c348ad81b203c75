// A chart of one sensor or several: readings as dots or a pale line, averages as a bold one.

import { h, text } from "./dom.js";
import { degrees, moment } from "./format.js";
import { align, bounds, lowerBound, summary, upperBound } from "./series.js";

const uPlot = globalThis.uPlot;

/** With less room for each, readings are a pale line: down-sampled ones are the extremes, which as dots would mislead. */
const PIXELS_A_DOT = 4;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colours of the theme, read once a theme. */
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

/** Times on the axis: the finer the lines stand, the finer they are told; 24 hours, local. */
function axisTimes(plot, splits, axis, space, step) {
  return splits.map((time, i) => {
    const told = moment(time, { millis: step < 1 });
    const newDay = i === 0 || moment(splits[i - 1]).slice(0, 10) !== told.slice(0, 10);
    const day = told.slice(5, 10);
    const clock = step >= 60 ? told.slice(11, 16) : told.slice(11);
    if (step >= 86_400) return day;
    return newDay && plot.scales.x.max - plot.scales.x.min > 43_200 ? `${clock}\n${day}` : clock;
  });
}

/**
 * @typedef {object} Line what is drawn of a sensor
 * @property {number} sensor
 * @property {number} slot which colour
 * @property {import("./series.js").Track} readings
 * @property {import("./series.js").Track} averages
 */

export class Chart {
  #window = [0, 1];
  #bounds = null;
  #data = [[]];
  #plot = null;
  /** Readings of the fullest line in the picture. */
  #seen = 0;
  #resize;

  /**
   * @param {Line[]} lines
   * @param {{onZoom: (from: number, to: number) => void, onRemove: (sensor: number) => void}} actions
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

  /** Pixels on which points are drawn. */
  get width() {
    return this.area.clientWidth || 600;
  }

  close() {
    this.#resize.disconnect();
    this.#plot?.destroy();
    this.element.remove();
  }

  /** Draws what the tracks hold now. @param {number} from epoch seconds @param {number} to @param {boolean} changed */
  draw(from, to, changed) {
    this.#window = [from, to];
    if (changed) this.#data = align(this.lines.flatMap((line) => [line.averages, line.readings]));
    if (!this.#plot) this.#fit();
    else if (changed) this.#plot.setData(this.#data);
    else this.#plot.setScale("x", { min: from, max: to });
    this.#tell();
  }

  /** In the colours of another theme. */
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

  // -- the line above the plot, which tells what is under the cursor

  #head(line) {
    const head = {
      swatch: h("span", { class: "swatch", "data-slot": line.slot }),
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
      h("span", { class: "chart-name" }, head.swatch, `Sensor ${line.sensor}`),
      head.value,
      h("span", { class: "average-told" }, h("span", { class: "quiet" }, "avg "), head.average),
      head.extremes,
      head.at,
      remove,
    );
    return head;
  }

  /** The values at a place of the axis; null: the newest ones. */
  #point(place) {
    this.pointed = place;
    this.#tell();
  }

  #tell() {
    const [from, to] = this.#window;
    const at = this.pointed == null ? null : this.#data[0][this.pointed];
    let told = 0;
    this.#seen = 0;
    this.lines.forEach((line, i) => {
      const head = this.heads[i];
      const inside = line.readings.within(from, to);
      const extremes = summary(inside);
      told += inside.length;
      this.#seen = Math.max(this.#seen, inside.length);
      const shown = at == null ? [last(line.readings, to), last(line.averages, to)] : [near(line.readings, at), near(line.averages, at)];
      text(head.value, shown[0] ? `${degrees(shown[0].value)} °C` : "–");
      text(head.average, shown[1] ? `${degrees(shown[1].value)} °C` : "–");
      text(head.extremes, extremes ? `${degrees(extremes.min)} to ${degrees(extremes.max)}` : "");
      text(head.at, shown[0] ? `${at == null ? "" : "at "}${moment(shown[0].time, { date: to - from > 43_200, millis: at != null && to - from <= 60 })}` : "");
    });
    this.empty.hidden = told > 0;
    this.element.dataset.points = told;
    this.element.dataset.newest = Math.max(...this.lines.map((line) => line.readings.end));
    this.area.setAttribute(
      "aria-label",
      this.lines.map((line, i) => `Sensor ${line.sensor}: ${this.heads[i].value.textContent}, average ${this.heads[i].average.textContent}, from ${this.heads[i].extremes.textContent || "no readings"}`).join("; "),
    );
  }
}

/** The newest point up to a time. */
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
