// The view of dead letters, newest first. Their payloads may come from anyone, so they are only ever shown as text.

import { get } from "./api.js";
import { LetterActions } from "./letteractions.js";
import { attribute, h, text } from "./dom.js";
import { UNKNOWN, age, count, moment } from "./format.js";
import { names } from "./names.js";
import { Polling } from "./polling.js";
import { EventStream } from "./sse.js";
import { store } from "./state.js";
import { stats } from "./stats.js";

/** Maximum number of dead letters in the list. */
const SHOWN = 200;
/** How a dead letter stands; the words of the list. */
const STANDINGS = ["open", "unfinished", "replayed", "dismissed"];
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
    this.standing = h("select", { onchange: () => store.set({ standing: this.standing.value }) });
    offer(this.standing, STANDINGS);
    this.shownCount = h("span", { class: "quiet", role: "status" });
    this.list = h("ol", { class: "letters" });
    this.summary = h("div", { class: "summary" });
    this.empty = h("p", { class: "empty panel quiet", hidden: true });
    root.append(
      h("div", { class: "toolbar" }, h("label", {}, "Stage ", this.stage), h("label", {}, "Reason ", this.reason), h("label", {}, "State ", this.standing), h("span", { class: "spring" }), this.shownCount),
      this.summary,
      this.empty,
      this.list,
    );
    // the stream brings new ones at once; polling finds older ones, and those that the stream missed
    this.polling = new Polling(() => this.#ask(), () => 10_000);
    store.addEventListener("change", () => this.#on && this.#apply());
    document.addEventListener("visibilitychange", () => this.#follow());
    this.#offer();
  }

  show() {
    this.#on = true;
    this.#apply();
    this.polling.start();
    this.#follow();
  }

  hide() {
    this.#on = false;
    this.polling.stop();
    this.#follow();
  }

  #apply() {
    this.#offer();
    this.standing.value = STANDINGS.includes(store.current.standing) ? store.current.standing : "";
    if (this.#loaded !== JSON.stringify(this.#wanted())) this.polling.now();
    this.#render();
  }

  /** Offers stages and reasons to filter by: those that occur, and those chosen now. */
  #offer() {
    const { stage, reason } = store.current;
    const stages = [...new Set([...STAGES, ...this.#letters.map((each) => each.stage), stage])];
    const reasons = [...new Set([...this.#letters.map((each) => each.reason), reason])].sort();
    offer(this.stage, stages.filter(Boolean));
    offer(this.reason, reasons.filter(Boolean));
    this.stage.value = stage;
    this.reason.value = reason;
  }

  async #ask() {
    const wanted = this.#wanted();
    const found = await get("v1/dead-letters", { limit: SHOWN, ...wanted });
    // what the answer leaves out has been deleted, or stands otherwise now
    if (this.#loaded !== JSON.stringify(wanted) || !found.truncated) this.#letters = [];
    this.#loaded = JSON.stringify(wanted);
    this.older = found.truncated;
    this.total = found.total;
    this.#add(found.dead_letters);
    this.#render();
  }

  /** What the gateway is asked for; the reasons are all loaded, since the summary counts them. */
  #wanted() {
    const { stage, standing } = store.current;
    return { ...(stage && { stage }), ...(STANDINGS.includes(standing) && { state: standing }) };
  }

  #follow() {
    const wanted = this.#on && !document.hidden;
    if (wanted === Boolean(this.#stream)) return;
    this.#stream?.close();
    this.#stream = null;
    if (!wanted) return;
    this.#stream = new EventStream({ topic: "dead-letters" }, (event, letter) => {
      // one that is known may stand otherwise by now, which an event does not say
      if (event !== "dead-letter" || this.#letters.some(({ id }) => id === letter.id)) return;
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
    const { stage, reason, standing } = store.current;
    const shown = this.#letters.filter(
      (letter) => (!stage || letter.stage === stage) && (!reason || letter.reason === reason) && (!STANDINGS.includes(standing) || letter.state === standing),
    );
    const wanted = new Set(shown.map((letter) => letter.id));
    for (const [id, item] of this.#items)
      if (!wanted.has(id)) {
        item.element.remove();
        this.#items.delete(id);
      }
    shown.forEach((letter, place) => {
      if (!this.#items.has(letter.id)) this.#items.set(letter.id, new Item(letter, () => this.polling.now()));
      const known = this.#items.get(letter.id);
      known.fill(letter);
      const { element } = known;
      if (this.list.children[place] !== element) this.list.insertBefore(element, this.list.children[place] ?? null);
    });
    this.empty.hidden = shown.length > 0;
    text(this.empty, stage || reason || standing ? "None of the newest dead letters matches." : "Nothing has been refused.");
    const newest = this.older || this.#letters.length >= SHOWN ? "newest " : "";
    text(this.shownCount, this.total ? `${newest}${count(shown.length)} of ${count(this.total)}` : "");
    this.#fillSummary();
  }

  #fillSummary() {
    const counts = new Map();
    for (const letter of this.#letters) {
      const key = JSON.stringify([letter.stage, letter.reason]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const refused = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
    const { stage, reason } = store.current;
    const chips = refused.map(([pair, number]) => {
      const [service, why] = JSON.parse(pair);
      const chosen = service === stage && why === reason;
      return h(
        "button",
        { type: "button", class: "chip-button", "aria-pressed": String(chosen), onclick: () => store.set(chosen ? { stage: "", reason: "" } : { stage: service, reason: why }) },
        h("strong", {}, count(number)),
        ` ${service}: ${why}`,
      );
    });
    const key = JSON.stringify([refused, stage, reason]);
    if (this.summary.dataset.key === key || this.summary.contains(document.activeElement)) return;
    attribute(this.summary, "data-key", key);
    this.summary.replaceChildren(...chips);
  }
}

function offer(select, values) {
  const key = values.join("\n");
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(h("option", { value: "" }, "All"), ...values.map((value) => h("option", { value }, value)));
}

/** One dead letter: a line that unfolds. */
class Item {
  /** @param {any} letter @param {() => void} changed called when it stands otherwise */
  constructor(letter, changed) {
    const origin = letter.partition == null || letter.partition < 0 ? letter.topic : `${letter.topic} ${letter.partition}:${letter.offset}`;
    const fact = (title, value) => h("div", {}, h("dt", {}, title), h("dd", {}, value));
    const size = `${count(letter.size)} byte${letter.size === 1 ? "" : "s"}${letter.truncated ? ", only the beginning is shown" : ""}${letter.encoding === "base64" ? ", not text: shown as base64" : ""}`;
    this.standing = h("span", { class: "letter-standing" });
    this.actions = new LetterActions(letter, changed);
    this.element = h(
      "li",
      { class: "letter panel", "data-id": letter.id },
      h(
        "details",
        {},
        h(
          "summary",
          {},
          h("time", { class: "letter-time", title: letter.time == null ? "" : moment(letter.time, { millis: true }) }, letter.time == null ? UNKNOWN : moment(letter.time)),
          h("span", {}, h("span", { class: "letter-reason" }, letter.reason), " ", this.standing),
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
          this.actions.element,
        ),
      ),
    );
    this.fill(letter);
  }

  /** Shows how it stands now. */
  fill(letter) {
    attribute(this.element, "data-standing", letter.state);
    text(this.standing, letter.state === "open" ? "" : letter.state);
    this.actions.fill(letter);
  }
}

const peek = (letter) => (letter.payload ?? "no payload").slice(0, 120);
