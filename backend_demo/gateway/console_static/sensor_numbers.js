// Sensor numbers as text: a number of JavaScript is exact up to 2^53 only, and a sensor's may be larger. Pure.

/** A sensor's number in the text of a JSON document. Inside a string the quotation marks have backslashes. */
const SENSOR = /"sensor":\s*(\d+)/g;

/** The JSON document with each `sensor` as text. @param {string} text */
export function parse(text) {
  return JSON.parse(text.replace(SENSOR, '"sensor":"$1"'));
}

/** The order of numbers written without leading zeros. @param {string} a @param {string} b */
export function ascending(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
