// One task in a sheet of its own: media, times, request, answer, calls; and hands on its state.

import { get, post } from "./api.js";
import { $, el, list, say, tell } from "./dom.js";
import { callRow, fillCall } from "./journal.js";
import { leftOf } from "./tasks.js";
import { GLYPHS, dateTime, deathOf, duration, isVideo, languageOf, lookAt, money, pretty } from "./words.js";

export class TaskSheet {
  /** `changed()` is called when a hand has moved a task. */
  constructor(changed) {
    this.id = null;
    this.isOpening = false;
    this.changed = changed;
    this.sheet = $("task");
    $("task-close").addEventListener("click", () => this.sheet.close());
    this.sheet.addEventListener("click", (event) => { if (event.target === this.sheet) this.sheet.close(); });
    this.sheet.addEventListener("close", () => {
      if (this.isOpening) return; // it was for the task before: the event may come after the next click
      this.id = null;
      $("task-media").replaceChildren(); // a film does not play on behind a closed door
      $("task-media").dataset.key = "";
    });
    for (const button of document.querySelectorAll("[data-force]")) {
      button.addEventListener("click", () => this.force({ state: button.dataset.force }));
    }
    $("force").addEventListener("submit", (event) => {
      event.preventDefault();
      const code = $("fail-code").value.trim();
      this.force({ state: "FAILED", row: $("fail-row").value, ...(code ? { code } : {}) });
    });
    for (const name of ["d-request", "d-told", "d-calls"]) $(name).addEventListener("toggle", () => this.load());
  }

  /** The rows of the catalogue that a task may fail with. */
  offer(rows) {
    $("fail-row").replaceChildren(...rows.map((row) => el("option", { value: row.id, title: row.message }, `${row.code} (${row.id})`)));
    $("fail-row").value = "task_internal";
  }

  async open(id, now) {
    this.isOpening = true;
    this.id = id;
    this.now = now;
    this.task = null;
    try {
      await this.load();
    } finally {
      this.isOpening = false;
    }
    if (this.task === null) this.id = null;
    else if (!this.sheet.open) this.sheet.showModal();
  }

  get isOpen() {
    return this.id !== null;
  }

  async load() {
    if (this.id === null) return;
    let task;
    try {
      task = await get(`tasks/${encodeURIComponent(this.id)}`);
    } catch (error) {
      if (this.task) say($("task-title"), "This task is gone");
      else tell(error.message, true);
      return;
    }
    if (task.task_id !== this.id) return; // another one was opened meanwhile
    this.task = task;
    say($("task-title"), `Task ${task.number}`);
    say($("task-prompt"), task.prompt || "(no prompt)");
    $("task-prompt").lang = languageOf(task.prompt) ?? "";
    if ($("d-request").open) say($("task-request"), pretty(task.request));
    if ($("d-told").open) say($("task-told"), pretty(task.told));
    this.tick(this.now);
    if ($("d-calls").open) {
      const { requests } = await get("requests", { task_id: this.id, limit: 100 });
      list($("task-calls"), requests.reverse(), (call) => call.n, callRow, fillCall);
    }
  }

  tick(now) {
    this.now = now;
    const { task } = this;
    if (!task || !this.isOpen) return;
    this.media(task);
    const when = (at) => (at === null ? "–" : `${dateTime(at)} (${duration(now - at)} ago)`);
    const facts = {
      State: `${GLYPHS[task.state]} ${task.state}`, Left: leftOf(task, now), Model: task.model, Id: task.task_id,
      Key: `${task.key_alias} (account ${task.account})`, Created: when(task.created_at), Started: when(task.started_at),
      Ended: when(task.ended_at), Money: task.money ? `${money(task.money.amount, task.money.currency)} ${task.money.state}` : "price not known",
      Fingerprint: task.fingerprint, ...(task.fault && task.state === "FAILED" ? { Fault: task.fault.join(": ") } : {}),
    };
    list($("task-facts"), Object.entries(facts), ([name]) => name,
      ([name]) => el("div", {}, el("dt", {}, name), el("dd")), (node, [, value]) => say(node.lastChild, value));
    $("task-facts").dataset.state = task.state;
  }

  media(task) {
    const place = $("task-media");
    const alive = task.results.filter((link) => deathOf(link) >= this.now);
    const key = `${task.task_id} ${task.state} ${alive.join(" ")}`;
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    place.replaceChildren(...task.results.map((link, index) => {
      const name = new URL(link).pathname.split("/").at(-1);
      const address = el("a", { href: link, target: "_blank", rel: "noopener", title: "as a client fetches it: it counts as a download" }, `signed link to ${name}`);
      if (!alive.includes(link)) return el("figure", { class: "dead" }, el("p", {}, "The link has expired: a client is told 403."), el("figcaption", {}, address));
      const seen = isVideo(link)
        ? el("video", { src: lookAt(link), controls: true, preload: "metadata", playsinline: true, "aria-label": `result ${index + 1}` })
        : el("img", { src: lookAt(link), alt: `result ${index + 1}` });
      return el("figure", {}, seen, el("figcaption", {}, address));
    }));
  }

  async force(wish) {
    try {
      await post(`tasks/${encodeURIComponent(this.id)}`, wish);
    } catch (error) {
      tell(error.message, true);
    }
    this.changed();
  }
}
