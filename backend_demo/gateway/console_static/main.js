// The console: tabs, the banner for outages, the token, the theme and the keyboard.

import { token } from "./api.js";
import { DeadLettersView } from "./deadletters.js";
import { $, attribute, h, icon, text } from "./dom.js";
import { count, duration } from "./format.js";
import { health } from "./health.js";
import { LiveView } from "./live.js";
import { PipelineView } from "./pipeline.js";
import { ServicesView } from "./services.js";
import { VIEWS, format, store } from "./state.js";
import { stats } from "./stats.js";
import { TraceView } from "./trace.js";

const views = {
  live: new LiveView($("#view-live")),
  pipeline: new PipelineView($("#view-pipeline")),
  services: new ServicesView($("#view-services")),
  "dead-letters": new DeadLettersView($("#view-dead-letters")),
  trace: new TraceView($("#view-trace")),
};

// -- views

function show(name, before) {
  for (const view of VIEWS) $(`#view-${view}`).hidden = view !== name;
  for (const tab of document.querySelectorAll("#tabs a")) {
    const chosen = tab.dataset.view === name;
    attribute(tab, "aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) document.title = `${tab.firstChild.textContent.trim()} · backend_demo`;
  }
  if (before) views[before].hide();
  views[name].show();
  stats.polling.now();
}

store.addEventListener("change", ({ before }) => {
  if (store.current.view !== before.view) show(store.current.view, before.view);
});

const tabs = $("#tabs");
tabs.addEventListener("click", (event) => {
  const tab = event.target.closest("a");
  if (!tab || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  store.set({ view: tab.dataset.view }, { step: true });
});
tabs.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  const next = VIEWS[(VIEWS.indexOf(store.current.view) + by + VIEWS.length) % VIEWS.length];
  store.set({ view: next }, { step: true });
  $(`#tabs a[data-view="${next}"]`).focus();
});
// a link to another view keeps the chosen sensors and range
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("main a[href^='#']");
  if (!link) return;
  event.preventDefault();
  const [view, query = ""] = link.getAttribute("href").slice(1).split("?");
  store.set({ view, stage: new URLSearchParams(query).get("stage") ?? "", reason: "", standing: "" }, { step: true });
});

// -- the overall state

function overall() {
  const element = $("#overall");
  const newest = stats.newest;
  const troubled = (newest?.services ?? []).filter(({ state }) => !["ready", "rebalancing", "off"].includes(state));
  const [tone, name, words] =
    health.condition !== "ok"
      ? ["bad", "down", { away: "No answer", database: "No database", unauthorized: "No token" }[health.condition]]
      : !newest
        ? ["waiting", "starting", "Connecting"]
        : troubled.length
          ? ["warning", "warning", `${troubled[0].name} ${troubled[0].state}${troubled.length > 1 ? `, ${troubled.length - 1} more` : ""}`]
          : ["good", "ready", "All ready"];
  if (element.dataset.tone !== tone || element.textContent !== words) {
    element.dataset.tone = tone;
    element.replaceChildren(icon(name), h("span", {}, words));
  }
  const dead = newest?.dead_letters_total;
  $("#dead-badge").hidden = !dead;
  text($("#dead-badge"), count(dead));
}

const WRONG = {
  away: (elapsed) => ["The gateway does not answer", `for ${elapsed}. This page tries again every second and continues by itself. To check the gateway, run: bdemo status`],
  database: (elapsed) => ["PostgreSQL is unavailable", `for ${elapsed}: ${health.reason || "the gateway cannot read from it"}. Nothing is lost: readings wait in Kafka, and this page continues by itself.`],
  unauthorized: () => ["This gateway requires a token", `${health.reason}.`],
};

function banner() {
  const element = $("#banner");
  element.hidden = health.condition === "ok";
  if (element.hidden) return;
  const [title, words] = WRONG[health.condition](duration((Date.now() - health.since) / 1000));
  if (element.dataset.condition !== health.condition) {
    element.dataset.condition = health.condition;
    element.replaceChildren(
      icon("warning"),
      h("strong", {}, title),
      h("span", {}),
      ...(health.condition === "unauthorized" ? [h("button", { type: "button", onclick: askToken }, "Enter a token")] : []),
    );
  }
  text($("span", element), words);
}

health.addEventListener("change", () => {
  banner();
  overall();
  if (health.condition === "unauthorized") askToken();
});
stats.addEventListener("change", overall);
setInterval(banner, 1000);

// -- the token

function askToken() {
  text($("#token-reason"), health.reason);
  $("#token").value = "";
  if (!$("#token-dialog").open) $("#token-dialog").showModal();
}

$("#token-form").addEventListener("submit", () => {
  token.set($("#token").value.trim());
  health.retry();
});

// -- theme

const darkness = matchMedia("(prefers-color-scheme: dark)");

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("#theme").replaceChildren(icon(theme === "dark" ? "sun" : "moon"));
  views.live.repaint();
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("bdemo.theme", theme);
  } catch {
    // no storage: the choice lasts as long as the page
  }
  setTheme(theme);
}

$("#theme").addEventListener("click", toggleTheme);
darkness.addEventListener("change", () => localStorage.getItem("bdemo.theme") ?? setTheme(darkness.matches ? "dark" : "light"));
setTheme(document.documentElement.dataset.theme);

// -- keys

const help = $("#help-dialog");
$("#help").addEventListener("click", () => help.showModal());

const KEYS = {
  "?": () => help.showModal(),
  t: toggleTheme,
  ...Object.fromEntries(VIEWS.map((view, i) => [String(i + 1), () => store.set({ view }, { step: true })])),
};
const LIVE_KEYS = {
  "/": () => {
    views.live.side.open = true;
    views.live.list.search.focus();
  },
  "[": () => views.live.step(-1),
  "]": () => views.live.step(1),
  ArrowLeft: () => views.live.pan(-0.25),
  ArrowRight: () => views.live.pan(0.25),
  "+": () => views.live.zoom(0.5),
  "-": () => views.live.zoom(2),
  l: () => views.live.goLive(),
  o: () => views.live.toggleLayout(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input, select, textarea, dialog")) {
    if (event.key === "Escape" && event.target.id === "search") event.target.blur();
    return;
  }
  const act = KEYS[event.key] ?? (store.current.view === "live" ? LIVE_KEYS[event.key] : null);
  if (!act) return;
  event.preventDefault();
  act();
});

history.replaceState(null, "", format(store.current));
show(store.current.view, null);
stats.polling.start();
overall();
