// The table of instances: by state, by name, and each opens what is known of it.

import { count, h, money, moment, seconds, state, write } from "./dom.js";
import { LongTable } from "./long.js";

const ORDER = ["failed", "asking", "running", "late", "waiting", "parked", "ready", "pending", "succeeded", "skipped", "cancelled"];

export class Steps {
  // `held`: whether any step is held to something, so that there is a score to show.
  constructor(open, held) {
    this.open = open;
    this.held = held;
    this.word = "";
    this.paths = null;
    this.chips = h("div.orc-chips", { role: "group", "aria-label": "By state" });
    this.only = h("button.orc-chip", { type: "button", "aria-pressed": "true", hidden: true, onclick: () => this.choose(null) });
    this.search = h("input.orc-field", { type: "search", placeholder: "Search steps", "aria-label": "Search steps", oninput: () => this.draw() });
    this.table = new LongTable("Steps", [
      h("th", { scope: "col" }, "Step"),
      h("th", { scope: "col" }, "State"),
      h("th.orc-number.is-wide", { scope: "col" }, "Attempts"),
      h("th.is-wide", { scope: "col" }, "Worker"),
      h("th.is-wide", { scope: "col" }, "Started"),
      h("th.orc-number", { scope: "col" }, "Took"),
      h("th.orc-number.is-wide", { scope: "col" }, "Cost"),
      ...(held ? [h("th.orc-number.is-wide", { scope: "col" }, "Quality")] : []),
      h("th.is-wide", { scope: "col" }, "Why"),
    ], (row) => this.#row(row));
    this.element = h("div", {}, h("div.orc-bar.orc-note", {}, this.chips, this.only, h("span.grow"), this.search), this.table.element);
  }

  // Only the instances of these steps; all for none.
  choose(paths) {
    this.paths = paths;
    this.only.hidden = !paths;
    if (paths) write(this.only, paths.length > 1 ? `${count(paths.length)} steps ×` : `${paths[0]} ×`);
    this.draw();
  }

  show(story) {
    this.story = story;
    this.draw();
  }

  draw() {
    const text = this.search.value.trim().toLowerCase();
    const wanted = this.paths && new Set(this.paths);
    const within = (row) => !wanted || wanted.has(row.p) || this.paths.some((path) => row.p.startsWith(`${path}.`));
    const found = [...this.story.rows.values()].filter((row) => within(row) && (!text || row.i.toLowerCase().includes(text)));
    const counts = {};
    for (const row of found) counts[row.s] = (counts[row.s] ?? 0) + 1;
    this.#showChips(counts, found.length);
    this.table.show(this.word ? found.filter((row) => row.s === this.word) : found);
  }

  #showChips(counts, all) {
    if (this.word && !counts[this.word]) counts[this.word] = 0;
    const words = ["", ...ORDER.filter((word) => word in counts)];
    const said = JSON.stringify([words.map((word) => counts[word] ?? all), this.word]);
    if (this.said === said) return;
    this.said = said;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.word : null;
    this.chips.replaceChildren(...words.map((word) => this.#chip(word, word ? counts[word] : all)));
    if (focused !== null) this.chips.querySelector(`[data-word="${focused}"]`)?.focus();
  }

  #chip(word, number) {
    const pick = () => {
      this.word = word;
      this.draw();
    };
    return h("button.orc-chip", { type: "button", "data-word": word, "data-state": word || null, "aria-pressed": String(this.word === word), onclick: pick }, `${word || "all"} ${count(number)}`);
  }

  #row(row) {
    const spans = this.story.spansOf(row.i);
    const begun = row.from ?? spans.find((span) => span.kind === "work")?.from;
    const worker = row.w || spans.findLast((span) => span.worker)?.worker || "";
    const took = begun ? ((row.to ?? this.story.now) - begun) / 1000 : null;
    const why = row.e?.message || row.r || this.#waiting(row, spans);
    const cells = [
      h("td", {}, h("button.orc-open", { type: "button", title: row.i, onclick: () => this.open(row.i) }, row.i)),
      h("td", {}, state(row.s)),
      h("td.orc-number.is-wide", {}, row.a > 1 ? count(row.a) : ""),
      h("td.is-wide", { title: worker }, worker),
      h("td.is-wide", {}, begun ? moment(begun) : ""),
      h("td.orc-number", {}, seconds(took)),
      h("td.orc-number.is-wide", {}, row.u ? (row.u.usd === null ? "?" : money(row.u.usd)) : ""),
      ...(this.held ? [h(`td.orc-number.is-wide${row.q && !row.q.met ? ".orc-unmet" : ""}`, {}, row.q ? row.q.score.toFixed(2) : "")] : []),
      h(row.e ? "td.why.is-wide" : "td.why.is-quiet.is-wide", { title: why }, why),
    ];
    return { key: row.i, cells };
  }

  #waiting(row, spans) {
    const told = this.story.progress.get(row.i);
    if (row.s === "running" && told) return [told.fraction !== undefined ? `${Math.round(told.fraction * 100)} %` : "", told.message ?? ""].filter(Boolean).join(" · ");
    const last = spans.at(-1);
    return last && last.to === null && last.kind !== "work" ? String(last.why ?? "") : "";
  }
}
