// The plan as boxes and lines, coloured by what became of its steps. A loop's steps stand once, with counts.

import { count, h, set, svg, write } from "./dom.js";
import { gravest } from "./story.js";

const LETTER = 7;
const EDGE = 4;

export class Graph {
  constructor(drawing, steps, choose) {
    this.boxes = [];
    this.element = h("div.orc-graph");
    if (!drawing) {
      this.element.append(h("p.orc-note", {}, "This plan has too many steps to be drawn; the table has them all."));
      return;
    }
    const { width, height } = drawing;
    const picture = svg("svg", { width: width + 4, height: height + 4, viewBox: `-2 -2 ${width + 4} ${height + 4}`, role: "group", "aria-label": "Graph of the steps" });
    const loops = drawing.boxes.filter((box) => box.holds);
    const others = drawing.boxes.filter((box) => !box.holds);
    picture.append(...loops.map((box) => this.#box(box, steps, choose)));
    picture.append(...drawing.lines.map((line) => svg("path", { d: line, class: "line" })));
    picture.append(...others.map((box) => this.#box(box, steps, choose)));
    this.element.append(picture);
  }

  #box(box, steps, choose) {
    const { x, y, w, h: height } = box;
    const many = svg("text", { class: "count", x: x + w - 10, y: y + 18 });
    const room = (w - 20) / LETTER;
    const group = svg(
      "g",
      { class: box.holds ? "box holds" : "box", tabindex: 0, role: "button" },
      svg("rect", { x, y, width: w, height, rx: 7 }),
      svg("rect", { class: "edge", x, y: y + 7, width: EDGE, height: height - 14 }),
      label("", box.label, x + 14, y + 18, room),
      label("detail", box.detail, x + 14, box.holds ? y + 32 : y + 35, room + 2),
      many,
      svg("title", {}, box.steps.length > 1 ? `${box.steps[0]} and ${box.steps.length - 1} more` : `${box.id} · ${box.detail}`),
    );
    const pick = () => choose(box.steps);
    group.addEventListener("click", pick);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pick();
    });
    this.boxes.push({ box, group, many, label: group.querySelector("text") });
    return group;
  }

  show(counts) {
    for (const { box, group, many } of this.boxes) {
      const sum = {};
      for (const step of box.steps)
        for (const [word, number] of Object.entries(counts.get(step) ?? { pending: 1 })) sum[word] = (sum[word] ?? 0) + number;
      const word = gravest(sum);
      const total = Object.values(sum).reduce((one, other) => one + other, 0);
      const done = (sum.succeeded ?? 0) + (sum.skipped ?? 0);
      const said = total < 2 ? "" : sum.failed ? `${count(sum.failed)} failed · ${count(done)}/${count(total)}` : `${count(done)}/${count(total)}`;
      if (group.dataset.state !== word) group.dataset.state = word;
      write(many, said);
      const spoken = `${box.label}, ${word}${said ? `, ${said}` : ""}`;
      if (group.getAttribute("aria-label") !== spoken) set(group, { "aria-label": spoken });
      this.#shorten(box, group, said);
    }
  }

  // The name gives way to the counts beside it.
  #shorten(box, group, said) {
    const room = (box.w - 24) / LETTER - said.length * 0.95;
    write(group.querySelector("text"), cut(box.label, room));
  }
}

function label(kind, text, x, y, room) {
  return svg("text", { class: kind, x, y }, cut(text, room));
}

function cut(text, room) {
  const most = Math.max(3, Math.floor(room));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
