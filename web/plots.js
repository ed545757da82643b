// Line plots over the last minutes, as SVG.
import {element, svg} from "./dom.js";

const WIDTH = 360, HEIGHT = 180;
const LEFT = 42, RIGHT = 352, TOP = 8, BOTTOM = 158;

// The least of 1, 2, 5, 10, 20, … times a power of ten that is not below a value.
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value * (1 - 1e-9)) * power;
}

// Three significant digits at most.
export function shortNumber(value) {
  if (value >= 1e6) return `${shortNumber(value / 1e6)}M`;
  if (value >= 1e4) return `${shortNumber(value / 1e3)}k`;
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

function ago(seconds) {
  const rest = String(Math.round(seconds % 60)).padStart(2, "0");
  return `${Math.floor(seconds / 60)}:${rest} min ago`;
}

const isKnown = (value) => value !== undefined && value !== null;

// `lines` are {key, name}: the values of points under a key, named in the legend. `top` fixes the
// scale; otherwise it follows the values. Seconds are shown as milliseconds where all are below 1.
export class Plot {
  #values = [];  // of the legend, one a line
  #chart = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img"});
  #points = [];
  #seconds = 1;
  #scale = 1;       // from values to what is shown of them,
  #shownUnit = "";  // in this unit

  constructor({title, unit, lines, top}) {
    Object.assign(this, {title, unit, lines, top});
    const legend = element("ul", {class: "legend"}, ...lines.map((line) => this.#entry(line)));
    this.node = element("figure", {}, element("figcaption", {}, element("h2", {}, title), legend),
                        this.#chart);
    this.#chart.addEventListener("pointermove", (event) => this.#point(event));
    this.#chart.addEventListener("pointerleave", () => this.#showValues(this.#points.at(-1)));
  }

  #entry({name}) {
    const value = element("output", {}, "–");
    this.#values.push(value);
    const key = svg("svg", {viewBox: "0 0 16 4", class: "key", "aria-hidden": "true"},
                    svg("path", {class: `line line-${this.#values.length}`, d: "M0 2H16"}));
    return element("li", {}, key, `${name} `, value);
  }

  // Points {time, …} with the latest last; the plot ends there and begins `seconds` earlier.
  draw(points, seconds) {
    this.#points = points;
    this.#seconds = seconds;
    const values = points.flatMap((point) => this.lines.map(({key}) => point[key] ?? 0));
    const top = this.top ?? niceCeiling(Math.max(0, ...values));
    const isShort = this.unit === "s" && top < 1;
    this.#scale = isShort ? 1000 : 1;
    this.#shownUnit = isShort ? "ms" : this.unit;
    this.#chart.replaceChildren(...this.#grid(top), ...this.#paths(top));
    this.#showValues(points.at(-1));
    this.#chart.setAttribute("aria-label", `${this.title}: ${this.#description(top)}`);
  }

  #description(top) {
    const last = this.lines.map(({name}, i) => `${name} ${this.#values[i].value}`).join(", ");
    return `${last}; scale 0 to ${this.#withUnit(top)}`;
  }

  #withUnit(value) {
    return isKnown(value) ? `${this.#number(value)} ${this.#shownUnit}`.trim() : "–";
  }

  #number(value) {
    return shortNumber(value * this.#scale);
  }

  #x(time) {
    return RIGHT - ((this.#points.at(-1).time - time) / this.#seconds) * (RIGHT - LEFT);
  }

  #grid(top) {
    const lines = [0, 0.5, 1].flatMap((share) => {
      const y = BOTTOM - share * (BOTTOM - TOP);
      return [svg("path", {class: "grid", d: `M${LEFT} ${y}H${RIGHT}`}),
              svg("text", {x: LEFT - 6, y: y + 4, class: "end"}, this.#number(share * top))];
    });
    return [...lines, svg("text", {x: LEFT, y: HEIGHT - 5}, ago(this.#seconds)),
            svg("text", {x: RIGHT, y: HEIGHT - 5, class: "end"}, "now")];
  }

  #paths(top) {
    return this.lines.map(({key}, i) => {
      let path = "", isDrawn = false;
      for (const point of this.#points) {
        const value = point[key];
        if (isKnown(value)) {
          const y = BOTTOM - Math.min(value / top, 1) * (BOTTOM - TOP);
          path += `${isDrawn ? "L" : "M"}${this.#x(point.time).toFixed(1)} ${y.toFixed(1)}`;
        }
        isDrawn = isKnown(value);
      }
      return svg("path", {class: `line line-${i + 1}`, d: path});
    });
  }

  #showValues(point) {
    this.lines.forEach(({key}, i) => {
      this.#values[i].value = this.#withUnit(point?.[key]);
    });
  }

  // The legend has the values under the pointer.
  #point({clientX}) {
    if (this.#points.length === 0) return;
    const box = this.#chart.getBoundingClientRect();
    const x = ((clientX - box.left) / box.width) * WIDTH;
    const distance = ({time}) => Math.abs(this.#x(time) - x);
    this.#showValues(this.#points.reduce((a, b) => (distance(b) < distance(a) ? b : a)));
  }
}
