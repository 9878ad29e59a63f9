// The strip of a replay: printed times above the axis, simulated ones below.
import { make } from "./charts.js";
import { post, state } from "./room.js";
import { $, escape } from "./words.js";

const SIMULATED = ["alarm", "cut", "mended", "back", "source-fails", "relay-dies", "way"];
export function showReplay() {
  const box = $("replay"),
    n = state.net;
  box.hidden = !n.marks.length;
  if (box.hidden) return;
  const end = n.end ?? Math.max(state.t, ...n.marks.map((m) => m[0])) * 1.05;
  const simulated = state.log
    .filter((e) => SIMULATED.includes(e.kind))
    .map((e) => [e.t, e.text.replace(/\.$/, "")]);
  const w = Math.max(200, box.clientWidth - 24),
    x = (t) => 4 + (t / end) * (w - 8),
    nice = (t) => (end > 3000 ? `${Math.round(t / 60)} min` : `${Math.round(t)} s`);
  const key = [simulated.length, simulated.at(-1)?.[0], n.title, w, n.end ? "" : Math.round(end / 60)].join();
  if (key !== showReplay.key) {
    showReplay.key = key;
    const buttons =
      '<button id="compare">Compare with print</button>' +
      (state.replay ? '<button id="leave">Back</button>' : "");
    box.innerHTML = `<div class="row"><strong>${state.replay ? "Replay: " : ""}${escape(n.title)}</strong>${buttons}</div>`;
    const said = (list) => list.map((p) => nice(p[0]) + " " + p[1]).join("; ");
    const svg = make(
      "svg",
      {
        width: w,
        height: 92,
        role: "img",
        "aria-label": `By the plan: ${said(n.marks)}. Here: ${said(simulated) || "nothing yet"}`,
      },
      box,
    );
    make("line", { x1: 4, x2: w - 4, y1: 46, y2: 46, class: "axis" }, svg);
    // Labels take the first of two rows where they fit; else only their time is written.
    const row = (list, cls, title, rows, upto) => {
      make("text", { x: 4, y: rows[0], class: cls + " title" }, svg, title);
      const free = [title.length * 6.5 + 16, title.length * 6.5 + 16];
      for (const [t, words] of list) {
        const px = x(t);
        make("path", { d: `M${px.toFixed(1)} 46V${upto}`, class: cls }, svg);
        for (const text of [`${nice(t)} ${words}`, `${nice(t)} ${words.slice(0, 34)}…`, nice(t)]) {
          const long = text.length * (cls === "simulated" ? 6.9 : 6.2),
            from = px + long > w - 4 ? px - long - 5 : px + 5,
            level = free.findIndex((f) => from > f);
          if (level < 0) continue;
          make("text", { x: from.toFixed(1), y: rows[level], class: cls }, svg, text);
          free[level] = from + long + 8;
          break;
        }
      }
    };
    row(
      n.marks.map(([t, words, printed]) => [t, printed ? words : words + " (assumed)"]),
      "published",
      n.marks.some((m) => m[2]) ? "Printed" : "Plan",
      [12, 28],
      18,
    );
    row(simulated, "simulated", "Here", [88, 72], 74);
    showReplay.now = make("path", { class: "now", d: "" }, svg);
    $("compare").onclick = compare;
    if (state.replay) $("leave").onclick = () => post("replay", { id: null });
  }
  $("compare").hidden = !state.over;
  const px = x(Math.max(0, Math.min(state.t, end))).toFixed(1);
  showReplay.now.setAttribute("d", `M${px} 38l5 8-5 8-5-8z`);
}

/** The table of what was printed and what came out here. */
async function compare() {
  const rows = await (await fetch("api/outcomes")).json();
  const cells = (row) =>
    [row.quantity, row.printed, row.simulated, row.band, row.verdict]
      .map((cell) => `<td>${escape(cell)}</td>`)
      .join("");
  $("outcomes-body").innerHTML = rows
    .map((row) => `<tr title="${escape(row.note)}">${cells(row)}</tr>`)
    .join("");
  $("outcomes").showModal();
}
