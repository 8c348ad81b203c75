// The state of the page, kept in the address so that it can be shared and reloaded.

export const VIEWS = ["live", "pipeline", "services", "dead-letters", "trace"];

/** Ranges up to now, seconds. */
export const RANGES = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400 };

/** The number of colours, and so of sensors that can be shown. */
export const CHOSEN_MAX = 8;

/**
 * @typedef {object} State
 * @property {string} view
 * @property {string[]|null} sensors their numbers; null: none chosen yet
 * @property {string} range one of RANGES; applies while `from` is null
 * @property {number|null} from epoch seconds; null: live
 * @property {number|null} to
 * @property {"split"|"together"} layout one chart for each sensor, or one for all
 * @property {string} stage filter of the dead letters; empty: all
 * @property {string} reason filter of the dead letters; empty: all
 * @property {string} standing filter of the dead letters: open, unfinished, replayed, dismissed; empty: all
 */

/** @type {State} */
export const DEFAULT = {
  view: "live",
  sensors: null,
  range: "5m",
  from: null,
  to: null,
  layout: "split",
  stage: "",
  reason: "",
  standing: "",
};

/** Reads the state from an address's hash, ignoring what is invalid. Pure. @param {string} hash @returns {State} */
export function parse(hash) {
  const [view, query = ""] = hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  const state = { ...DEFAULT };
  if (VIEWS.includes(view)) state.view = view;
  if (given.has("sensors")) {
    const numbers = given.get("sensors").split(",").filter((word) => /^(0|[1-9]\d{0,18})$/.test(word));
    state.sensors = [...new Set(numbers)].slice(0, CHOSEN_MAX);
  }
  if (given.get("range") in RANGES) state.range = given.get("range");
  const [from, to] = ["from", "to"].map((name) => (given.has(name) ? Number(given.get(name)) : NaN));
  if (from >= 0 && to > from) Object.assign(state, { from, to });
  if (given.get("layout") === "together") state.layout = "together";
  state.stage = given.get("stage") ?? "";
  state.reason = given.get("reason") ?? "";
  state.standing = given.get("standing") ?? "";
  return state;
}

/** The reverse; defaults are left out. Pure. @param {State} state */
export function format(state) {
  const query = [];
  if (state.sensors) query.push(`sensors=${state.sensors.join(",")}`);
  if (state.from != null) query.push(`from=${state.from}`, `to=${state.to}`);
  else if (state.range !== DEFAULT.range) query.push(`range=${state.range}`);
  for (const name of ["layout", "stage", "reason", "standing"])
    if (state[name] !== DEFAULT[name]) query.push(`${name}=${encodeURIComponent(state[name])}`);
  return `#${state.view}${query.length ? `?${query.join("&")}` : ""}`;
}

class Store extends EventTarget {
  /** @type {State} */
  current = parse(location.hash);

  constructor() {
    super();
    window.addEventListener("hashchange", () => this.#become(parse(location.hash)));
  }

  /**
   * Changes part of the state. `step`: the browser's Back button returns to the state before.
   * @param {Partial<State>} part
   */
  set(part, { step = false } = {}) {
    const next = { ...this.current, ...part };
    if (format(next) === format(this.current)) return;
    history[step ? "pushState" : "replaceState"](null, "", format(next));
    this.#become(next);
  }

  #become(next) {
    const before = this.current;
    this.current = next;
    this.dispatchEvent(Object.assign(new Event("change"), { before }));
  }
}

export const store = new Store();
