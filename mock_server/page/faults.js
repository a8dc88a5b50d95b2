// Trouble: what there can be, what is active, and ready-made scenarios.

import { get, post, put, remove } from "./api.js";
import { $, el, list, say, show, tell } from "./dom.js";
import { FAULTS } from "./words.js";

export class FaultPanel {
  constructor(changed) {
    this.changed = changed;
    this.surfaces = null;
    this.rows = new Map();
    $("fault-on").addEventListener("change", () => this.offer());
    $("fault-do").addEventListener("change", () => this.explain());
    $("inject").addEventListener("submit", (event) => { event.preventDefault(); this.attempt(() => this.add()); });
    $("clear-faults").addEventListener("click", () => this.attempt(() => this.clear()));
    $("scenario").addEventListener("change", () => this.explainScenario());
    $("scenarios").addEventListener("submit", (event) => { event.preventDefault(); this.attempt(() => this.use()); });
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      tell(error.message, true);
    }
    this.changed();
  }

  /** What can be done; asked for once. */
  async prepare() {
    const { surfaces, rows } = await get("faults");
    const { scenarios } = await get("scenarios");
    this.surfaces = new Map(surfaces.map((each) => [each.on, each]));
    this.rows = new Map(rows.map((row) => [row.id, row]));
    this.abouts = new Map(scenarios.map((each) => [each.name, each.about]));
    $("fault-on").replaceChildren(...surfaces.map(({ on, faults, rows: own }) =>
      el("option", { value: on, title: `${faults.length} faults, ${own.length} rows of the catalogue` }, on)));
    $("scenario").replaceChildren(...scenarios.map(({ name }) => el("option", {}, name)));
    this.offer();
    this.explainScenario();
    return surfaces.find((each) => each.on === "task").rows.map((id) => this.rows.get(id));
  }

  offer() {
    const { faults, rows } = this.surfaces.get($("fault-on").value);
    const named = rows.filter((id) => !faults.includes(id));
    $("fault-do").replaceChildren(
      el("optgroup", { label: `Faults (${faults.length})` }, ...faults.map((name) => el("option", { value: name }, name))),
      el("optgroup", { label: `Rows of the error catalogue (${named.length})` }, ...named.map((id) => {
        const { http, code } = this.rows.get(id);
        return el("option", { value: id }, `${http ?? "no answer"} ${code} (${id})`);
      })));
    this.explain();
  }

  explain() {
    const name = $("fault-do").value;
    say($("fault-about"), FAULTS[name] ?? this.rows.get(name)?.message ?? "");
  }

  explainScenario() {
    say($("scenario-about"), this.abouts.get($("scenario").value) ?? "");
  }

  async add() {
    const [on, fault] = [$("fault-on").value, $("fault-do").value];
    const [model, delay] = [$("fault-model").value.trim(), Number($("fault-delay").value)];
    const when = { on, first: Number($("fault-times").value), ...(model ? { model } : {}) };
    await post("faults", { when, then: { do: fault, ...(delay ? { delay_s: delay } : {}) } });
    tell(`Added: ${on} → ${fault}`);
  }

  async clear() {
    await remove("faults");
    await put("scenario", { rules: [], faults: [] });
    tell("Every call gets its true answer");
  }

  async use() {
    const name = $("scenario").value;
    await put(`scenario?name=${encodeURIComponent(name)}`);
    tell(`The scenario is ${name} from now on`);
  }

  async load() {
    const { active, asked } = await get("faults");
    const rules = active.map((each, index) => ({ ...each, index })).reverse();
    const wishes = asked.map((each, index) => ({ ...each, index: `asked ${index}` }));
    list($("rules"), [...rules, ...wishes], (each) => each.index + JSON.stringify(each.rule ?? each.do), rule, fill);
    const live = rules.filter((each) => !each.spent).length + wishes.length;
    show($("no-rule"), rules.length + wishes.length === 0);
    show($("fault-count"), live > 0);
    say($("fault-count"), String(live));
  }
}

function rule() {
  return el("li", {}, el("code", {}), el("span", { class: "hits" }), el("small", {}));
}

function fill(node, each) {
  const [what, hits, whose] = node.children;
  if (each.rule === undefined) {
    say(what, `${each.on} → ${each.do}`);
    say(hits, `${each.left} left`);
    say(whose, `asked by key ${each.key_alias} with X-Mock-Fault`);
    return;
  }
  const { when, then } = each.rule;
  const { on, first: times, ...limits } = when;
  const { do: name, ...more } = then;
  say(what, `${on} → ${name}`);
  say(hits, `${each.struck} struck of ${each.fitted}${each.spent ? ", spent" : ""}`);
  node.dataset.spent = each.spent;
  const words = Object.entries({ ...(times === undefined ? {} : { times }), ...limits, ...more }).map(([key, value]) => `${key} ${Array.isArray(value) ? value.join(", ") : value}`);
  say(whose, [each.by_hand ? "added by hand" : "of the scenario", ...words].join(" · "));
}
