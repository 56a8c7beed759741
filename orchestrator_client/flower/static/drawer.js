// All that is known of one instance, beside the page: why it is as it is, its attempts, what it was given and has left.

import { address, ask, count, h, money, moment, plural, seconds, state } from "./dom.js";
import { SPANS } from "./story.js";

const WORDS = {
  step_started: "started",
  step_parked: "waits",
  question_asked: "asked",
  question_answered: "answered",
  step_succeeded: "succeeded",
  step_failed: "failed",
  step_skipped: "skipped",
  step_cancelled: "cancelled",
};

export class Drawer {
  // `again(instance)`: a button that does it again, or nothing.
  constructor(story, again) {
    this.story = story;
    this.again = again;
    this.instance = null;
    this.told = h("div");
    this.given = h("div");
    this.title = h("h2", { tabindex: -1, id: "drawer-title" });
    const close = h("button.btn-close", { type: "button", "aria-label": "Close", onclick: () => this.close() });
    this.element = h("aside.orc-drawer", { "aria-labelledby": "drawer-title", hidden: true }, h("header", {}, this.title, close), this.told, this.given);
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  open(instance) {
    this.back = document.activeElement;
    this.instance = instance;
    this.title.textContent = instance;
    this.element.hidden = false;
    this.element.scrollTop = 0;
    history.replaceState(null, "", `#step=${encodeURIComponent(instance)}`);
    this.said = "";
    this.show();
    this.title.focus();
    this.#fetch(instance);
  }

  close() {
    this.element.hidden = true;
    this.instance = null;
    history.replaceState(null, "", location.pathname + location.search);
    this.back?.focus?.();
  }

  // What the page knows by itself; again when it changes.
  show() {
    if (this.instance === null) return;
    const row = this.story.rows.get(this.instance);
    if (!row) {
      this.told.replaceChildren(h("p.orc-quiet", {}, "This run has no such step, or has not reached it."));
      return;
    }
    const events = this.story.attemptsOf(this.instance);
    const said = JSON.stringify([row, events.length, this.story.ended]);
    if (said === this.said) return;
    if (this.said && row.s !== this.word) this.#fetch(this.instance);
    this.said = said;
    this.word = row.s;
    this.told.replaceChildren(...this.#known(row, events));
  }

  #known(row, events) {
    const why = row.e ? [h("pre.is-bad", {}, `${row.e.type}: ${row.e.message}`)] : row.r ? [h("p", {}, row.r)] : [];
    const step = this.story.steps[this.story.stepOf(row)];
    const usage = row.u && `${plural(row.u.calls, "call")}, ${count(row.u.in)} tokens in, ${count(row.u.out)} out, ${row.u.usd === null ? "price unknown" : money(row.u.usd)}`;
    const facts = [
      ["Does", step && row.p in this.story.steps ? `${step.kind} · ${step.uses}` : ""],
      ["Model", row.m],
      ["Used", usage],
      ["Kept from", row.kept ? h("a", { href: `${address("run", row.kept)}#step=${encodeURIComponent(row.i)}` }, row.kept) : ""],
      ["From the cache", row.cached ? "yes, for nothing" : ""],
      ["Worker", row.w],
      ["Took", row.from && row.to ? seconds((row.to - row.from) / 1000) : ""],
      ["Notes", (row.notes ?? []).join("; ")],
    ];
    const children = Object.entries(this.story.children).filter(([, instance]) => instance === row.i);
    return [
      h("p", {}, state(row.s), row.a > 1 ? ` on attempt ${row.a}` : ""),
      ...why,
      h("dl.orc-facts", {}, facts.filter(([, what]) => what).map(([name, what]) => h("div", {}, h("dt", {}, name), h("dd", {}, what)))),
      h("div.orc-bar.mt-2", {}, this.again(row.i)),
      ...children.map(([run]) => h("p", {}, "Runs ", h("a", { href: address("run", run) }, run))),
      ...quality(row.q),
      h("h3", {}, "What happened"),
      events.length ? h("ol", {}, events.filter((event) => event[1] !== "step_progress").map((event) => h("li", {}, ...happened(event)))) : h("p.orc-quiet", {}, "Nothing yet."),
      ...this.#waits(row.i),
    ];
  }

  #waits(instance) {
    const sums = {};
    for (const span of this.story.spansOf(instance)) sums[span.kind] = (sums[span.kind] ?? 0) + (span.to ?? this.story.now) - span.from;
    const said = Object.keys(SPANS).filter((kind) => sums[kind]).map((kind) => `${SPANS[kind]} ${seconds(sums[kind] / 1000)}`);
    return said.length > 1 ? [h("h3", {}, "Where its time went"), h("p", {}, said.join(", "))] : [];
  }

  async #fetch(instance) {
    this.given.replaceChildren(h("p.orc-quiet", {}, "…"));
    const query = `?instance=${encodeURIComponent(instance)}`;
    const found = await ask(`${address("run", this.story.run.id, "step")}${query}`);
    if (this.instance !== instance) return;
    const whole = `${address("run", this.story.run.id, "value")}${query}`;
    this.given.replaceChildren(
      ...text("Value", found.value, whole),
      ...text("Parameters, as the plan has them", found.parameters),
      ...(found.condition !== null && found.condition !== undefined ? [h("h3", {}, "Condition"), h("pre", {}, String(found.condition))] : []),
      ...(found.reads.length ? [h("h3", {}, "Reads"), h("p", {}, found.reads.join(", "))] : []),
      found.task ? h("p", {}, h("a", { href: found.task, id: "task-link" }, "Its task in Flower")) : h("p.orc-quiet", {}, "Flower has no task of it in its memory."),
    );
  }
}

export function text(heading, found, whole) {
  if (!found) return [];
  const more = found.cut && whole ? [h("p", {}, `${count(found.characters)} characters, of which the first are shown. `, h("a", { href: whole, download: "value.json" }, "Download all"))] : [];
  return [h("h3", {}, heading), h("pre", { tabindex: 0, role: "region", "aria-label": heading }, found.text + (found.cut ? "…" : "")), ...more];
}

// What each rule found, the unmet first.
function quality(found) {
  if (!found) return [];
  const line = ({ rule, severity, met, score, message }) => {
    const judged = score > 0 && score < 1 ? `, ${score.toFixed(2)}` : "";
    return h(met ? "li" : "li.is-unmet", {}, h("strong", {}, rule), ` (${severity}${judged})`, message ? `: ${message}` : "");
  };
  const findings = found.findings.toSorted((one, other) => one.met - other.met);
  const word = found.met ? "as it should be" : "not as it should be";
  return [h("h3", {}, `Quality ${found.score.toFixed(2)}, ${word}`), h("ul.orc-findings", {}, findings.map(line))];
}

function happened([, kind, at, , attempt, data = {}]) {
  const more = data.error?.message ?? data.words ?? data.reason ?? data.worker ?? (data.by ? `by ${data.by}` : "");
  return [moment(at), ` ${WORDS[kind] ?? kind}`, attempt > 1 ? ` (attempt ${attempt})` : "", more ? `: ${more}` : ""];
}
