// The bill in a line, and the verdict on the clients.

import { get } from "./api.js";
import { $, el, list, say } from "./dom.js";
import { money } from "./words.js";

export async function loadBill() {
  const bill = await get("bill");
  for (const node of document.querySelectorAll("[data-sum]")) {
    const value = bill[node.dataset.sum];
    if (typeof value === "object") {
      say(node, Object.entries(value).map(([currency, amount]) => money(amount, currency)).join(" + ") || "–");
    } else say(node, String(Math.round(value * 100) / 100));
  }
}

export class VerdictPanel {
  constructor(reload) {
    for (const id of ["done", "downloads"]) $(id).addEventListener("change", () => reload());
  }

  async load() {
    const query = { done: $("done").checked ? 1 : 0, downloads: $("downloads").checked ? 1 : 0 };
    const { ok, findings } = await get("verdict", query);
    const total = findings.reduce((sum, each) => sum + each.count, 0);
    say($("judged"), ok ? "✓ Nothing to blame any client for so far." : `✕ ${total} ${total === 1 ? "finding" : "findings"} against ${findings.length === 1 ? "one rule" : `${findings.length} rules`}`);
    $("judged").dataset.ok = ok;
    list($("findings"), findings, (each) => `${each.rule}/${each.key_alias}/${each.model}`, finding, fill);
  }
}

function finding() {
  return el("li", {}, el("h3", {}, el("code", {}), el("b", {})), el("p", { class: "who" }), el("ul", { class: "seen" }),
    el("dl", {}, ...["Why it costs", "Cure", "Fact"].map((name) => el("div", {}, el("dt", {}, name), el("dd", {})))));
}

function fill(node, each) {
  node.dataset.severity = each.severity;
  const [head, who, seen, words] = node.children;
  say(head.firstChild, each.rule);
  say(head.lastChild, `${each.severity} ×${each.count}`);
  say(who, `key ${each.key_alias || "none"}${each.model ? ` · ${each.model}` : ""}`);
  list(seen, each.seen.slice(0, 3), (text) => text, (text) => el("li", {}, text));
  [each.why, each.cure, each.fact].forEach((text, index) => say(words.children[index].lastChild, text));
}
