// Is the gateway there, and all that it needs? One state, found from every answer, and asked for while all is not well.

import { Away, observe, request } from "./api.js";

/** Between two looks at a gateway that is not well. */
const LOOK_MS = 1000;

class Health extends EventTarget {
  /** @type {"ok"|"away"|"database"|"unauthorized"} */
  condition = "ok";
  reason = "";
  /** When it became so, epoch milliseconds. */
  since = Date.now();
  #timer = 0;

  /** Whether it makes sense to ask for data. */
  get askable() {
    return this.condition === "ok" || this.condition === "database";
  }

  /** An answer: null when it was a success. @param {import("./api.js").Problem|Away|null} outcome */
  note(outcome) {
    if (outcome instanceof Away) this.#become("away");
    else if (outcome?.status === 401) this.#become("unauthorized", outcome.message);
    else if (outcome?.code === "database_unavailable") this.#become("database", outcome.message);
    else if (this.condition === "away" && outcome?.status !== 503) this.#become("ok");
  }

  /** Resolves as soon as the gateway may be asked, or nobody waits any longer. @param {AbortSignal} signal */
  async answering(signal) {
    while (!this.askable && !signal.aborted)
      await new Promise((resolve) => {
        this.addEventListener("change", resolve, { once: true });
        signal.addEventListener("abort", resolve, { once: true });
      });
  }

  /** There is another token: what was refused may be answered now. */
  retry() {
    if (this.condition === "unauthorized") this.#become("ok");
  }

  #become(condition, reason = "") {
    const changed = condition !== this.condition || reason !== this.reason;
    if (condition !== this.condition) this.since = Date.now();
    this.condition = condition;
    this.reason = reason;
    if (condition === "away" || condition === "database") this.#timer ||= setTimeout(() => this.#look(), LOOK_MS);
    if (changed) this.dispatchEvent(new Event("change"));
  }

  async #look() {
    this.#timer = 0;
    try {
      await request("readyz");
      this.#become("ok");
    } catch (error) {
      if (error instanceof Away) return; // noted already
      const missing = error.document?.missing ?? [];
      if (error.status === 503) this.#become("database", missing.map(({ name, reason }) => `${name}: ${reason}`).join("; "));
      else this.#become("ok");
    }
  }
}

export const health = new Health();
observe((outcome) => health.note(outcome));
