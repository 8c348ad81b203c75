// The newest /v1/stats, shared by all views, with the recent values of each sparkline.

import { get } from "./api.js";
import { Polling } from "./polling.js";
import { store } from "./state.js";

const KEPT = 90;

class Stats extends EventTarget {
  /** @type {any} the newest answer; null: none yet */
  newest = null;
  /** How far the gateway's clock is ahead of the browser's, seconds. */
  clock = 0;
  #lines = new Map();

  constructor() {
    super();
    // every second in the views that show nothing else
    this.polling = new Polling(() => this.#ask(), () => (["pipeline", "services"].includes(store.current.view) ? 1000 : 3000));
  }

  /** The recent values of this name, oldest first. @returns {number[]} */
  line(name) {
    return this.#lines.get(name) ?? [];
  }

  /** The gateway's time, epoch seconds. */
  now() {
    return Date.now() / 1000 + this.clock;
  }

  async #ask() {
    const stats = await get("v1/stats");
    const ahead = stats.time - Date.now() / 1000;
    this.clock = Math.abs(ahead) > 2 ? ahead : 0; // a smaller difference is the time that the answer took
    if (stats.time !== this.newest?.time)
      for (const service of stats.services) {
        this.#keep(`${service.name} rate`, service.records_per_s);
        this.#keep(`${service.name} memory`, service.rss_bytes);
      }
    this.newest = stats;
    this.dispatchEvent(new Event("change"));
  }

  #keep(name, value) {
    if (value == null) return;
    if (!this.#lines.has(name)) this.#lines.set(name, []);
    const line = this.#lines.get(name);
    line.push(value);
    if (line.length > KEPT) line.shift();
  }
}

export const stats = new Stats();
