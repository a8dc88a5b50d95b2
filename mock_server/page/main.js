// The page's heart: a pulse once a second; what has changed since the last one is asked for, nothing else.

import { Gone, get, post } from "./api.js";
import { $, mark, say, show, tell } from "./dom.js";
import { FaultPanel } from "./faults.js";
import { JournalPanel } from "./journal.js";
import { TaskSheet } from "./task.js";
import { Tasks } from "./tasks.js";
import { VerdictPanel, loadBill } from "./verdict.js";
import { dateTime } from "./words.js";

const PULSE_MS = 1000;
const MOST_MS = 8000;
/** No part is asked for sooner than this many times what the last answer took: a mock at work goes first. */
const PATIENCE = 10;

/** Something that is loaded when its revision has changed and it can be seen. */
class Part {
  constructor(load, { revision, isSeen = () => true, everyMs = Infinity, gapMs = 0 }) {
    Object.assign(this, { load, revision, isSeen, everyMs, gapMs, seen: null, at: -Infinity, tookMs: 0, isStale: true });
  }

  async pulse(revisions) {
    const wanted = this.revision.map((name) => revisions[name]).join();
    const sinceMs = performance.now() - this.at;
    const isDue = this.isStale || (sinceMs >= this.gapMs && sinceMs >= PATIENCE * this.tookMs && (wanted !== this.seen || sinceMs > this.everyMs));
    if (!isDue || !this.isSeen()) return;
    const begun = performance.now();
    this.isStale = false;
    try {
      await this.load();
    } catch (error) {
      this.isStale = true;
      throw error;
    }
    this.seen = wanted;
    this.at = performance.now();
    this.tookMs = this.at - begun;
  }
}

const openTask = (id) => sheet.open(id, health?.now ?? 0);
const sheet = new TaskSheet(() => hurry(taskPart, billPart, sheetPart));
const tasks = new Tasks(openTask, () => hurry(taskPart));
const journal = new JournalPanel(openTask, () => hurry(callPart));
const faults = new FaultPanel(() => hurry(faultPart, linePart));
const verdict = new VerdictPanel(() => hurry(verdictPart));

const taskPart = new Part(() => tasks.load(), { revision: ["tasks"] });
const billPart = new Part(loadBill, { revision: ["tasks"] });
const sheetPart = new Part(() => sheet.load(), { revision: ["tasks", "calls"], isSeen: () => sheet.isOpen });
const callPart = new Part(() => journal.load(), { revision: ["calls"], isSeen: () => !$("journal").hidden });
const faultPart = new Part(() => faults.load(), { revision: ["rules"] });
const linePart = new Part(loadLines, { revision: ["rules"], isSeen: () => !$("no-task").hidden });
const verdictPart = new Part(() => verdict.load(), { revision: ["tasks", "calls"], isSeen: () => !$("verdict").hidden, everyMs: 10_000, gapMs: 3000 });
const parts = [taskPart, billPart, callPart, faultPart, linePart, verdictPart, sheetPart];

let health = null;
let failures = 0;
let goneSince = null;
let timer = 0;
let running = null;

/** Ask anew at once, whatever the revisions say. */
function hurry(...stale) {
  for (const part of stale) part.isStale = true;
  void beat();
}

function beat() {
  clearTimeout(timer);
  running = (running ?? Promise.resolve()).then(pulse);
  return running;
}

async function pulse() {
  clearTimeout(timer);
  try {
    const before = health;
    health = await get("health");
    if (before?.instance !== health.instance) await meet();
    if (before && Number.parseInt(before.revisions.calls.split(".")[1], 10) > Number.parseInt(health.revisions.calls.split(".")[1], 10)) journal.clear();
    shownClock(health.clock);
    tasks.pulse(health.tasks, health.now);
    sheet.tick(health.now);
    for (const part of parts) await part.pulse(health.revisions);
    failures = 0;
    goneSince = null;
    show($("gone"), false);
    document.body.classList.remove("is-gone");
  } catch (error) {
    if (!(error instanceof Gone)) tell(error.message, true);
    else lost();
  }
  document.documentElement.dataset.beats = String(Number(document.documentElement.dataset.beats ?? 0) + 1);
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(beat, Math.min(PULSE_MS * 2 ** failures, MOST_MS));
}

/** A mock that the page has not seen before, perhaps a new one at the old address. */
async function meet() {
  for (const part of parts) part.isStale = true;
  journal.clear();
  sheet.offer(await faults.prepare());
}

function lost() {
  failures += 1;
  goneSince ??= new Date();
  say($("gone"), `The mock has not answered since ${goneSince.toLocaleTimeString()}. What is shown is what was last known; this page tries again by itself.`);
  show($("gone"), true);
  document.body.classList.add("is-gone");
}

// ---- the clock

function shownClock(clock) {
  say($("now"), dateTime(clock.now));
  $("now").dateTime = new Date(clock.now * 1000).toISOString();
  say($("mode"), { real: "real time", scaled: `${clock.speed}×`, step: "frozen", auto: "auto" }[clock.mode]);
  mark($("mode"), "data-mode", clock.mode);
  mark($("freeze"), "aria-pressed", clock.mode === "step");
  $("to-next").disabled = clock.next_at === null;
  if (document.activeElement !== $("speed")) {
    const value = clock.mode === "auto" ? "auto" : String(clock.speed);
    $("speed").value = [...$("speed").options].some((option) => option.value === value) ? value : "";
  }
}

async function move(wish) {
  try {
    shownClock(await post("clock", wish));
  } catch (error) {
    tell(error.message, true);
  }
  hurry(taskPart, billPart);
}

const atSpeed = (value) => {
  if (value === "auto") return { mode: "auto" };
  return value === "1" || value === "" ? { mode: "real" } : { mode: "scaled", speed: Number(value) };
};
for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", () => move({ advance_s: Number(button.dataset.advance) }));
}
$("to-next").addEventListener("click", () => move({ to_next: true }));
$("freeze").addEventListener("click", () => move(health?.clock.mode === "step" ? atSpeed($("speed").value) : { mode: "step" }));
$("speed").addEventListener("change", () => move(atSpeed($("speed").value)));

// ---- the start line, copying, tabs, theme, reset

async function loadLines() {
  const scenario = await get("scenario");
  const key = scenario.api_keys?.[0] ?? scenario.keys[0]?.key ?? "sk-mock";
  const settings = `DASHSCOPE_BASE_URL=${location.origin}/api/v1 DASHSCOPE_API_KEY=${key}`;
  say($("line-env"), `export ${settings}`);
  say($("line-run"), `${settings} wanspec run SPEC.yaml`);
}

say($("base-url"), `${location.origin}/api/v1`);
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      tell("Copied");
    } catch {
      getSelection().selectAllChildren(source);
      tell("Selected: copy it with the keyboard");
    }
  });
}

const tabs = [...document.querySelectorAll("[role=tab]")];
function choose(tab) {
  for (const each of tabs) {
    const isChosen = each === tab;
    mark(each, "aria-selected", isChosen);
    each.tabIndex = isChosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
  hurry(callPart, verdictPart);
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = tabs[(index + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
});

const THEMES = ["auto", "light", "dark"];
function wear(theme) {
  document.documentElement.dataset.theme = theme;
  say($("theme"), `Theme: ${theme}`);
  try {
    localStorage.setItem("wan-mock-theme", theme);
  } catch { /* a browser that keeps nothing */ }
}
let worn = "auto";
try {
  worn = localStorage.getItem("wan-mock-theme") ?? worn;
} catch { /* as above */ }
wear(THEMES.includes(worn) ? worn : "auto");
$("theme").addEventListener("click", () => wear(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]));

$("reset").addEventListener("click", () => $("confirm").showModal());
$("confirm").addEventListener("close", async () => {
  if ($("confirm").returnValue !== "yes") return;
  $("confirm").returnValue = "";
  try {
    await post("reset");
    tell("Everything is forgotten but the scenario");
  } catch (error) {
    tell(error.message, true);
  }
  journal.clear();
  hurry(...parts);
});

document.addEventListener("visibilitychange", () => { if (!document.hidden) void beat(); });
void beat();
