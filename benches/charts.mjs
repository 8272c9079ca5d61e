// Charts as inline SVG: no script, no outside file.
import { STORES } from "./peers/stores.mjs";

const WIDTH = 720;
const HEIGHT = 380;
const MARGIN = { left: 70, right: 30, top: 12, bottom: 46 };

/** Distinguishable also for the colour-blind (Okabe and Ito). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#a08000"];
const DASHES = ["none", "7 4", "2 3", "10 3 2 3"];

export const escapeHtml = (text) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const short = (value) => Number(value.toPrecision(3)).toLocaleString("en-US");

/** Stores in the order of the colours, so that each has the same one in every chart. */
const COLOURED = [...STORES, "hnswlib"];

/** Colour and dash of every series: one colour a store, one dash a variant of it. */
function styles(series) {
  return series.map((one, i) => ({
    colour: COLOURS[COLOURED.indexOf(one.store) % COLOURS.length],
    dash: DASHES[series.slice(0, i).filter(({ store }) => store === one.store).length % DASHES.length],
  }));
}

/** Round values between `low` and `high`, some five of them. */
function linearTicks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** 1, 2 and 5 times the powers of ten between `low` and `high`. */
function logTicks(low, high) {
  const ticks = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    ticks.push(...[power, 2 * power, 5 * power].filter((value) => value >= low && value <= high));
  }
  return ticks;
}

/** Where a value lies between the ends of an axis, from 0 to 1. */
const placeOn = ([low, high], log) =>
  log
    ? (value) => Math.log(value / low) / Math.log(high / low)
    : (value) => (high === low ? 0.5 : (value - low) / (high - low));

const text = (x, y, anchor, content, more = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${escapeHtml(content)}</text>`;

const line = (x1, y1, x2, y2) => `<line x1="${x1}" y1="${y1.toFixed(1)}" x2="${x2}" y2="${y2.toFixed(1)}"/>`;

/** Ends of the axis over all values; a logarithmic one leaves a little room, a linear one may be told where to begin and end. */
function range(values, { log = false, from, to }) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return log ? [low * 0.9, high * 1.1] : [from ?? low, to ?? high];
}

function axes(xs, ys, x, y) {
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  const horizontal = (y.log ? logTicks : linearTicks)(...ys).map((value) => {
    const at = y.place(value);
    return line(MARGIN.left, at, right, at) + text(MARGIN.left - 8, at + 4, "end", short(value));
  });
  const vertical = linearTicks(...xs).map((value) => text(x.place(value), bottom + 18, "middle", short(value)));
  const middle = MARGIN.top + (bottom - MARGIN.top) / 2;
  const labels =
    text((MARGIN.left + right) / 2, HEIGHT - 8, "middle", x.label) +
    text(16, middle, "middle", y.label, ` transform="rotate(-90 16 ${middle})"`);
  return `<g class="axis">${horizontal.join("")}${vertical.join("")}${labels}</g>`;
}

function legendOf(series, style) {
  const items = series.map(({ name }, i) => {
    const { colour, dash } = style[i];
    const sample = `<svg width="34" height="10"><line x1="0" y1="5" x2="34" y2="5" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/></svg>`;
    return `<span>${sample} ${escapeHtml(name)}</span>`;
  });
  return `<p class="legend">${items.join(" ")}</p>`;
}

/**
 * A line chart. `series` are `{ name, store, points: [[x, y]] }`; `x` and `y` are `{ label, from?, to?, log? }`. Points to the left of
 * `x.from` are left out. Empty when there is nothing to show.
 */
export function lineChart(series, x, y) {
  const shown = series
    .map((one) => ({ ...one, points: one.points.filter(([at]) => x.from === undefined || at >= x.from) }))
    .filter(({ points }) => points.length > 0);
  const points = shown.flatMap((one) => one.points);
  if (points.length === 0) return "";
  const xs = range(
    points.map(([value]) => value),
    x,
  );
  const ys = range(
    points.map(([, value]) => value),
    y,
  );
  const [placeX, placeY] = [placeOn(xs, false), placeOn(ys, y.log)];
  const atX = (value) => MARGIN.left + placeX(value) * (WIDTH - MARGIN.left - MARGIN.right);
  const atY = (value) => HEIGHT - MARGIN.bottom - placeY(value) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const style = styles(shown);
  const drawn = shown.map(({ name, points }, i) => {
    const path = points.map(([x, y]) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(" ");
    const dots = points.map(
      ([x, y]) =>
        `<circle cx="${atX(x).toFixed(1)}" cy="${atY(y).toFixed(1)}" r="3" fill="${style[i].colour}"><title>${escapeHtml(`${name}: ${short(x)}, ${short(y)}`)}</title></circle>`,
    );
    return `<polyline points="${path}" fill="none" stroke="${style[i].colour}" stroke-width="2" stroke-dasharray="${style[i].dash}"/>${dots.join("")}`;
  });
  const frame = axes(xs, ys, { ...x, place: atX }, { ...y, place: atY });
  const svg = `<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${frame}${drawn.join("")}</svg>`;
  return svg + legendOf(shown, style);
}

/** Horizontal bars: `bars` are `{ label, value, shown }`, as wide as their values. */
export function barChart(bars) {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const rows = bars.map(
    ({ label, value, shown }) =>
      `<tr><td class="left">${escapeHtml(label)}</td><td class="bars"><div style="width:${((value / most) * 100).toFixed(1)}%"></div></td><td>${escapeHtml(shown)}</td></tr>`,
  );
  return bars.length === 0 ? "" : `<table class="bars">${rows.join("")}</table>`;
}
