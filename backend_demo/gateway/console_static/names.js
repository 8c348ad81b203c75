// The names of sensors that have one instead of a number.

import { get } from "./api.js";
import { ascending } from "./sensor_numbers.js";

/** The smallest number that stands for a name. */
const NAMED_MIN = String(2 ** 52);
const PAGE = 10_000;
/** A sensor that is still unknown then has no name: its number is that large by itself. */
const AGAIN_MS = 30_000;

/** @type {Map<string, string>} by sensor */
export const names = new Map();

let askedAt = -Infinity;

/** A sensor as people read it. @param {string} sensor */
export const title = (sensor) => names.get(sensor) ?? `Sensor ${sensor}`;

/** Asks for the names if one of these sensors may have one that is not known yet. @param {Iterable<string>} sensors */
export async function learn(sensors) {
  if (performance.now() - askedAt < AGAIN_MS) return;
  const unknown = [...sensors].some((sensor) => ascending(sensor, NAMED_MIN) >= 0 && !names.has(sensor));
  if (!unknown) return;
  askedAt = performance.now();
  for (let after = null; ; ) {
    const page = await get("v1/sensor-names", { limit: PAGE, after });
    for (const { sensor, name } of page.names) names.set(sensor, name);
    if (page.next == null) return;
    after = page.next;
  }
}
