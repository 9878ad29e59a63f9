// The four charts of the chosen link.
import { Chart } from "./charts.js";
import { state } from "./room.js";
import { $, NBSP, bits, clock, count, percent, power } from "./words.js";

const steps = (lo, hi, by, text) => {
  const out = [];
  for (let v = Math.ceil(lo / by) * by; v <= hi + 1e-9; v += by) out.push([v, text(v)]);
  return out;
};
const column = (rows, i) => rows.map((r) => r[i]).filter((v) => v !== null);
const lowest = (rows, i, start) => column(rows, i).reduce((a, b) => Math.min(a, b), start);
const highest = (rows, i, start) => column(rows, i).reduce((a, b) => Math.max(a, b), start);
const S_CHART = {
  name: "bell",
  title: "Bell value S and its bound",
  height: 92,
  first: true,
  outline: true,
  value: (r) => r[1],
  band: (r) => r[2] ?? r[1],
  range: (rows) => [
    Math.max(
      -3,
      Math.min(1.85, Math.floor(Math.min(lowest(rows, 1, 2), lowest(rows, 2, 2)) * 5 - 0.3) / 5),
    ),
    2.95,
  ],
  ticks: (lo, hi) => steps(lo, hi, lo < 0.5 ? 1 : lo < 1.7 ? 0.5 : 0.4, (v) => v.toFixed(1)),
  marks: () => [
    { y: 2, text: "2: local models end", kind: "limit", shade: true, below: true, left: true },
    { y: 2 * Math.SQRT2, text: "2√2", kind: "quantum" },
  ],
};
const Q_CHART = {
  name: "qber",
  title: "QBER",
  height: 58,
  value: (r) => r[3],
  range: (rows) => [0, highest(rows, 3, 0.04) * 1.15],
  ticks: (lo, hi) =>
    steps(lo, hi, hi > 0.15 ? 0.1 : hi > 0.06 ? 0.05 : 0.02, (v) => Math.round(100 * v) + " %"),
};
const E_CHART = {
  name: "evidence",
  title: "Alarm’s evidence, odds against the promise",
  height: 84,
  value: (r) => r[6],
  band: (r, lo) => lo,
  clip: true,
  range: (rows, d) => [
    Math.max(-6, Math.min(-1, Math.floor(lowest(rows, 6, -1)))),
    d.threshold * 1.3,
  ],
  ticks: (lo, hi) =>
    [0, 2, 4, 6]
      .map((n) => [n * Math.log(10), `${["1", "100", "10⁴", "10⁶"][n / 2]}:1`])
      .filter(([v]) => v < hi / 1.3 - 0.35),
  marks: (d) => [
    {
      y: d.threshold,
      text: `rings at ${count(Math.exp(d.threshold))} : 1`,
      kind: "ring",
      left: true,
    },
  ],
};
const P_CHART = {
  name: "store",
  title: "Store of key",
  height: 58,
  axis: (a, b) => [clock(a), clock(b)],
  value: (r) => r[4],
  band: (r, lo) => lo,
  range: (rows, d) => [0, d.capacity],
  ticks: (lo, hi) => [
    [0, "0"],
    [
      hi,
      bits(hi)
        .replace(/\.0+(?=\D)/, "")
        .replace("bit", ""),
    ],
  ],
};
const charts = [S_CHART, Q_CHART, E_CHART, P_CHART].map((o) => new Chart($("charts"), o));
let hover = null,
  span = [0, 1];
const SHARES = [0.35, 0.17, 0.29, 0.19],
  LEAST = [62, 34, 52, 34];
/** Charts of a Bell test stand only where there is one. */
export function layCharts() {
  const bell = !state.net?.published,
    { width, height } = $("charts").getBoundingClientRect();
  [0, 2].forEach((i) => {
    charts[i].box.hidden = !bell;
  });
  const shown = charts.filter((c) => !c.box.hidden),
    room = height - 10 - shown.length * 20 - 16 - 10;
  const all = shown.reduce((a, c) => a + SHARES[charts.indexOf(c)], 0);
  for (const c of shown) {
    const i = charts.indexOf(c);
    c.width = Math.max(220, Math.floor(width - 24));
    c.height = Math.max(LEAST[i], Math.min(220, Math.floor((room * SHARES[i]) / all)));
  }
  drawCharts();
}
new ResizeObserver(layCharts).observe($("charts"));
$("charts").addEventListener("pointermove", (e) => {
  hover = { x: e.clientX - charts[0].svg.getBoundingClientRect().left };
  if (hover.x < 38) hover = null;
  drawCharts();
});
$("charts").addEventListener("pointerleave", () => {
  hover = null;
  drawCharts();
});

export function drawCharts() {
  const d = state.detail,
    blocks =
      state.past === null ? state.history : state.history.filter((r) => r[0] <= state.past);
  if (!d || !blocks.length || d.id !== state.link) return;
  const t1 = Math.max(d.t, blocks.at(-1)[0]),
    most = blocks.slice(-111);
  span = [Math.max(blocks[0][0], Math.min(most[0][0], t1 - 20)), t1];
  const now = [...blocks.at(-1)]; // the store goes on between two blocks
  now[0] = t1;
  now[4] = d.stored;
  now[5] = d.rate;
  const events = [];
  charts[2].box.classList.toggle("rang", d.rang !== null);
  if (d.adversary && d.since !== null) events.push({ t: d.since, kind: "attack", text: "attack" });
  if (d.rang !== null) events.push({ t: d.rang, kind: "rang", text: "alarm" });
  charts.forEach((c, i) => {
    if (!c.box.hidden) c.draw(i === 3 ? [...blocks, now] : blocks, span, d, events, hover);
  });
  let r = now;
  if (hover) {
    const t = charts[1].at(hover.x, span);
    r = blocks.reduce((a, b) => (Math.abs(b[0] - t) < Math.abs(a[0] - t) ? b : a));
  }
  const at = hover ? clock(r[0]) + "  " : "";
  const odds =
    r[6] === null
      ? "–"
      : r[6] < 0.7
        ? "none"
        : r[6] > 14
          ? `10${power(Math.floor(r[6] / Math.log(10)))} : 1`
          : `${count(Math.exp(r[6]))} : 1`;
  const bound = r[2] === null ? "no bound" : `at least ${r[2].toFixed(3)}`;
  charts[0].say(
    r[1] === null ? at + "no pairs" : `${at}${r[1].toFixed(3)}, ${bound}`,
    `S ${r[1]?.toFixed(2) ?? "unknown"}, limits 2 and 2.828`,
  );
  charts[1].say(
    r[3] === null ? at + "–" : at + percent(r[3], 2),
    `QBER ${r[3] === null ? "unknown" : percent(r[3])}`,
  );
  if (d.threshold !== null)
    charts[2].say(at + odds, `Evidence ${odds}, rings at ${count(Math.exp(d.threshold))} to 1`);
  const made = r[5] ? "+" + NBSP + bits(r[5]) + "/s" : d.full ? "full" : "no new key";
  charts[3].say(`${at}${bits(r[4])}, ${made}`, `Store ${bits(r[4])} of ${bits(d.capacity)}`);
}

export const factsOf = (facts) => {
  const stated = facts.filter((f) => f && f !== "not stated"),
    mark = " (assumed)",
    all = stated.length && stated.every((f) => f.endsWith(mark));
  return all ? stated.map((f) => f.slice(0, -mark.length)).join(", ") + mark : stated.join(", ");
};
