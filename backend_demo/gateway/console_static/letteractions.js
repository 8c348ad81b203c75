// Replaying and dismissing one dead letter.

import { post } from "./api.js";
import { h, text } from "./dom.js";
import { moment } from "./format.js";

export class LetterActions {
  #changed;
  #busy = false;

  /** @param {any} letter @param {() => void} changed called when it stands otherwise */
  constructor(letter, changed) {
    this.letter = letter;
    this.#changed = changed;
    const field = (name, title, placeholder) => {
      this[name] = h("input", { type: "text", name, placeholder, autocomplete: "off", spellcheck: "false" });
      return h("label", {}, `${title} `, this[name]);
    };
    this.replay = h("button", { class: "primary" }, "Replay");
    this.dismiss = h("button", { type: "button", onclick: () => this.#act("dismiss", {}) }, "Dismiss");
    this.form = h(
      "form",
      { class: "letter-actions", onsubmit: (event) => (event.preventDefault(), this.#act("replay", this.#changes())) },
      field("sensor", "Sensor", "as it is"),
      field("value", "Value", "as it is"),
      field("timestamp", "Time", "as it is"),
      this.replay,
      this.dismiss,
    );
    this.told = h("p", { class: "letter-told", role: "status" });
    this.element = h("div", {}, this.form, this.told);
    this.fill(letter);
  }

  /** Shows how the dead letter stands now. */
  fill(letter) {
    const became = this.letter.state !== letter.state;
    this.letter = letter;
    this.form.hidden = letter.state === "replayed";
    for (const name of ["sensor", "value", "timestamp"]) this[name].parentElement.hidden = letter.state === "unfinished";
    this.dismiss.hidden = letter.state !== "open";
    text(this.replay, letter.state === "unfinished" ? "Finish the replay" : "Replay");
    if (letter.state === "open") {
      if (became) text(this.told, "");
      return;
    }
    const since = letter.state_since == null ? "" : ` ${moment(letter.state_since)}`;
    text(this.told, [`${letter.state}${since}`, ...letter.replayed.map(reading)].join("; "));
  }

  #changes() {
    const set = {};
    for (const name of ["sensor", "value", "timestamp"]) if (this[name].value.trim()) set[name] = this[name].value.trim();
    return Object.keys(set).length ? { set } : {};
  }

  async #act(action, changes) {
    if (this.#busy) return;
    this.#busy = this.replay.disabled = this.dismiss.disabled = true;
    try {
      const found = await post(`v1/dead-letters/${action}`, { ids: [this.letter.id], ...changes });
      const [result] = found.dead_letters ?? [];
      if (result?.detail) text(this.told, result.outcome === "refused" ? `It would be refused again: ${result.detail}` : result.detail);
      this.#changed();
    } catch (error) {
      text(this.told, error.code === "read_only" ? "A gateway that asks for tokens changes nothing: use bdemo dlq, or log in with bdemo open." : error.message);
    } finally {
      this.#busy = this.replay.disabled = this.dismiss.disabled = false;
    }
  }
}

const reading = ({ sensor, value, timestamp }) => `sensor ${sensor}: ${value} °C at ${moment(timestamp, { millis: true })}`;
