// The page of one run.

import { address, ask, count, h, money, moment, payload, plural, say, seconds, send, set, state, time, write } from "./dom.js";
import { Drawer, text } from "./drawer.js";
import { Graph } from "./graph.js";
import { live } from "./live.js";
import { LongTable } from "./long.js";
import { Questions } from "./questions.js";
import { Steps } from "./steps.js";
import { Story, isEnded } from "./story.js";
import { Timeline } from "./timeline.js";

const page = payload();
const story = new Story(page);
const drawer = new Drawer(story, (instance) => (page.may && story.ended ? runAgain(instance) : null));
const open = (instance) => drawer.open(instance);
const steps = new Steps(open, Object.values(page.steps).some((step) => step.held));
const timeline = new Timeline(open);
const graph = new Graph(page.drawing, page.steps, chooseSteps);
const questions = new Questions(page.run.id, page.may);
const events = eventTable();
const head = pageHead();
const alarm = h("section.orc-alarm", { "aria-label": "Why it failed", hidden: true });
const costs = h("div");
const values = h("div.orc-values");
const tabs = tabsOf([
  ["Steps", steps.element, () => steps.show(story)],
  ["Timeline", timeline.element, () => timeline.show(story)],
  ["Events", events.element, showEvents],
  ["Cost", costs, showCosts],
  ["Inputs and outputs", values, showValues],
]);

document.getElementById("page").append(
  head.element,
  alarm,
  questions.element,
  h("section.orc-card", { "aria-label": "Graph" }, graph.element),
  tabs.element,
  drawer.element,
);
show();
openLinked();
addEventListener("hashchange", openLinked);
addEventListener("resize", () => tabs.show());
setInterval(tick, 1000);

let asked = false;
live(address("run", page.run.id, "stream"), (news) => {
  story.take(news);
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    show();
  });
}, page.after);

function show() {
  head.show();
  showAlarm();
  questions.show(story.questions);
  graph.show(story.counts());
  tabs.show();
  drawer.show();
}

function tick() {
  if (story.ended || document.hidden) return;
  head.tick();
  tabs.show();
}

function openLinked() {
  const linked = new URLSearchParams(location.hash.slice(1)).get("step");
  if (linked && linked !== drawer.instance) open(linked);
}

function chooseSteps(paths) {
  const of = [...story.rows.values()].filter((row) => paths.includes(row.p));
  if (of.length === 1) return open(of[0].i);
  tabs.choose("Steps");
  steps.choose(paths);
}

function pageHead() {
  const word = h("span");
  const facts = h("dl.orc-facts");
  const buttons = h("div.orc-bar", { role: "group", "aria-label": "Run" });
  const id = h("div.orc-mono.orc-quiet", {}, page.run.id);
  const took = h("dd");
  const name = page.name === page.run.pipeline ? page.run.pipeline : `${page.name}`;
  const element = h("header.orc-head", {}, h("div", {}, h("div.orc-bar", {}, h("h1", {}, name), word), id, facts), page.may ? buttons : null);
  let said = "";

  function tick() {
    const { started, finished } = story.run;
    write(took, started ? seconds(((finished ?? Date.now()) - started) / 1000) : "not yet started");
  }

  function show() {
    tick();
    const run = story.run;
    const done = [...story.rows.values()].filter((row) => isEnded(row.s)).length;
    const cost = story.costs().reduce((sum, line) => sum + line.usd, 0);
    const now = JSON.stringify([run, done, story.rows.size, cost]);
    if (now === said) return;
    said = now;
    word.replaceChildren(state(run.state));
    document.title = `${run.state} · ${run.pipeline} · Flower`;
    const told = [
      ["Started", moment(run.started ?? run.submitted)],
      ["Took", took],
      ["Done", run.progress === null || run.ended ? "" : `${Math.floor(run.progress * 100)} %`],
      ["Ends about", run.ended || run.ends < Date.now() ? "" : moment(run.ends)],
      ["Paused", run.paused ? h("span", {}, "since ", moment(run.paused.since), run.paused.by ? ` by ${run.paused.by}` : "") : ""],
      ["Steps", `${count(done)} of ${count(story.rows.size)}`],
      ["Cost", cost || story.costs().length ? `${money(cost)}${run.budget_usd ? ` of $${run.budget_usd}` : ""}` : ""],
      ["Quality", qualityOf(story.quality())],
      ["Tags", run.tags.length ? h("span", {}, run.tags.map((tag) => h("a.orc-tag", { href: `${address("runs")}?tag=${encodeURIComponent(tag)}` }, tag))) : ""],
      ["Tenant", run.tenant],
      ["Tries again", run.forked_from ? h("a", { href: address("run", run.forked_from) }, run.forked_from) : ""],
      ["Tried again as", run.forks.length ? h("span", {}, run.forks.map((fork) => [h("a", { href: address("run", fork) }, fork), " "])) : ""],
      ["Part of", run.parent ? h("a", { href: `${address("run", run.parent)}#step=${encodeURIComponent(run.parent_instance)}` }, run.parent) : ""],
    ];
    facts.replaceChildren(...told.filter(([, what]) => what).map(([label, what]) => h("div", {}, h("dt", {}, label), what === took ? took : h("dd", {}, what))));
    buttons.replaceChildren(...actionsFor(run));
  }
  return { element, show, tick };
}

function actionsFor(run) {
  if (run.ended) return run.state === "succeeded" ? [] : [retryButton()];
  if (run.state === "cancelling") return [];
  return [
    run.paused ? action("Resume", "resume", "is-main") : action("Pause", "pause", "is-plain"),
    action("Cancel", "cancel", "is-danger", "Cancel this run? What is running is stopped."),
  ];
}

function qualityOf({ held, met }) {
  if (!held) return "";
  return h(met < held ? "span.orc-unmet" : "span", {}, `${count(met)} of ${plural(held, "step")} as they should be`);
}

// As a new run, which keeps what has succeeded.
function retryButton() {
  return action("Retry", "retry", "is-main", "", follow);
}

function runAgain(instance) {
  return action("Run again from here", "retry", "is-plain", `Begin a new run that does ${instance} and what is behind it again?`, follow, { steps: [instance] });
}

function follow({ run }) {
  location.href = address("run", run);
}

function action(label, verb, kind, question, then = ({ said }) => say(said), body = {}) {
  const button = h(`button.orc-button.${kind}`, { type: "button", "data-verb": verb, onclick: press }, label);
  async function press() {
    if (question && !confirm(question)) return;
    button.disabled = true;
    try {
      then(await send(address("run", page.run.id, verb), body));
    } catch {
      button.disabled = false;
    }
  }
  return button;
}

// The failed step and its reason, before anything else.
function showAlarm() {
  const { halt, error, state: word } = story.run;
  const failed = story.rows.get(halt) ?? [...story.rows.values()].find((row) => row.s === "failed");
  const reason = failed?.e ?? error;
  alarm.hidden = !(halt || failed || (error && word === "failed"));
  const said = JSON.stringify([failed, error, word]);
  if (alarm.hidden || alarm.dataset.said === said) return;
  alarm.dataset.said = said;
  const tries = failed?.a > 1 ? ` after ${failed.a} attempts` : "";
  const others = [...story.rows.values()].filter((row) => row.s === "failed").length - 1;
  alarm.replaceChildren(
    h("h2", {}, failed ? `${failed.i} failed${tries}` : `The run ${word}`),
    h("p", {}, reason ? `${reason.type}: ${reason.message}` : "No reason was recorded."),
    h("div.orc-bar", {}, failed ? h("button.orc-button", { type: "button", onclick: () => open(failed.i) }, "Show the step") : null, others > 0 ? h("span.orc-quiet", {}, `and ${plural(others, "other step")} failed`) : null),
  );
}

function eventTable() {
  return new LongTable("Events", [h("th", { scope: "col" }, "Time"), h("th", { scope: "col" }, "What"), h("th", { scope: "col" }, "Step"), h("th.is-wide", { scope: "col" }, "More")], (event) => {
    const [id, kind, at, instance, attempt, data = {}] = event;
    const { error, ...rest } = data;
    const more = [error?.message, ...Object.entries(rest).filter(([, what]) => what !== "" && what !== null && typeof what !== "object").map(([name, what]) => `${name} ${what}`)].filter(Boolean).join(", ");
    const step = instance ? h("button.orc-open", { type: "button", onclick: () => open(instance) }, instance) : "";
    return {
      key: id,
      cells: [h("td", {}, moment(at)), h("td", {}, kind.replaceAll("_", " "), attempt > 1 ? ` · attempt ${attempt}` : ""), h("td", {}, step), h("td.is-wide", { title: more }, more)],
    };
  });
}

function showEvents() {
  events.show(story.events.toReversed());
}

function showCosts() {
  const lines = story.costs();
  if (!lines.length) {
    costs.replaceChildren(h("p.orc-empty", {}, "No model was called."));
    return;
  }
  const row = (line, cell = "td") =>
    h("tr", {}, h(cell, cell === "th" ? { scope: "row" } : {}, line.model), ...[count(line.calls), count(line.in), count(line.out), `${money(line.usd)}${line.unpriced ? " + ?" : ""}`].map((text) => h(`${cell === "th" ? "td" : cell}.orc-number`, {}, text)));
  const total = { model: "All", calls: 0, in: 0, out: 0, usd: 0, unpriced: 0 };
  for (const line of lines) for (const part of ["calls", "in", "out", "usd", "unpriced"]) total[part] += line[part];
  const headings = ["Calls", "Tokens in", "Tokens out", "Cost"].map((name) => h("th.orc-number", { scope: "col" }, name));
  costs.replaceChildren(
    h("table.orc-table", {}, h("caption.visually-hidden", {}, "Cost by model"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Model"), headings)), h("tbody", {}, lines.map((line) => row(line)), lines.length > 1 ? row(total, "th") : null)),
    total.unpriced ? h("p.orc-note", {}, `The price of ${plural(total.unpriced, "step")} is not known, and missing in the sum.`) : "",
  );
}

let valuesAsOf = null;
async function showValues() {
  if (valuesAsOf === story.run.state) return;
  valuesAsOf = story.run.state;
  const found = await ask(address("run", page.run.id, "inputs"));
  values.replaceChildren(
    ...(page.about ? [h("p.orc-quiet", {}, page.about)] : []),
    ...text("Inputs", found.inputs),
    ...(found.outputs ? text("Outputs", found.outputs) : [h("h3", {}, "Outputs"), h("p.orc-quiet", {}, "None yet.")]),
  );
}

// Tabs by the pattern of ARIA: one of them in the tab order, arrows between them.
function tabsOf(parts) {
  const list = h("div.orc-tabs", { role: "tablist", "aria-label": "About this run" });
  const all = parts.map(([name, content, draw], place) => {
    const button = h("button", { type: "button", role: "tab", id: `tab-${place}`, "aria-controls": `panel-${place}`, onclick: () => choose(name) }, name);
    const panel = h("section.orc-card", { role: "tabpanel", id: `panel-${place}`, "aria-labelledby": `tab-${place}`, hidden: true }, content);
    return { name, button, panel, draw };
  });
  list.append(...all.map((tab) => tab.button));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = all[(all.indexOf(chosen) + step + all.length) % all.length];
    choose(next.name);
    next.button.focus();
  });
  let chosen = null;

  function choose(name) {
    chosen = all.find((tab) => tab.name === name);
    for (const { button, panel } of all) {
      const is = chosen.button === button;
      set(button, { "aria-selected": String(is), tabindex: is ? 0 : -1 });
      panel.hidden = !is;
    }
    show();
  }

  function show() {
    chosen.draw();
  }

  chosen = all[0];
  for (const { button, panel } of all) {
    const is = chosen.button === button;
    set(button, { "aria-selected": String(is), tabindex: is ? 0 : -1 });
    panel.hidden = !is;
  }
  return { element: h("div", {}, list, all.map((tab) => tab.panel)), choose, show };
}
