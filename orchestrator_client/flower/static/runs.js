// The list of runs.

import { address, count, h, moment, money, payload, plural, say, seconds, send, set, state, time, write } from "./dom.js";
import { live } from "./live.js";

const STATES = ["open", "submitted", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"];

const page = payload();
const chosen = new Set();
const rows = new Map();

const body = h("tbody");
const all = h("input", { type: "checkbox", "aria-label": "Choose all of this page", onchange: chooseAll });
const bulk = h("div.orc-bar", { role: "group", "aria-label": "Chosen runs", hidden: true });
const foot = h("nav.orc-foot", { "aria-label": "Pages" });
const empty = h("p.orc-empty", {}, hasFilter() ? "No run matches." : "No run yet.");

document.getElementById("page").append(head(), card(), foot);
show(page);
setInterval(tick, 1000);
live(`${address("runs", "stream")}${location.search}`, show);

function head() {
  return h("div.orc-head", {}, h("h1", {}, "Runs"), filters());
}

function filters() {
  const { text, state: wanted, pipeline, tag } = page.wanted;
  const choice = (word) => h("option", { value: word, selected: word === wanted }, word || "any state");
  const form = h(
    "form.orc-bar",
    { role: "search", method: "get", action: address("runs") },
    h("input.orc-field.grow", {
      type: "search",
      name: "text",
      value: text,
      placeholder: "Search id, pipeline, tag, error",
      "aria-label": "Search",
    }),
    h("select.orc-field", { name: "state", "aria-label": "State", onchange: () => form.requestSubmit() }, [
      ...["", ...STATES].map(choice),
    ]),
    h("input.orc-field", { name: "pipeline", value: pipeline, placeholder: "Pipeline", "aria-label": "Pipeline", size: 14 }),
    h("input.orc-field", { name: "tag", value: tag, placeholder: "Tag", "aria-label": "Tag", size: 10 }),
    h("button.orc-button", {}, "Filter"),
    hasFilter() ? h("a", { href: address("runs") }, "Clear") : null,
  );
  return form;
}

function hasFilter() {
  return Object.values(page.wanted).some(Boolean);
}

function card() {
  const columns = [
    page.may ? h("th", { scope: "col" }, all) : null,
    h("th", { scope: "col" }, "State"),
    h("th", { scope: "col" }, "Run"),
    h("th.is-wide", { scope: "col" }, "Tags"),
    h("th.is-wide", { scope: "col" }, "Started"),
    h("th.orc-number.is-wide", { scope: "col" }, "Took"),
    h("th.orc-number.is-wide", { scope: "col" }, "Steps"),
    h("th.orc-number.is-wide", { scope: "col" }, "Cost"),
  ];
  const table = h(
    `table.orc-table${page.may ? ".orc-runs" : ""}`,
    { id: "runs" },
    h("caption.visually-hidden", {}, "Runs, newest first"),
    h("thead", {}, h("tr", {}, columns)),
    body,
  );
  return h("section.orc-card", { "aria-label": "Runs" }, bulk, table, empty);
}

function show(news) {
  const order = news.runs.map((run) => {
    const row = rows.get(run.id) ?? made(run.id);
    row.fill(run);
    return row.element;
  });
  const kept = new Set(news.runs.map((run) => run.id));
  for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id), chosen.delete(id);
  if (order.some((element, place) => body.children[place] !== element) || body.children.length !== order.length)
    body.replaceChildren(...order);
  empty.hidden = order.length > 0;
  const newest = page.first ? null : h("a", { href: address("runs") + filtersOnly() }, "← Newest");
  const older = news.older ? h("a", { href: news.older, rel: "next" }, "Older →") : null;
  foot.replaceChildren(...[newest ?? h("span"), h("span", {}, plural(order.length, "run")), older ?? h("span")]);
  showBulk();
}

function filtersOnly() {
  const kept = new URLSearchParams(location.search);
  kept.delete("before");
  return kept.size ? `?${kept}` : "";
}

// A row that is filled again and again; what is focused or checked in it stays so.
function made(id) {
  const box = h("input", { type: "checkbox", onchange: () => choose(id, box.checked) });
  const link = h("a", { href: address("run", id) });
  const name = h("span.orc-mono.orc-quiet", {}, id);
  const why = h("p.orc-why");
  const small = h("div.orc-quiet.is-narrow");
  const cells = {
    state: h("td"),
    run: h("td", {}, link, h("div", {}, name), small, why),
    tags: h("td.is-wide"),
    started: h("td.is-wide"),
    took: h("td.orc-number.is-wide"),
    steps: h("td.orc-number.is-wide"),
    cost: h("td.orc-number.is-wide"),
  };
  const element = h("tr", { "data-run": id }, page.may ? h("td", {}, box) : null, Object.values(cells));
  const row = { element, run: null, box, fill, took };
  rows.set(id, row);

  function fill(run) {
    if (JSON.stringify(run) === JSON.stringify(row.run)) return;
    row.run = run;
    set(box, { "aria-label": `Choose ${run.pipeline} ${id}` });
    cells.state.replaceChildren(state(run.state));
    write(link, run.pipeline);
    write(why, run.why || (run.halt && `${run.halt} failed`));
    why.hidden = !(run.halt || run.why);
    cells.tags.replaceChildren(...run.tags.map(tag), ...(run.tenant ? [h("span.orc-tag", {}, run.tenant)] : []));
    cells.started.replaceChildren(moment(run.started ?? run.submitted));
    cells.steps.replaceChildren(`${count(run.done)} / ${count(run.steps)}`, meter(run));
    write(cells.cost, `${money(run.usd)}${run.unpriced ? " + ?" : ""}`);
    cells.cost.title = run.unpriced ? `${plural(run.unpriced, "step")} of unknown price` : "";
    took();
  }

  function took() {
    const { started, finished, submitted } = row.run;
    const text = started ? seconds(((finished ?? Date.now()) - started) / 1000) : "";
    write(cells.took, text);
    const { done, steps, usd } = row.run;
    const told = [time(started ?? submitted), text, `${count(done)} / ${count(steps)} steps`, usd ? money(usd) : ""];
    write(small, told.filter(Boolean).join(" · "));
  }
  return row;
}

function tag(name) {
  return h("a.orc-tag", { href: `${address("runs")}?tag=${encodeURIComponent(name)}` }, name);
}

// How far it is; of one that failed, how far it came.
function meter(run) {
  const share = run.progress ?? run.done / Math.max(run.steps, 1);
  const part = h(run.state === "failed" ? "i.is-bad" : "i");
  part.style.width = `${100 * Math.min(1, share)}%`;
  const said = run.ended ? "" : `${Math.floor(100 * share)} %${run.ends ? `, ends about ${time(run.ends)}` : ""}`;
  return h("span.orc-meter", { "aria-hidden": "true", title: said }, part);
}

function tick() {
  for (const row of rows.values()) if (row.run.started && !row.run.finished) row.took();
}

function choose(id, on) {
  if (on) chosen.add(id);
  else chosen.delete(id);
  showBulk();
}

function chooseAll() {
  const on = all.checked;
  for (const [id, row] of rows) {
    row.box.checked = on;
    if (on) chosen.add(id);
    else chosen.delete(id);
  }
  showBulk();
}

function showBulk() {
  all.checked = rows.size > 0 && chosen.size === rows.size;
  all.indeterminate = chosen.size > 0 && chosen.size < rows.size;
  bulk.hidden = chosen.size === 0;
  bulk.classList.toggle("orc-note", !bulk.hidden);
  if (bulk.hidden || bulk.dataset.count === String(chosen.size)) return;
  bulk.dataset.count = String(chosen.size);
  bulk.replaceChildren(
    h("strong", {}, `${plural(chosen.size, "run")} chosen`),
    h("button.orc-button", { type: "button", onclick: () => doAll("pause") }, "Pause"),
    h("button.orc-button", { type: "button", onclick: () => doAll("resume") }, "Resume"),
    h("button.orc-button", { type: "button", onclick: () => doAll("retry") }, "Retry"),
    h("button.orc-button.is-danger", { type: "button", onclick: () => doAll("cancel") }, "Cancel"),
  );
}

async function doAll(verb) {
  const runs = [...chosen];
  if (!confirm(`${verb[0].toUpperCase()}${verb.slice(1)} ${plural(runs.length, "run")}?`)) return;
  const { done, refused } = await send(address("runs", verb), { runs });
  for (const [run, why] of Object.entries(refused)) say(`${run}: ${why}`, true);
  if (done.length) say(`${verb}: asked of ${plural(done.length, "run")}`);
  for (const id of runs) if (rows.has(id)) rows.get(id).box.checked = false;
  chosen.clear();
  showBulk();
}
