// Points of one line in time, and several lines on one axis of time. Pure.

/** Points by time: each time once, the newest value for it. */
export class Track {
  constructor() {
    /** @type {number[]} epoch seconds, ascending */
    this.times = [];
    /** @type {number[]} */
    this.values = [];
  }

  get size() {
    return this.times.length;
  }

  /** The newest time; -Infinity without points. */
  get end() {
    return this.size ? this.times[this.size - 1] : -Infinity;
  }

  /** The newest value, or null. */
  get last() {
    return this.size ? this.values[this.size - 1] : null;
  }

  /** Adds a point where it belongs; most come in order, which costs nothing. Whether anything has changed. */
  push(time, value) {
    if (time > this.end) {
      this.times.push(time);
      this.values.push(value);
      return true;
    }
    const place = lowerBound(this.times, time);
    if (this.times[place] === time) {
      const changed = this.values[place] !== value;
      this.values[place] = value;
      return changed;
    }
    this.times.splice(place, 0, time);
    this.values.splice(place, 0, value);
    return true;
  }

  /** Forgets what is before, except the last point of it, from which the line comes into the picture. */
  trim(time) {
    const gone = lowerBound(this.times, time) - 1;
    if (gone > 0) {
      this.times.splice(0, gone);
      this.values.splice(0, gone);
    }
  }

  /**
   * Puts history in the place of all points up to its end; what is newer stays: it came live meanwhile.
   * @param {number[]} times ascending
   * @param {number[]} values
   */
  replace(times, values) {
    const end = times.length ? times[times.length - 1] : -Infinity;
    const place = upperBound(this.times, end);
    this.times = times.concat(this.times.slice(place));
    this.values = values.concat(this.values.slice(place));
  }

  /** The values from one time to another, both included. @returns {number[]} */
  within(from, to) {
    return this.values.slice(lowerBound(this.times, from), upperBound(this.times, to));
  }
}

/** The first place whose value is not less. @param {number[]} sorted */
export function lowerBound(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first place whose value is greater. @param {number[]} sorted */
export function upperBound(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A silence so many times longer than usual is drawn as a gap and not as a line. */
const GAP = 6;

/** Times in the middle of each silence. @param {number[]} times ascending @returns {number[]} */
export function silences(times) {
  if (times.length < 4) return [];
  const steps = times.slice(1).map((time, i) => time - times[i]);
  const usual = steps.toSorted((a, b) => a - b)[steps.length >> 1];
  const longest = Math.max(GAP * usual, 2);
  return steps.flatMap((step, i) => (step > longest ? [times[i] + step / 2] : []));
}

/**
 * Several tracks as columns over one axis of time, as uPlot takes them: undefined where a track has no point, null where
 * its line ends.
 * @param {Track[]} tracks
 * @returns {[number[], ...(number|null|undefined)[][]]}
 */
export function align(tracks) {
  const gaps = tracks.map((track) => silences(track.times));
  const axis = [...new Set([...tracks.flatMap((track) => track.times), ...gaps.flat()])].sort((a, b) => a - b);
  const columns = tracks.map((track, i) => {
    const ends = new Set(gaps[i]);
    const column = new Array(axis.length);
    let place = 0;
    for (let row = 0; row < axis.length; row++) {
      if (track.times[place] === axis[row]) column[row] = track.values[place++];
      else if (ends.has(axis[row])) column[row] = null;
    }
    spread(column);
    return column;
  });
  return [axis, ...columns];
}

/** Makes null of what is undefined beside a null: rows of other tracks inside a gap belong to it. */
function spread(column) {
  for (let row = 1; row < column.length; row++) if (column[row] === undefined && column[row - 1] === null) column[row] = null;
  for (let row = column.length - 2; row >= 0; row--) if (column[row] === undefined && column[row + 1] === null) column[row] = null;
}

/** Least, mean and greatest; null without values. @param {number[]} values */
export function summary(values) {
  if (!values.length) return null;
  let least = Infinity;
  let greatest = -Infinity;
  let sum = 0;
  for (const value of values) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
    sum += value;
  }
  return { min: least, mean: sum / values.length, max: greatest };
}

/**
 * The bounds of the axis of values: they hold all values with some room, and stay as they are while they fit.
 * @param {[number, number]|null} before @param {number} least @param {number} greatest
 * @returns {[number, number]}
 */
export function bounds(before, least, greatest) {
  const room = Math.max((greatest - least) * 0.12, 0.25);
  if (before && least >= before[0] && greatest <= before[1] && greatest - least + 2 * room > (before[1] - before[0]) * 0.5)
    return before;
  return [least - room, greatest + room];
}

/**
 * The points of a sparkline in a box, as an SVG polyline takes them.
 * @param {number[]} values @param {number} width @param {number} height
 */
export function sparkline(values, width, height) {
  if (values.length < 2) return "";
  const { min, max } = summary(values);
  const span = max - min || 1;
  const step = width / (values.length - 1);
  return values
    .map((value, i) => `${(i * step).toFixed(1)},${(1 + (height - 2) * (1 - (max === min ? 0.5 : (value - min) / span))).toFixed(1)}`)
    .join(" ");
}
