// Requests to the gateway's routes, with the token; failures become errors.

import { parse } from "./sensor_numbers.js";

/** An error that the gateway reports: an RFC 9457 problem document. */
export class Problem extends Error {
  /** @param {number} status @param {any} document @param {number} retryAfterS 0: not given */
  constructor(status, document, retryAfterS) {
    super(document?.detail || document?.title || `the gateway answered with status ${status}`);
    this.status = status;
    this.document = document;
    this.code = document?.code ?? "";
    this.errors = document?.errors ?? [];
    this.retryAfterS = retryAfterS;
  }
}

/** The gateway does not answer. */
export class Away extends Error {
  constructor() {
    super("the gateway does not answer");
    this.name = "Away";
  }
}

/** Called for every answer and every failure to get one; set by `health`. @type {(outcome: Problem|Away|null) => void} */
let report = () => {};

export function observe(observer) {
  report = observer;
}

const TOKEN = "bdemo.token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => sessionStorage.setItem(TOKEN, value),
};

/**
 * Returns a successful answer, whose body has not been read yet. Throws Problem, Away.
 * @param {string} path relative to the page, so that it works behind a proxy's prefix
 * @param {Record<string, any>} params a list repeats its name, null is left out
 * @param {RequestInit} init
 */
export async function request(path, params = {}, init = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(params))
    for (const each of [value].flat()) if (each != null) url.searchParams.append(name, each);
  const headers = new Headers(init.headers);
  if (token.get()) headers.set("Authorization", `Bearer ${token.get()}`);
  let answer;
  try {
    answer = await fetch(url, { ...init, headers, cache: "no-store", credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const away = new Away();
    report(away);
    throw away;
  }
  if (answer.ok) {
    report(null);
    return answer;
  }
  const problem = new Problem(answer.status, await answer.json().catch(() => null), Number(answer.headers.get("Retry-After")) || 0);
  report(problem);
  throw problem;
}

/** Returns the answer as JSON, with each `sensor` as text. @param {string} path @param {Record<string, any>} params @param {RequestInit} init */
export async function get(path, params = {}, init = {}) {
  const answer = await request(path, params, init);
  try {
    return parse(await answer.text());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away(); // the answer was cut off
  }
}

/** Sends an object as JSON; returns the answer as `get` does. @param {string} path @param {object} body */
export function post(path, body) {
  return get(path, {}, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}
