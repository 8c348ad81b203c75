// The view of dead letters, newest first. Their payloads may come from anyone, so they are only ever shown as text.

import { get } from "./api.js";
import { attribute, h, text } from "./dom.js";
import { UNKNOWN, age, count, moment } from "./format.js";
import { names } from "./names.js";
import { Polling } from "./polling.js";
import { EventStream } from "./sse.js";
import { store } from "./state.js";
import { stats } from "./stats.js";

/** Maximum number of dead letters in the list. */
const SHOWN = 200;
const STAGES = ["mqtt", "bridge", "gateway", "collection", "processing", "aggregation", "loader"];

export class DeadLettersView {
  /** @type {any[]} newest first */
  #letters = [];
  #items = new Map();
  #stream = null;
  #on = false;
  #loaded = "";

  constructor(root) {
    this.root = root;
    this.stage = h("select", { onchange: () => store.set({ stage: this.stage.value }) });
    this.reason = h("select", { onchange: () => store.set({ reason: this.reason.value }) });
    this.shownCount = h("span", { class: "quiet", role: "status" });
    this.list = h("ol", { class: "letters" });
    this.summary = h("div", { class: "summary" });
    this.empty = h("p", { class: "empty panel quiet", hidden: true });
    root.append(
      h("div", { class: "toolbar" }, h("label", {}, "Stage ", this.stage), h("label", {}, "Reason ", this.reason), h("span", { class: "spring" }), this.shownCount),
      this.summary,
      this.empty,
      this.list,
    );
    // the stream brings new ones at once; polling finds older ones, and those that the stream missed
    this.polling = new Polling(() => this.#ask(), () => 10_000);
    stats.addEventListener("change", () => this.#on && this.#fillSummary());
    store.addEventListener("change", () => this.#on && this.#apply());
    document.addEventListener("visibilitychange", () => this.#follow());
    this.#offer();
  }

  show() {
    this.#on = true;
    this.#apply();
    this.polling.start();
    this.#follow();
    this.#fillSummary();
  }

  hide() {
    this.#on = false;
    this.polling.stop();
    this.#follow();
  }

  #apply() {
    const { stage, reason } = store.current;
    this.#offer();
    this.stage.value = stage;
    this.reason.value = reason;
    if (this.#loaded !== stage) this.polling.now();
    this.#render();
  }

  /** Offers stages and reasons to filter by: those that occur, and those chosen now. */
  #offer() {
    const { stage, reason } = store.current;
    const refused = stats.newest?.dead_letters ?? [];
    const stages = [...new Set([...STAGES, ...refused.map((each) => each.service), ...this.#letters.map((each) => each.stage), stage])];
    const reasons = [...new Set([...refused.map((each) => each.reason), ...this.#letters.map((each) => each.reason), reason])].sort();
    offer(this.stage, stages.filter(Boolean));
    offer(this.reason, reasons.filter(Boolean));
    this.stage.value = stage;
    this.reason.value = reason;
  }

  async #ask() {
    const { stage } = store.current;
    const found = await get("v1/dead-letters", { limit: SHOWN, ...(stage && { stage }) });
    if (stage !== this.#loaded) this.#letters = [];
    this.#loaded = stage;
    this.#add(found.dead_letters);
    this.older = found.truncated;
    this.#render();
  }

  #follow() {
    const wanted = this.#on && !document.hidden;
    if (wanted === Boolean(this.#stream)) return;
    this.#stream?.close();
    this.#stream = null;
    if (!wanted) return;
    this.#stream = new EventStream({ topic: "dead-letters" }, (event, letter) => {
      if (event !== "dead-letter") return;
      this.#add([letter]);
      this.#render();
    });
  }

  #add(letters) {
    const known = new Map(this.#letters.map((letter) => [letter.id, letter]));
    for (const letter of letters) known.set(letter.id, letter);
    this.#letters = [...known.values()].sort((a, b) => (b.time ?? 0) - (a.time ?? 0) || b.id.localeCompare(a.id)).slice(0, SHOWN);
    this.#offer();
  }

  #render() {
    const { stage, reason } = store.current;
    const shown = this.#letters.filter((letter) => (!stage || letter.stage === stage) && (!reason || letter.reason === reason));
    const wanted = new Set(shown.map((letter) => letter.id));
    for (const [id, item] of this.#items)
      if (!wanted.has(id)) {
        item.remove();
        this.#items.delete(id);
      }
    shown.forEach((letter, place) => {
      if (!this.#items.has(letter.id)) this.#items.set(letter.id, item(letter));
      const element = this.#items.get(letter.id);
      if (this.list.children[place] !== element) this.list.insertBefore(element, this.list.children[place] ?? null);
    });
    this.empty.hidden = shown.length > 0;
    text(this.empty, stage || reason ? "None of the newest dead letters has this stage and reason." : "Nothing has been refused.");
    text(this.shownCount, shown.length ? `${this.older || this.#letters.length >= SHOWN ? "newest " : ""}${count(shown.length)}` : "");
  }

  #fillSummary() {
    const refused = stats.newest?.dead_letters ?? [];
    const { stage, reason } = store.current;
    const chips = refused.map((each) => {
      const chosen = each.service === stage && each.reason === reason;
      const button = h(
        "button",
        { type: "button", class: "chip-button", "aria-pressed": String(chosen), onclick: () => store.set(chosen ? { stage: "", reason: "" } : { stage: each.service, reason: each.reason }) },
        h("strong", {}, count(each.count)),
        ` ${each.service}: ${each.reason}`,
      );
      return button;
    });
    const key = JSON.stringify([refused, stage, reason]);
    if (this.summary.dataset.key === key || this.summary.contains(document.activeElement)) return;
    attribute(this.summary, "data-key", key);
    this.summary.replaceChildren(...chips);
    this.#offer();
  }
}

function offer(select, values) {
  const key = values.join("\n");
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(h("option", { value: "" }, "All"), ...values.map((value) => h("option", { value }, value)));
}

/** One dead letter: a line that unfolds. */
function item(letter) {
  const origin = letter.partition == null || letter.partition < 0 ? letter.topic : `${letter.topic} ${letter.partition}:${letter.offset}`;
  const fact = (title, value) => h("div", {}, h("dt", {}, title), h("dd", {}, value));
  const size = `${count(letter.size)} byte${letter.size === 1 ? "" : "s"}${letter.truncated ? ", only the beginning is shown" : ""}${letter.encoding === "base64" ? ", not text: shown as base64" : ""}`;
  return h(
    "li",
    { class: "letter panel", "data-id": letter.id },
    h(
      "details",
      {},
      h(
        "summary",
        {},
        h("time", { class: "letter-time", title: letter.time == null ? "" : moment(letter.time, { millis: true }) }, letter.time == null ? UNKNOWN : moment(letter.time)),
        h("span", { class: "letter-reason" }, letter.reason),
        h("span", { class: "letter-stage quiet" }, `refused by ${letter.stage}`),
        h("span", { class: "letter-sensor quiet" }, letter.sensor == null ? "no sensor" : names.get(letter.sensor) ?? `sensor ${letter.sensor}`),
        h("code", { class: "letter-peek" }, peek(letter)),
      ),
      h(
        "div",
        { class: "letter-whole" },
        h("p", {}, letter.detail || letter.reason),
        h("dl", { class: "facts" }, fact("Origin", origin), fact("Stage", letter.stage), fact("Sensor", letter.sensor == null ? UNKNOWN : String(letter.sensor)), fact("Written", letter.time == null ? UNKNOWN : `${moment(letter.time, { millis: true })} (${age(Math.max(0, stats.now() - letter.time))}${stats.now() - letter.time < 1 ? "" : " ago"})`), fact("dead-letter", letter.id), fact("Size", size)),
        h("pre", { class: "payload", tabindex: "0", "aria-label": "Payload" }, letter.payload ?? "no payload"),
      ),
    ),
  );
}

const peek = (letter) => (letter.payload ?? "no payload").slice(0, 120);
