// The journal: the last calls, newest first; filtered, and held still on demand.

import { get } from "./api.js";
import { $, el, list, mark, onTyped, say, show } from "./dom.js";
import { timeOfDay } from "./words.js";

const KINDS = ["create", "poll", "list", "cancel", "upload", "download", "quota", "other"];

/** A row of the journal; `open` shows the task that it is about. */
export function callRow(call, open = null) {
  const about = call.task_id.slice(0, 8);
  const task = call.task_id && open
    ? el("button", { type: "button", class: "link", title: `task ${call.task_id}`, onclick: () => open(call.task_id) }, about)
    : el("span", { title: call.task_id }, about);
  return el("tr", {},
    el("td", { class: "c-n" }), el("td", { class: "c-at" }), el("td", { class: "c-kind" }), el("td", { class: "c-status" }),
    el("td", { class: "c-about" }, el("span", { class: "said" }), " ", task, " ", el("span", { class: "model" })));
}

export function fillCall(row, call) {
  if (row.dataset.filled) return; // what has happened does not change
  row.dataset.filled = "1";
  const [n, at, kind, status, about] = row.children;
  say(n, String(call.n));
  say(at, timeOfDay(call.at));
  say(kind, call.kind);
  say(status, call.answered ? String(call.status) : "lost");
  status.dataset.class = call.answered ? String(Math.floor(call.status / 100)) : "lost";
  status.title = call.answered ? "" : `${call.status}, and the client cannot have had it`;
  const words = [call.code, call.fault && `fault: ${call.fault}`, call.task_status, call.retry_after_s !== null && `Retry-After ${call.retry_after_s} s`, call.repeat && "meant again"];
  say(about.firstChild, words.filter(Boolean).join(" · "));
  say(about.lastChild, call.model);
  row.title = `${call.method} ${call.path}\nkey ${call.key_alias || "none"}, ${call.sdk || "no user agent"}`;
}

export class JournalPanel {
  constructor(open, reload) {
    this.open = open;
    this.isPaused = false;
    this.limit = 100;
    $("kind").append(...KINDS.map((kind) => el("option", {}, kind)));
    for (const id of ["kind", "status"]) $(id).addEventListener("change", () => reload());
    onTyped($("call-model"), reload);
    $("more-calls").addEventListener("click", () => { this.limit = 1000; reload(); });
    $("pause").addEventListener("click", () => {
      this.isPaused = !this.isPaused;
      mark($("pause"), "aria-pressed", this.isPaused);
      say($("pause"), this.isPaused ? "Go on" : "Pause");
      if (!this.isPaused) reload();
    });
  }

  async load() {
    if (this.isPaused) return;
    const query = { kind: $("kind").value, status: $("status").value, model: $("call-model").value };
    const { requests } = await get("requests", { ...query, limit: this.limit + 1 });
    show($("more-calls"), requests.length > this.limit);
    const rows = requests.reverse().slice(0, this.limit);
    list($("calls"), rows, (call) => call.n, (call) => callRow(call, this.open), fillCall);
    const isFiltered = Object.values(query).some(Boolean);
    show($("no-call"), rows.length === 0);
    say($("no-call"), isFiltered ? "No call fits the filter." : "No call yet. What clients ask of the mock is written here; keys are not.");
  }

  /** Forget the rows: numbers begin again. */
  clear() {
    $("calls").replaceChildren();
  }
}
