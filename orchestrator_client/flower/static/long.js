// Long lists: every row has one height, and only those in sight exist.

import { h } from "./dom.js";

const BEYOND = 8;

export class LongTable {
  // `columns`: headings; `fill(item)`: the cells of a row.
  constructor(caption, columns, fill, height = 34) {
    this.fill = fill;
    this.height = height;
    this.items = [];
    this.before = h("tr.spacer", { "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.behind = h("tr.spacer", { "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.body = h("tbody", {}, this.before, this.behind);
    this.table = h("table.orc-table", {}, h("caption.visually-hidden", {}, caption), h("thead", {}, h("tr", {}, columns)), this.body);
    this.element = h("div.orc-long", { tabindex: 0, role: "region", "aria-label": caption }, this.table);
    this.element.addEventListener("scroll", () => this.#draw(), { passive: true });
  }

  show(items) {
    this.items = items;
    this.table.setAttribute("aria-rowcount", items.length + 1);
    this.#draw(true);
  }

  #draw(anew = false) {
    const [first, last] = inSight(this.element, this.items.length, this.height, 36);
    if (!anew && first === this.first && last === this.last) return;
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : null;
    [this.first, this.last] = [first, last];
    const rows = this.items.slice(first, last).map((item, place) => {
      const { key, cells } = this.fill(item);
      return h("tr", { "data-key": key, "aria-rowindex": first + place + 2 }, cells);
    });
    this.before.firstChild.style.height = `${first * this.height}px`;
    this.behind.firstChild.style.height = `${(this.items.length - last) * this.height}px`;
    this.body.replaceChildren(this.before, ...rows, this.behind);
    if (focused) rows.find((row) => row.dataset.key === focused)?.querySelector("button,a")?.focus({ preventScroll: true });
  }
}

// First and last of the rows that can be seen, and some beyond.
export function inSight(element, length, height, head) {
  const first = Math.max(0, Math.floor((element.scrollTop - head) / height) - BEYOND);
  const sight = element.clientHeight || 600;
  return [Math.min(first, length), Math.min(length, first + Math.ceil(sight / height) + 2 * BEYOND)];
}
