// Server-sent events through fetch, which unlike EventSource can send an Authorization header.

import { request, Away } from "./api.js";
import { health } from "./health.js";
import { parse } from "./sensor_numbers.js";

/** Splits the text of a stream into events, however it is cut into pieces. Pure. */
export class Parser {
  #rest = "";
  #data = [];
  #event = "";
  #id = "";

  /** @param {string} text @returns {{event: string, data: string, id: string}[]} the events completed by it */
  feed(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
        this.#data = [];
        this.#event = "";
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment, which keeps the connection alive
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.#data.push(value);
      else if (field === "event") this.#event = value;
      else if (field === "id" && !value.includes("\0")) this.#id = value;
    }
    return events;
  }
}

const PAUSE_MS = [500, 1000, 2000, 4000];

/** A stream that reconnects whenever it ends, and resumes where it ended. */
export class EventStream {
  #abort = new AbortController();
  #id = "";

  /**
   * @param {Record<string, any>} params of /v1/stream
   * @param {(event: string, data: any) => void} onEvent
   * @param {(state: "live"|"connecting") => void} onState
   * @param {() => void} onGap called when the stream could not resume, so that events may be missing
   */
  constructor(params, onEvent, onState = () => {}, onGap = () => {}) {
    this.params = params;
    this.onEvent = onEvent;
    this.onState = onState;
    this.onGap = onGap;
    this.#run();
  }

  close() {
    this.#abort.abort();
  }

  async #run() {
    const { signal } = this.#abort;
    for (let attempt = 0; !signal.aborted; attempt++) {
      this.onState("connecting");
      let pause = PAUSE_MS[Math.min(attempt, PAUSE_MS.length - 1)];
      try {
        await this.#follow(signal, () => (attempt = -1));
      } catch (error) {
        if (signal.aborted) return;
        if (this.#id && [400, 410, 422].includes(error.status)) {
          this.#id = "";
          this.onGap();
        }
        if (error.retryAfterS) pause = error.retryAfterS * 1000;
      }
      if (signal.aborted) return;
      this.onState("connecting");
      await new Promise((resolve) => setTimeout(resolve, pause));
      await health.answering(signal);
    }
  }

  async #follow(signal, connected) {
    const headers = { Accept: "text/event-stream", ...(this.#id && { "Last-Event-ID": this.#id }) };
    const answer = await request("v1/stream", this.params, { headers, signal });
    connected();
    this.onState("live");
    const parser = new Parser();
    for await (const text of pieces(answer)) {
      for (const { event, data, id } of parser.feed(text)) {
        this.#id = id || this.#id;
        this.onEvent(event, parse(data));
      }
    }
  }
}

/** The text of an answer, piece by piece. @param {Response} answer @returns {AsyncGenerator<string>} */
export async function* pieces(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : new Away();
  } finally {
    reader.releaseLock();
  }
}
