// The table of tasks: a page of them, newest first, in every state or in one.

import { get } from "./api.js";
import { $, el, list, mark, onTyped, say, show } from "./dom.js";
import { GLYPHS, STATES, deathOf, isVideo, languageOf, lookAt, money, short } from "./words.js";

const PAGE = 50;

export class Tasks {
  /** `open(id)` shows one task; `reload()` asks anew at once. */
  constructor(open, reload) {
    this.open = open;
    this.state = "";
    this.offset = 0;
    this.rows = [];
    this.now = 0;
    const again = () => { this.offset = 0; reload(); };
    for (const state of ["", ...STATES]) {
      $("states").append(el("button", { type: "button", "aria-pressed": state === "", data: { state }, onclick: () => { this.state = state; again(); } },
        state ? `${GLYPHS[state]} ${state} ` : "All ", el("b", {}, "0")));
    }
    onTyped($("task-model"), again);
    $("show-all").addEventListener("click", () => { this.state = ""; $("task-model").value = ""; again(); });
    $("newer").addEventListener("click", () => { this.offset = Math.max(0, this.offset - PAGE); reload(); });
    $("older").addEventListener("click", () => { this.offset += PAGE; reload(); });
  }

  get isFiltered() {
    return this.state !== "" || $("task-model").value !== "";
  }

  async load() {
    const model = $("task-model").value;
    const { tasks } = await get("tasks", { brief: 1, limit: PAGE + 1, offset: this.offset, state: this.state, model });
    const hasOlder = tasks.length > PAGE;
    this.rows = tasks.reverse().slice(0, PAGE);
    $("newer").disabled = this.offset === 0;
    $("older").disabled = !hasOlder;
    say($("page-range"), this.rows.length ? `${this.offset + 1}–${this.offset + this.rows.length}` : "–");
    list($("task-rows"), this.rows, (task) => task.task_id, (task) => this.make(task), (row, task) => this.update(row, task));
    this.tick(this.now);
  }

  /** Counts of states, and what depends on the time alone. */
  pulse(counts, now) {
    let total = 0;
    for (const state of STATES) total += counts[state];
    for (const chip of $("states").children) {
      const { state } = chip.dataset;
      say(chip.lastChild, String(state ? counts[state] : total));
      mark(chip, "aria-pressed", state === this.state);
    }
    this.total = total;
    this.tick(now);
  }

  tick(now) {
    this.now = now;
    show($("no-task"), this.total === 0 && this.rows.length === 0);
    show($("no-match"), this.total > 0 && this.rows.length === 0);
    const nodes = $("task-rows").children;
    this.rows.forEach((task, index) => { if (nodes[index]) this.age(nodes[index], task); });
  }

  make(task) {
    return el("tr", {},
      el("td", { class: "c-media" }),
      el("td", { class: "c-what" },
        el("button", { type: "button", class: "open", lang: languageOf(task.prompt), title: task.prompt, onclick: () => this.open(task.task_id) },
          task.prompt || "(no prompt)"),
        el("span", { class: "model" }, task.model)),
      el("td", { class: "c-state" }, el("span", { class: "pill" }), el("progress", { max: 1, value: 0, "aria-label": "done so far" })),
      el("td", { class: "c-key", title: `account ${task.account}` }, task.key_alias),
      el("td", { class: "c-num c-age" }), el("td", { class: "c-left" }), el("td", { class: "c-num c-charge" }));
  }

  update(row, task) {
    const [media, , state, , , , charge] = row.children;
    if (row.dataset.state !== task.state) {
      row.dataset.state = task.state;
      say(state.firstChild, `${GLYPHS[task.state]} ${task.state}`);
      state.firstChild.title = task.fault && task.state === "FAILED" ? task.fault.join(": ") : "";
    }
    say(charge, task.money ? money(task.money.amount, task.money.currency) : "–");
    mark(charge, "data-money", task.money?.state ?? "none");
    mark(charge, "title", task.money?.state ?? "its price is not known");
    this.picture(media, task);
  }

  picture(cell, task) {
    const link = task.results[0] ?? "";
    const isDead = link !== "" && deathOf(link) < this.now;
    const key = isDead ? `dead ${link}` : link;
    if (cell.dataset.link === key) return;
    cell.dataset.link = key;
    const many = task.results.length > 1 ? el("b", {}, `×${task.results.length}`) : null;
    if (link === "") cell.replaceChildren();
    else if (isDead) cell.replaceChildren(el("span", { class: "thumb dead", title: "its link has expired" }, "expired"));
    else if (isVideo(link)) cell.replaceChildren(el("span", { class: "thumb video", title: "a video: open the task to play it" }, "▶"));
    else {
      const image = el("img", { class: "thumb", src: lookAt(link), alt: "", loading: "lazy", decoding: "async", width: 38, height: 38 });
      cell.replaceChildren(...[image, many].filter(Boolean));
    }
  }

  age(row, task) {
    const [media, , state, , age, left] = row.children;
    say(age, short(this.now - task.created_at));
    const bar = state.lastChild;
    const isTimed = task.state === "RUNNING" && task.due_at !== null;
    mark(bar, "data-shown", isTimed);
    if (isTimed) {
      const share = (this.now - task.started_at) / Math.max(task.due_at - task.started_at, 0.001);
      bar.value = Math.min(Math.max(share, 0), 1);
    }
    say(left, leftOf(task, this.now));
    this.picture(media, task);
    mark(left, "data-dead", task.state === "SUCCEEDED" && task.results.length > 0 && deathOf(task.results[0]) < this.now);
  }
}

/** How long until a task moves; of one that has succeeded, until its links die. */
export function leftOf(task, now) {
  if (task.state === "SUCCEEDED" && task.results.length) {
    const left = deathOf(task.results[0]) - now;
    return left < 0 ? "link expired" : `link ${short(left)}`;
  }
  if (task.state === "PENDING") return task.due_at === null ? "waits" : short(task.due_at - now);
  if (task.state === "RUNNING") return task.due_at === null ? "by command" : short(task.due_at - now);
  return "–";
}
