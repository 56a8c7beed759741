// What the run asks of people, with a form to answer.

import { address, h, say, send, time } from "./dom.js";

export class Questions {
  constructor(run, may) {
    this.run = run;
    this.may = may;
    this.cards = new Map();
    this.element = h("div");
  }

  show(questions) {
    const wanted = new Map(questions.map((question) => [`${question.i} ${question.number}`, question]));
    for (const [key, card] of this.cards) {
      if (wanted.has(key)) continue;
      card.remove();
      this.cards.delete(key);
    }
    for (const [key, question] of wanted) {
      if (this.cards.has(key)) continue;
      const card = this.#card(question);
      this.cards.set(key, card);
      this.element.append(card);
    }
  }

  #card(question) {
    const until = question.deadline ? `, until ${time(question.deadline)}` : "";
    return h(
      "section.orc-question",
      { "aria-label": `Question of ${question.i}` },
      h("h2", {}, `${question.i} waits for ${question.kind === "approval" ? "an approval" : "an answer"}`),
      h("p.orc-quiet.mb-0", {}, `asked ${time(question.asked)}${until}${question.answerers.length ? `, of ${question.answerers.join(", ")}` : ""}`),
      h("div.prompt", {}, question.title && question.title !== question.prompt ? h("strong", {}, `${question.title}\n`) : "", question.prompt),
      this.may ? this.#form(question) : h("p.orc-quiet.mb-0", {}, "Log in to answer."),
    );
  }

  #form(question) {
    const fields = question.fields.filter((field) => field.name !== "action");
    const inputs = fields.map((field) => [field, input(field)]);
    const form = h("form", {}, inputs.map(([field, element]) => h("label", {}, field.name || field.about || "Answer", field.name && field.about ? h("span.orc-quiet", {}, field.about) : null, element)));
    const filled = () => {
      const values = inputs.map(([field, element]) => [field.name, value(field, element)]).filter(([, given]) => given !== undefined);
      return fields.length === 1 && !fields[0].name ? values[0]?.[1] ?? null : Object.fromEntries(values);
    };
    const answer = async (more) => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      try {
        const given = filled();
        const whole = more ? { ...given, ...more } : given;
        const { said } = await send(address("run", this.run, "answer"), { step: question.i, value: whole });
        say(said);
      } catch {
        for (const button of form.querySelectorAll("button")) button.disabled = false;
      }
    };
    if (question.options.length) {
      form.append(h("div.orc-bar", {}, question.options.map(({ value: option, approves }) =>
        h(`button.orc-button${approves ? ".is-main" : ".is-danger"}`, { type: "button", onclick: () => answer({ action: option }) }, capital(String(option))))));
    } else form.append(h("div.orc-bar", {}, h("button.orc-button.is-main", {}, "Answer")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!question.options.length) answer();
    });
    return form;
  }
}

function input(field) {
  const known = { name: field.name, required: field.required };
  if (field.choices) {
    const choices = field.choices.map((choice) => h("option", { value: JSON.stringify(choice), selected: choice === field.default }, String(choice)));
    return h("select.orc-field", known, field.required ? null : h("option", { value: "" }), choices);
  }
  if (field.type === "boolean") return h("select.orc-field", known, ...["", "true", "false"].map((word) => h("option", { value: word, selected: String(field.default) === word }, word)));
  if (field.type === "integer" || field.type === "number") return h("input.orc-field", { ...known, type: "number", step: field.type === "integer" ? 1 : "any", value: field.default });
  const area = h("textarea.orc-field", { ...known, rows: 2 });
  if (field.default !== null) area.value = typeof field.default === "string" ? field.default : JSON.stringify(field.default);
  return area;
}

// What was given, as the server takes it; nothing where the field was left alone.
function value(field, element) {
  const given = element.value;
  if (given === "") return undefined;
  if (field.choices) return JSON.parse(given);
  if (field.type !== "any") return given;
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}
