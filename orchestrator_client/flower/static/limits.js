// What providers allow, and what is made of it.

import { address, count, h, payload, plural, seconds, state } from "./dom.js";
import { live } from "./live.js";

const NAMES = { requests: "requests a minute", tokens: "tokens a minute", input_tokens: "input tokens a minute", output_tokens: "output tokens a minute", in_flight: "calls at a time" };
const SOURCES = { set: "set by a person", configured: "configured", told: "told by the provider", learned: "learned" };

const cards = h("div.orc-limits");
document.getElementById("page").append(h("div.orc-head", {}, h("h1", {}, "Limits")), cards);
show(payload());
live(address("limits", "stream"), show);

function show({ gates }) {
  cards.replaceChildren(...(gates.length ? gates.map(card) : [h("p.orc-empty", {}, "No limits are known: no model was called yet.")]));
}

function card(gate) {
  const [word, weather] = weatherOf(gate);
  const waiting = gate.waiting ? `${plural(gate.waiting, "call")} waiting` : "nobody waits";
  return h(
    "section.orc-card",
    { "aria-label": gate.scope },
    h("header", {}, h("div", {}, h("h2", {}, gate.scope), h("div.orc-quiet", {}, `${waiting}, ${count(gate.in_flight)} in flight${gate.seconds ? `, ${seconds(gate.seconds)} a call` : ""}`)), h("span.orc-state", { "data-state": word }, { succeeded: "open", waiting: "probing", failed: "closed" }[word])),
    weather ? h("p.weather", {}, weather) : "",
    Object.keys(gate.limits).length ? table(gate) : h("p.orc-note", {}, "No limit is known."),
  );
}

function table(gate) {
  const rows = Object.entries(gate.limits).map(([name, limit]) =>
    h(
      "tr",
      {},
      h("td", {}, NAMES[name] ?? name, h("div.orc-quiet", {}, SOURCES[limit.source] ?? limit.source)),
      h("td.orc-number", {}, count(limit.limit)),
      h("td.orc-number", {}, count(limit.reserved), meter(limit.reserved / (limit.limit || 1))),
      h("td.orc-number", {}, count(Math.max(0, limit.available))),
    ),
  );
  const headings = ["Allowed", "In use", "May go now"].map((name) => h("th.orc-number", { scope: "col" }, name));
  return h("table.orc-table", {}, h("caption.visually-hidden", {}, `Limits of ${gate.scope}`), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Limit"), headings)), h("tbody", {}, rows));
}

function meter(share) {
  const bar = h("i");
  bar.style.width = `${100 * Math.min(1, share)}%`;
  return h("span.orc-meter", { "aria-hidden": "true" }, bar);
}

// The state's colour, and the weather in words.
function weatherOf(gate) {
  const cause = gate.closed_for ? `: ${gate.closed_for}` : "";
  if (gate.closed_ms > 0) return ["failed", `${gate.circuit ? "Circuit open" : "Closed"} for ${seconds(gate.closed_ms / 1000)}${cause}`];
  if (gate.closed_for) return ["waiting", `${gate.probing ? "One call probes" : "The next call probes"} whether it has passed${cause}`];
  return ["succeeded", ""];
}
