// Formats numbers and times for people. Pure.

export const UNKNOWN = "–";

/** A number of things: `12,345`, `1.2M`. @param {number|null|undefined} value */
export function count(value) {
  if (value == null) return UNKNOWN;
  return value < 1e6 ? Math.round(value).toLocaleString("en") : `${(value / 1e6).toFixed(1)}M`;
}

/** Things per second: `0`, `4.2`, `12,345`, `123.4k`. @param {number|null|undefined} value */
export function rate(value) {
  if (value == null) return UNKNOWN;
  if (value >= 999_950) return `${(value / 1e6).toFixed(2)}M`;
  if (value >= 99_999.5) return `${(value / 1e3).toFixed(1)}k`;
  if (value >= 999.95) return Math.round(value).toLocaleString("en");
  return value ? value.toFixed(1) : "0";
}

/** A latency: `8.5 ms`, `24 ms`, `1.2 s`; beyond the largest bucket `≥60 s`. @param {number|null|undefined} value */
export function seconds(value) {
  if (value == null) return UNKNOWN;
  if (value >= 60) return "≥60 s";
  if (value >= 9.95) return `${value.toFixed(0)} s`;
  if (value >= 0.9995) return `${value.toFixed(1)} s`;
  return value < 0.00995 ? `${(value * 1000).toFixed(1)} ms` : `${(value * 1000).toFixed(0)} ms`;
}

/** Milliseconds of a trace: `3.4 ms`, `1,204.0 ms`. @param {number} value */
export function milliseconds(value) {
  return `${value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ms`;
}

/** A duration in its two largest units: `12 s`, `3 min 20 s`, `2 d 4 h`. @param {number|null|undefined} value seconds */
export function duration(value) {
  if (value == null) return UNKNOWN;
  let rest = Math.max(0, Math.floor(value));
  const parts = [];
  for (const [size, unit] of [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole || (parts.length === 0 && size === 1)) parts.push(`${whole} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ");
}

/** An age in one unit: `now`, `12 s`, `3 min`, `2 d`. @param {number} value seconds */
export function age(value) {
  return value < 1 ? "now" : duration(value).split(" ").slice(0, 2).join(" ");
}

/** @param {number|null|undefined} value */
export function bytes(value) {
  if (value == null) return UNKNOWN;
  return value < 1e9 ? `${Math.round(value / 1e6)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}

/** @param {number|null|undefined} cores */
export function cpu(cores) {
  return cores == null ? UNKNOWN : `${Math.round(cores * 100)} %`;
}

/** Degrees Celsius without the unit, with one or two decimals. @param {number|null|undefined} value */
export function degrees(value) {
  if (value == null) return UNKNOWN;
  return value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 2 });
}

/** Local time, with milliseconds on request: `2026-11-27 02:35:07.123`. @param {number} epoch seconds */
export function moment(epoch, { date = true, millis = false } = {}) {
  const at = new Date(epoch * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const rest = millis ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : "";
  return `${date ? `${day} ` : ""}${time}${rest}`;
}

/** Local time in the form that `<input type="datetime-local" step="1">` takes. @param {number} epoch seconds */
export function localInput(epoch) {
  return moment(epoch).replace(" ", "T");
}

/** The reverse; null if the text is not a time. @param {string} text */
export function fromLocalInput(text) {
  const milliseconds = new Date(text).getTime();
  return Number.isNaN(milliseconds) ? null : milliseconds / 1000;
}
