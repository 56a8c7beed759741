// What became of each instance: where it is, and where its time went. Rows are the store's word; spans are folded
// from the run's events, the same way for what a page begins with and for what it hears later.

const ENDED = new Set(["succeeded", "failed", "skipped", "cancelled"]);
const WAITS = { limit: "limit", budget: "money", cache: "steps", tools: "steps", turn: "steps", pause: "pause" };

// Kinds of spans, in the order of the legend.
export const SPANS = {
  work: "worked",
  limit: "waited for a provider's limit",
  backoff: "backed off after a failed attempt",
  person: "waited for a person",
  money: "waited for money of a budget",
  pause: "paused",
  slot: "waited for a free worker",
  steps: "waited for steps that it started",
};

// States by how much they ask for a look, so that a box of many instances shows the worst.
const GRAVITY = ["failed", "asking", "late", "running", "waiting", "parked", "ready", "cancelled", "pending", "succeeded", "skipped"];

export class Story {
  constructor(page) {
    this.run = page.run;
    this.steps = page.steps;
    this.children = page.children;
    this.rows = new Map();
    this.spans = new Map();
    this.events = [];
    this.seen = "";
    this.progress = new Map();
    this.take(page);
  }

  take(news) {
    this.run = news.run;
    this.questions = news.questions;
    for (const row of news.rows) {
      const known = this.rows.get(row.p);
      if (known?.s === "pending" && row.i !== row.p) this.rows.delete(row.p);
      this.rows.set(row.i, row);
    }
    for (const event of news.events) this.#happened(event);
    if (this.run.ended) this.#leaveUnreached();
  }

  get ended() {
    return this.run.ended;
  }

  get now() {
    return this.run.finished ?? Math.max(Date.now(), this.lastAt ?? 0);
  }

  // The box or row that an instance belongs to: its step, or for what a model asked for, the step that asked.
  stepOf(row) {
    let path = row.p;
    while (path && !this.steps[path]) path = path.slice(0, path.lastIndexOf("."));
    return path;
  }

  // Path of a step -> how many of its instances are in which state.
  counts() {
    const found = new Map();
    for (const row of this.rows.values()) {
      if (!this.steps[row.p]) continue;
      const of = found.get(row.p) ?? {};
      of[row.s] = (of[row.s] ?? 0) + 1;
      found.set(row.p, of);
    }
    return found;
  }

  spansOf(instance) {
    return this.spans.get(instance) ?? [];
  }

  // Milliseconds by kind of span.
  sums() {
    const sums = {};
    for (const [instance, spans] of this.spans)
      for (const span of this.steps[pathOf(instance)]?.holds ? [] : spans) sums[span.kind] = (sums[span.kind] ?? 0) + Math.max(0, (span.to ?? this.now) - span.from);
    return sums;
  }

  attemptsOf(instance) {
    return this.events.filter((event) => event[3] === instance);
  }

  // Of the instances that are held to something: how many are, and how many are what they should be.
  quality() {
    const held = [...this.rows.values()].filter((row) => row.q);
    return { held: held.length, met: held.filter((row) => row.q.met).length };
  }

  costs() {
    const models = new Map();
    for (const row of this.rows.values()) {
      if (!row.u) continue;
      const line = models.get(row.m ?? "") ?? { model: row.m ?? "no model", calls: 0, in: 0, out: 0, usd: 0, unpriced: 0, cached: 0 };
      line.calls += row.u.calls;
      line.in += row.u.in;
      line.out += row.u.out;
      line.usd += row.u.usd ?? 0;
      line.unpriced += row.u.usd === null ? 1 : 0;
      line.cached += row.cached ? 1 : 0;
      models.set(row.m ?? "", line);
    }
    return [...models.values()].sort((one, other) => other.usd - one.usd || other.in - one.in);
  }

  // What was not reached before the run ended will not be.
  #leaveUnreached() {
    const because = this.run.halt ? `not reached: ${this.run.halt} failed` : "not reached before the run ended";
    for (const row of this.rows.values()) if (row.s === "pending") this.rows.set(row.i, { ...row, s: "cancelled", r: because });
  }

  #happened(event) {
    const [id, kind, at, instance, , data = {}] = event;
    if (!isBehind(id, this.seen)) return;
    this.seen = id;
    this.lastAt = at;
    this.events.push(event);
    if (!instance) return;
    switch (kind) {
      case "step_started":
        this.#begin(instance, at, "work", { worker: data.worker });
        break;
      case "step_progress":
        this.progress.set(instance, data);
        break;
      case "step_parked":
        this.#begin(instance, at, WAITS[data.reason] ?? (data.run ? "steps" : data.delay_ms ? "backoff" : "steps"), {
          due: data.delay_ms ? at + data.delay_ms : null,
          why: data.words || data.error?.message || data.reason,
        });
        break;
      case "question_asked":
        this.#begin(instance, at, "person", { why: data.title || data.prompt });
        break;
      case "question_answered":
        this.#begin(instance, at, "slot");
        break;
      default:
        if (ENDED.has(kind.replace("step_", ""))) this.#end(instance, at, kind === "step_failed");
    }
  }

  #begin(instance, at, kind, more = {}) {
    // A loop is called back for every item; its time is that of the steps that it holds.
    if (this.steps[pathOf(instance)]?.holds) {
      if (this.spans.get(instance)?.at(-1)?.to === null) return;
      kind = "steps";
    }
    const spans = this.#end(instance, at);
    if (!spans.length) {
      const from = this.#readySince(instance);
      if (from && kind === "work" && at - from > 2) spans.push({ from, to: at, kind: "slot" });
    }
    spans.push({ from: at, to: null, kind, ...more });
  }

  #end(instance, at, bad = false) {
    const spans = this.spans.get(instance) ?? [];
    this.spans.set(instance, spans);
    const last = spans.at(-1);
    if (last && last.to === null) {
      last.to = at;
      last.bad = bad;
      // It was due earlier, and from then on only a free worker was missing.
      if (last.kind === "backoff" && last.due && last.due < at - 2) {
        last.to = Math.max(last.from, last.due);
        spans.push({ from: last.to, to: at, kind: "slot" });
      }
    }
    return spans;
  }

  // When all that it waits for had ended; nobody says so, but the steps before it do.
  #readySince(instance) {
    const step = this.steps[pathOf(instance)];
    if (!step) return null;
    const scope = instance.slice(0, instance.lastIndexOf(".") + 1);
    if (!step.after.length) return scope ? null : this.run.started;
    const ends = step.after.map((name) => this.spans.get(scope + name)?.at(-1)?.to ?? 0);
    return Math.max(...ends) || null;
  }
}

export function gravest(counts) {
  // Of some that are done and some that are about to be, something is going on.
  if (counts?.succeeded && (counts.ready || counts.waiting) && !counts.failed && !counts.asking) return "running";
  return GRAVITY.find((word) => counts?.[word]) ?? "pending";
}

export function isEnded(word) {
  return ENDED.has(word);
}

function pathOf(instance) {
  return instance.replace(/\[\d+\]|#\d+/g, "");
}

function isBehind(id, other) {
  if (!other) return true;
  const [ms, number] = id.split("-").map(Number);
  const [otherMs, otherNumber] = other.split("-").map(Number);
  return ms > otherMs || (ms === otherMs && number > otherNumber);
}
