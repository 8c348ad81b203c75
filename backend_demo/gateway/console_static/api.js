// The gateway's routes: requests with the token, and what goes wrong as errors.

/** What the gateway says is wrong: an RFC 9457 problem document. */
export class Problem extends Error {
  /** @param {number} status @param {any} document @param {number} retryAfterS 0: it does not say */
  constructor(status, document, retryAfterS) {
    super(document?.detail || document?.title || `the gateway answers ${status}`);
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

/** Told of every answer and of every missing one, by `health`. @type {(outcome: Problem|Away|null) => void} */
let tell = () => {};

export function observe(observer) {
  tell = observer;
}

const TOKEN = "bdemo.token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => sessionStorage.setItem(TOKEN, value),
};

/**
 * An answer with a status of success; its body has not been read yet. Raises Problem, Away.
 * @param {string} path relative to the page, so that it works behind a proxy's prefix
 * @param {Record<string, any>} params lists are repeated, null is left out
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
    answer = await fetch(url, { ...init, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const away = new Away();
    tell(away);
    throw away;
  }
  if (answer.ok) {
    tell(null);
    return answer;
  }
  const problem = new Problem(answer.status, await answer.json().catch(() => null), Number(answer.headers.get("Retry-After")) || 0);
  tell(problem);
  throw problem;
}

/** A JSON document. @param {string} path @param {Record<string, any>} params @param {RequestInit} init */
export async function get(path, params = {}, init = {}) {
  const answer = await request(path, params, init);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away(); // cut off in the middle
  }
}
