// The chosen sensors' lines: history from the tables, joined with what comes in live.

import { get } from "./api.js";
import { text } from "./dom.js";
import { Track } from "./series.js";
import { EventStream } from "./sse.js";
import { CHOSEN_MAX } from "./state.js";

/** The loader writes what has passed Kafka within this time, or a little later. */
const JOIN_MS = 1000;

export class Lines {
  /** @type {Map<string, import("./chart.js").Line & {firstLive: object}>} by sensor */
  #lines = new Map();
  #stream = null;
  #streamed = "";
  #abort = new AbortController();
  #joining = 0;
  /** When history was last asked for, epoch milliseconds. */
  loadedAt = 0;
  /** Whether something has come since it was last set to false. */
  changed = true;

  /**
   * @param {HTMLElement} wrong shows what the gateway says is wrong with a range
   * @param {(state: string, words: string) => void} onState how the stream is doing
   * @param {() => void} reload called when history has to be loaded again
   */
  constructor(wrong, onState, reload) {
    this.wrong = wrong;
    this.onState = onState;
    this.reload = reload;
  }

  /** Keeps a line for each of these sensors, in a colour of its own. @param {string[]} sensors */
  choose(sensors) {
    for (const sensor of this.#lines.keys()) if (!sensors.includes(sensor)) this.#lines.delete(sensor);
    const used = new Set([...this.#lines.values()].map((line) => line.slot));
    for (const sensor of sensors) {
      if (this.#lines.has(sensor)) continue;
      const slot = Array.from({ length: CHOSEN_MAX }, (_, i) => i).find((i) => !used.has(i));
      used.add(slot);
      this.#lines.set(sensor, { sensor, slot, readings: new Track(), averages: new Track(), firstLive: {} });
    }
    this.changed = true;
  }

  /** The line of a sensor. */
  of(sensor) {
    return this.#lines.get(sensor);
  }

  /** The colour slot of each sensor. @returns {Map<string, number>} */
  get slots() {
    return new Map([...this.#lines.values()].map((line) => [line.sensor, line.slot]));
  }

  /** Drops what lies before this time. Returns the number of readings in the longest line. */
  trim(begin) {
    let longest = 0;
    for (const line of this.#lines.values()) {
      line.readings.trim(begin);
      line.averages.trim(begin);
      longest = Math.max(longest, line.readings.size);
    }
    return longest;
  }

  // -- history

  /**
   * Fetches history; live points that came after the request began stay.
   * @param {number} from epoch seconds @param {number|null} to null: up to now @param {number} points at most, of each line
   */
  async load(from, to, points) {
    clearTimeout(this.#joining);
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.loadedAt = Date.now();
    const wanted = { sensor: [...this.#lines.keys()], from, ...(to != null && { to }), max_points: points };
    try {
      const [readings, averages] = await Promise.all([get("v1/readings", wanted, { signal }), get("v1/averages", wanted, { signal })]);
      if (signal.aborted) return;
      this.#replace("readings", readings.readings, to != null);
      this.#replace("averages", averages.averages, to != null);
      if (to == null && this.#hasHole()) this.#joining = setTimeout(this.reload, JOIN_MS);
    } catch (error) {
      if (error.status === 422) text(this.wrong, error.message);
      // the banner shows every other error, and history is loaded again when that is over
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
    this.changed = true;
  }

  /** Whether the tables did not have everything yet that was on its way to them when the stream began. */
  #hasHole() {
    return [...this.#lines.values()].some(
      (line) => line.firstLive.readings > line.readingsEnd || line.firstLive.averages > line.averagesEnd,
    );
  }

  // -- live

  /** Opens the stream of these sensors, or closes it when there are none. @param {string[]} sensors */
  follow(sensors) {
    const wanted = sensors.join(",");
    if (wanted === this.#streamed) return;
    this.#streamed = wanted;
    this.#stream?.close();
    this.#stream = null;
    if (!wanted) return;
    for (const line of this.#lines.values()) line.firstLive = {};
    this.onState("connecting", "Connecting");
    let fresh = true;
    this.#stream = new EventStream(
      { topic: ["readings", "averages"], sensor: sensors },
      (event, data) => this.#receive(event, data),
      (state) => {
        this.onState(state, state === "live" ? "Live" : "Connecting");
        if (state === "live" && fresh) {
          fresh = false;
          this.reload(); // after the stream is open, so that nothing is missing in between
        }
      },
      this.reload,
    );
  }

  #receive(event, data) {
    if (event === "notice") {
      if (data.code === "kafka_away") this.onState("waiting", "Waiting for Kafka");
      else {
        this.onState("live", "Live");
        this.reload();
      }
      return;
    }
    const kind = { reading: "readings", average: "averages" }[event];
    const line = this.#lines.get(data.sensor);
    if (!kind || !line) return;
    line.firstLive[kind] ??= data.timestamp;
    if (line[kind].push(data.timestamp, data.value)) this.changed = true;
  }
}
