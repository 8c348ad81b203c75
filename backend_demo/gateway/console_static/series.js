// Points over time, and several series on one time axis. Pure.

/** Points in order of time; each time occurs once, with its newest value. */
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

  /** The newest time; -Infinity if there are no points. */
  get end() {
    return this.size ? this.times[this.size - 1] : -Infinity;
  }

  /** The newest value, or null. */
  get last() {
    return this.size ? this.values[this.size - 1] : null;
  }

  /** Adds a point where it belongs, which is cheap for points in order. Returns whether anything changed. */
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

  /** Drops the points before a time, except the last of them, where the visible line begins. */
  trim(time) {
    const gone = lowerBound(this.times, time) - 1;
    if (gone > 0) {
      this.times.splice(0, gone);
      this.values.splice(0, gone);
    }
  }

  /**
   * Replaces all points up to the end of the history; newer points, which came in live meanwhile, stay.
   * @param {number[]} times ascending
   * @param {number[]} values
   */
  replace(times, values) {
    const end = times.length ? times[times.length - 1] : -Infinity;
    const place = upperBound(this.times, end);
    this.times = times.concat(this.times.slice(place));
    this.values = values.concat(this.values.slice(place));
  }

  /** The values between two times, both included. @returns {number[]} */
  within(from, to) {
    return this.values.slice(lowerBound(this.times, from), upperBound(this.times, to));
  }
}

/** The first index whose value is not less. @param {number[]} sorted */
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

/** The first index whose value is greater. @param {number[]} sorted */
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

/** A pause this many times longer than usual is drawn as a gap. */
const GAP = 6;

/** Times in the middle of each gap. @param {number[]} times ascending @returns {number[]} */
export function gapsIn(times) {
  if (times.length < 4) return [];
  const steps = times.slice(1).map((time, i) => time - times[i]);
  const usual = steps.toSorted((a, b) => a - b)[steps.length >> 1];
  const longest = Math.max(GAP * usual, 2);
  return steps.flatMap((step, i) => (step > longest ? [times[i] + step / 2] : []));
}

/**
 * Several tracks as columns over one time axis, in the form that uPlot takes: undefined where a track has no point, null
 * where its line ends.
 * @param {Track[]} tracks
 * @returns {[number[], ...(number|null|undefined)[][]]}
 */
export function align(tracks) {
  const gaps = tracks.map((track) => gapsIn(track.times));
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

/** Extends each null over the undefined rows beside it: rows of other tracks inside a gap belong to the gap. */
function spread(column) {
  for (let row = 1; row < column.length; row++) if (column[row] === undefined && column[row - 1] === null) column[row] = null;
  for (let row = column.length - 2; row >= 0; row--) if (column[row] === undefined && column[row + 1] === null) column[row] = null;
}

/** Minimum, mean and maximum; null if there are no values. @param {number[]} values */
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
 * The bounds of the value axis: all values with some room. The previous bounds are kept as long as they fit.
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
 * The points of a sparkline in a box, in the form that an SVG polyline takes.
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
