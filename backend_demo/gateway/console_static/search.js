// The sensors that match a search. Pure.

import { ascending } from "./sensor_numbers.js";

/**
 * The sensors whose number contains the searched digits: first those that begin with them, then the others. A text that
 * is part of a name finds that one; only digits find both.
 * @param {string[]} sensors @param {string} wanted @param {Map<string, string>} names by sensor
 */
export function search(sensors, wanted, names = new Map()) {
  const part = wanted.trim().toLowerCase();
  if (!part) return sensors;
  const named = sensors.filter((sensor) => names.get(sensor)?.toLowerCase().includes(part));
  const digits = wanted.replace(/\D/g, "");
  if (!digits || (named.length && digits !== part)) return named;
  const begins = [];
  const holds = [];
  for (const sensor of sensors) {
    if (named.includes(sensor)) continue;
    if (sensor.startsWith(digits)) begins.push(sensor);
    else if (sensor.includes(digits)) holds.push(sensor);
  }
  return [...begins.sort(ascending), ...holds, ...named];
}
