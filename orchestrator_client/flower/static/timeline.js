// Where the time went: a line for each instance, under the worker that did it, in kinds of spans.

import { h, plural, seconds, write } from "./dom.js";
import { inSight } from "./long.js";
import { SPANS } from "./story.js";

const LANE = 24;
const AXIS = 26;
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];

export class Timeline {
  constructor(choose) {
    this.choose = choose;
    this.sums = h("div.orc-sums");
    this.axis = h("div.axis");
    this.field = h("div");
    this.lanes = h("div.orc-lanes", { tabindex: 0, role: "region", "aria-label": "Timeline by worker" }, this.axis, this.field);
    this.lanes.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.element = h("div", {}, this.sums, this.lanes);
    this.lines = [];
  }

  show(story) {
    this.story = story;
    this.from = story.run.started ?? story.run.submitted;
    this.to = Math.max(story.now, this.from + 100);
    this.lines = lines(story);
    this.#showSums(story.sums());
    this.#draw();
  }

  #showSums(sums) {
    const total = Object.values(sums).reduce((one, other) => one + other, 0) || 1;
    const kinds = Object.keys(SPANS).filter((kind) => sums[kind] > 0);
    const parts = kinds.map((kind) => {
      const part = h("i", { "data-span": kind });
      part.style.width = `${(100 * sums[kind]) / total}%`;
      return part;
    });
    const legend = kinds.map((kind) =>
      h("li", {}, h("i", { "data-span": kind, "aria-hidden": "true" }), `${SPANS[kind]} `, h("strong", {}, seconds(sums[kind] / 1000))),
    );
    this.sums.replaceChildren(h("div.whole", { "aria-hidden": "true" }, parts), h("ul.orc-legend", {}, legend));
  }

  #draw() {
    if (!this.story || !this.lanes.isConnected) return;
    const names = this.lanes.clientWidth < 600 ? 112 : 232;
    const width = Math.max(this.lanes.clientWidth - names - 12, 60);
    const scale = (at) => ((at - this.from) / (this.to - this.from)) * width;
    this.lanes.style.setProperty("--names", `${names}px`);
    this.#drawAxis(names, width, scale);
    this.field.style.height = `${this.lines.length * LANE + 8}px`;
    const [first, last] = inSight(this.lanes, this.lines.length, LANE, AXIS);
    this.field.replaceChildren(
      ...this.lines.slice(first, last).map((line, place) => this.#lane(line, AXIS + (first + place) * LANE, scale)),
    );
  }

  #drawAxis(names, width, scale) {
    const total = (this.to - this.from) / 1000;
    const step = STEPS.find((each) => (each / total) * width > 80) ?? STEPS.at(-1);
    const ticks = [];
    for (let at = 0; at < total; at += step) {
      const tick = h("span", {}, `${+at.toFixed(2)} s`);
      if (step >= 60) write(tick, `${Math.round(at / 60)} min`);
      tick.style.left = `${names + scale(this.from + at * 1000)}px`;
      ticks.push(tick);
    }
    this.axis.replaceChildren(...ticks);
  }

  #lane(line, top, scale) {
    const lane = line.worker
      ? h("div.lane.is-worker", {}, h("span.name", { title: line.worker }, line.worker), h("span.name.orc-quiet", {}, `${plural(line.count, "instance")}, worked ${seconds(line.worked / 1000)}`))
      : h(
          "div.lane",
          {},
          h("span.name", {}, h("button.orc-open", { type: "button", tabindex: -1, title: line.instance, onclick: () => this.choose(line.instance) }, line.instance)),
          h("span.track", {}, line.spans.map((span) => this.#bar(span, scale))),
        );
    lane.style.top = `${top}px`;
    return lane;
  }

  #bar(span, scale) {
    const to = span.to ?? this.to;
    const bar = h("i", {
      "data-span": span.kind,
      "data-bad": span.bad && span.kind === "work",
      title: `${SPANS[span.kind]} ${seconds((to - span.from) / 1000)}${span.why ? `: ${String(span.why).slice(0, 200)}` : ""}`,
    });
    const left = scale(Math.max(span.from, this.from));
    bar.style.left = `${left}px`;
    bar.style.width = `${Math.max(scale(to) - left, 2)}px`;
    return bar;
  }
}

// Workers by their names, and under each its instances by when they began.
function lines(story) {
  const workers = new Map();
  for (const [instance, spans] of story.spans) {
    if (!spans.length) continue;
    const worker = spans.findLast((span) => span.worker)?.worker ?? "no worker yet";
    if (!workers.has(worker)) workers.set(worker, []);
    workers.get(worker).push({ instance, spans, from: spans[0].from });
  }
  const found = [];
  for (const [worker, of] of [...workers].sort(([one], [other]) => (one < other ? -1 : 1))) {
    of.sort((one, other) => one.from - other.from);
    const work = of.flatMap((line) => line.spans).filter((span) => span.kind === "work");
    const worked = work.reduce((sum, span) => sum + (span.to ?? story.now) - span.from, 0);
    found.push({ worker, count: of.length, worked }, ...of);
  }
  return found;
}
