// Work that repeats while the page is visible and the gateway answers.

import { health } from "./health.js";

const repeated = new Set();

/** Does its work at once and then repeatedly, from `start` to `stop`; never twice at the same time. */
export class Polling {
  #timer = 0;
  #busy = false;
  #again = false;
  #on = false;

  /** @param {() => Promise<void>} work `health` shows its errors @param {() => number} pause milliseconds */
  constructor(work, pause) {
    this.work = work;
    this.pause = pause;
    repeated.add(this);
  }

  start() {
    this.#on = true;
    this.now();
  }

  stop() {
    this.#on = false;
    clearTimeout(this.#timer);
  }

  /** Does the work now instead of at the end of the pause. */
  async now() {
    clearTimeout(this.#timer);
    if (!this.#on || document.hidden || !health.askable) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      await this.work();
    } catch (error) {
      if (error.status === undefined && error.name !== "Away" && error.name !== "AbortError") throw error;
    } finally {
      this.#busy = false;
      clearTimeout(this.#timer);
      if (this.#again) {
        this.#again = false;
        queueMicrotask(() => this.now());
      } else if (this.#on) {
        this.#timer = setTimeout(() => this.now(), this.pause());
      }
    }
  }
}

const all = () => repeated.forEach((polling) => polling.now());
document.addEventListener("visibilitychange", all);
health.addEventListener("change", all);
