// Whether the gateway and its database answer: one condition, derived from every answer and checked while something is wrong.

import { Away, observe, request } from "./api.js";

/** Pause between two checks while something is wrong. */
const CHECK_MS = 1000;

class Health extends EventTarget {
  /** @type {"ok"|"away"|"database"|"unauthorized"} */
  condition = "ok";
  reason = "";
  /** When the condition began, epoch milliseconds. */
  since = Date.now();
  #timer = 0;

  /** Whether requests for data can succeed. */
  get askable() {
    return this.condition === "ok" || this.condition === "database";
  }

  /** Takes the outcome of a request; null: success. @param {import("./api.js").Problem|Away|null} outcome */
  note(outcome) {
    if (outcome instanceof Away) this.#become("away");
    else if (outcome?.status === 401) this.#become("unauthorized", outcome.message);
    else if (outcome?.code === "database_unavailable") this.#become("database", outcome.message);
    else if (this.condition === "away" && outcome?.status !== 503) this.#become("ok");
  }

  /** Resolves when the gateway can be asked, or when the wait is aborted. @param {AbortSignal} signal */
  async answering(signal) {
    while (!this.askable && !signal.aborted)
      await new Promise((resolve) => {
        this.addEventListener("change", resolve, { once: true });
        signal.addEventListener("abort", resolve, { once: true });
      });
  }

  /** Tries again after the token has changed. */
  retry() {
    if (this.condition === "unauthorized") this.#become("ok");
  }

  #become(condition, reason = "") {
    const changed = condition !== this.condition || reason !== this.reason;
    if (condition !== this.condition) this.since = Date.now();
    this.condition = condition;
    this.reason = reason;
    if (condition === "away" || condition === "database") this.#timer ||= setTimeout(() => this.#check(), CHECK_MS);
    if (changed) this.dispatchEvent(new Event("change"));
  }

  async #check() {
    this.#timer = 0;
    try {
      await request("readyz");
      this.#become("ok");
    } catch (error) {
      if (error instanceof Away) return; // `note` has seen it
      const missing = error.document?.missing ?? [];
      if (error.status === 503) this.#become("database", missing.map(({ name, reason }) => `${name}: ${reason}`).join("; "));
      else this.#become("ok");
    }
  }
}

export const health = new Health();
observe((outcome) => health.note(outcome));
