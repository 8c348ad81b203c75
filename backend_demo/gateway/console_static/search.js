// Which sensors are meant by what somebody types. Pure.

/** The sensors whose number holds what is searched, exact ones first, then by number. Pure. @param {number[]} numbers */
export function search(numbers, wanted) {
  const digits = wanted.replace(/\D/g, "");
  if (!digits) return wanted.trim() ? [] : numbers;
  const begins = [];
  const holds = [];
  for (const number of numbers) {
    const written = String(number);
    if (written.startsWith(digits)) begins.push(number);
    else if (written.includes(digits)) holds.push(number);
  }
  return [...begins.sort((a, b) => String(a).length - String(b).length || a - b), ...holds];
}
