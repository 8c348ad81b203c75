// The states of a service, each with an icon besides its colour. Pure.

const STATES = {
  ready: { icon: "ready", tone: "good", weight: 1 },
  rebalancing: { icon: "starting", tone: "waiting", weight: 2 },
  starting: { icon: "starting", tone: "waiting", weight: 2 },
  restarting: { icon: "starting", tone: "waiting", weight: 3 },
  stopping: { icon: "starting", tone: "waiting", weight: 3 },
  unhealthy: { icon: "warning", tone: "warning", weight: 4 },
  down: { icon: "down", tone: "bad", weight: 5 },
  failed: { icon: "down", tone: "bad", weight: 6 },
  off: { icon: "off", tone: "off", weight: 0 },
};

/** @param {string} name @returns {{name: string, icon: string, tone: string, weight: number}} */
export function stateOf(name) {
  return { name, ...(STATES[name] ?? { icon: "warning", tone: "warning", weight: 4 }) };
}
