// Charts over time as SVG, each with a sentence and a table that say the same.
import { element, setText } from "./page.js";

const height = 170, left = 54, right = 8, top = 8, bottom = 20;
const svg = (name, attributes = {}) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

// A step that makes three or four lines up to the highest value: 1, 2 or 5 times a power of the base.
function stepFor(highest, base) {
  const power = base === 2 ? 2 ** (10 * Math.floor(Math.log2(highest) / 10)) : 1;
  const scaled = highest / power;
  const decimal = 10 ** Math.floor(Math.log10(scaled / 3 || 1));
  return power * decimal * ([1, 2, 5].find(step => scaled / (step * decimal) <= 4) ?? 10);
}

export class Chart {
  constructor(figure, format, { base = 10, least = 1, columns }) {
    Object.assign(this, { format, base, least });
    this.svg = svg("svg", { role: "img" });
    this.label = svg("title");
    const name = figure.querySelector("figcaption").firstChild.textContent.trim();
    this.label.textContent = `${name}: no figures yet.`;
    this.svg.append(this.label);
    this.body = element("tbody");
    const region = element("div", { className: "scroll", role: "region", "aria-label": `Table: ${name}`, tabIndex: 0 },
      element("table", {}, element("thead", {}, element("tr", {}, ...columns.map((name, i) => element("th", { scope: "col", className: i ? "n" : "" }, name)))), this.body));
    this.details = element("details", {}, element("summary", {}, "As a table"), region);
    figure.append(this.svg, this.details);
    this.details.addEventListener("toggle", () => this.#fillTable());
    new ResizeObserver(() => this.#draw()).observe(this.svg);
  }

  // dots: { kind, at, value }; lines: { kind, points: [[at, value]], area }; rules: { kind, value }.
  show({ from, to, dots = [], lines = [], rules = [], summary, rows }) {
    this.data = { from, to, dots, lines, rules };
    this.rows = rows;
    setText(this.label, summary);
    this.#draw();
    this.#fillTable();
  }

  #fillTable() {
    if (!this.details.open || !this.rows) return;
    const rows = this.rows.slice(-200).reverse();
    this.body.replaceChildren(...rows.map(row => element("tr", {}, ...row.map((cell, i) => element(i ? "td" : "th", i ? { className: "n" } : { scope: "row" }, cell)))));
  }

  #draw() {
    const width = this.svg.clientWidth;
    if (!this.data || width === 0) return;
    const { from, to, dots, lines, rules } = this.data;
    const highest = Math.max(this.least, ...dots.map(d => d.value), ...lines.flatMap(l => l.points.map(p => p[1])));
    const step = stepFor(highest, this.base);
    const limit = Math.ceil(highest / step - 1e-9) * step;
    const x = at => left + (at - from) / (to - from) * (width - left - right);
    const y = value => height - bottom - value / limit * (height - top - bottom);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const parts = [this.label];
    for (let value = 0; value <= limit + step / 2; value += step) {
      const text = svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" });
      text.textContent = this.format(value);
      parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }), text);
    }
    const minutes = (to - from) / 60_000;
    const ticks = minutes > 5 ? [15, 10, 5, 0] : minutes > 1 ? [5, 4, 3, 2, 1, 0] : [1, 0.75, 0.5, 0.25, 0];
    let leftmost = Infinity;
    for (const ago of ticks.toReversed()) {
      const at = to - ago * 60_000;
      if (x(at) > leftmost - 60) continue;
      leftmost = x(at);
      const text = svg("text", { x: x(at), y: height - 4, "text-anchor": ago === 0 ? "end" : at === from ? "start" : "middle" });
      text.textContent = ago === 0 ? "now" : minutes > 1 ? `−${ago} min` : `−${ago * 60} s`;
      parts.push(text);
    }
    for (const { kind, points, area } of lines) {
      if (points.length === 0) continue;
      const path = "M" + points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
      if (area) parts.push(svg("path", { class: "area", d: `${path}L${x(points.at(-1)[0])} ${y(0)}L${x(points[0][0])} ${y(0)}Z` }));
      parts.push(svg("path", { class: kind, d: path }));
    }
    for (const { kind, value } of rules) parts.push(svg("path", { class: `median ${kind}`, d: `M${left} ${y(value)}H${width - right}` }));
    for (const { kind, at, value } of dots) {
      const [px, py] = [x(at), y(value)];
      parts.push(kind === "dense"
        ? svg("circle", { class: "dot-dense", cx: px, cy: py, r: 3.5 })
        : svg("path", { class: "dot-pruned", d: `M${px} ${py - 5}l5 5-5 5-5-5Z` }));
    }
    this.svg.replaceChildren(...parts);
  }
}

