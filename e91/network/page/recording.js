// The recording of the run: a slider back in time, marks of what happened, and the way back to now.
import { make } from "./charts.js";
import { say, state } from "./room.js";
import { $, clock, escape, put } from "./words.js";

const slider = $("moment");
const MARKS = { alarm: "alarm", cut: "down", "relay-dies": "down", "source-fails": "low" };
let on = null, // {hush, listen, show}: of the page
  wanted = null,
  busy = false,
  playing = null,
  due = 0,
  marks = [];

export function setUpRecording(calls) {
  on = calls;
}

/** While the page is live, the slider stands at its end. */
export function followLive() {
  if (state.past !== null) return;
  slider.min = Math.floor(state.net.start);
  slider.max = Math.floor(state.t);
  slider.value = slider.max;
  dress();
  if (performance.now() > due) {
    due = performance.now() + 2000;
    outline();
  }
}

function dress() {
  const past = state.past !== null;
  document.body.classList.toggle("past", past);
  $("live").disabled = !past;
  $("play").disabled = !past;
  for (const id of ["attack", "route"]) $(id).inert = past;
  put($("moment-out"), past ? clock(state.past) : "live");
  const bad = past && state.head ? state.head.states[2] : 0;
  slider.setAttribute(
    "aria-valuetext",
    past ? `${clock(state.past)}, ${bad} link${bad === 1 ? "" : "s"} alarmed` : "live",
  );
  const span = slider.max - slider.min || 1;
  slider.style.setProperty("--fill", `${(100 * (slider.value - slider.min)) / span}%`);
}

async function outline() {
  const found = await (await fetch("api/recording")).json();
  if (state.past !== null) slider.max = Math.floor(Math.max(slider.max, found.t.at(-1) ?? 0));
  marks = found.marks.filter((m) => m[1] in MARKS);
  const w = slider.clientWidth - 18,
    span = slider.max - slider.min || 1,
    x = (t) => 9 + ((t - slider.min) / span) * w;
  const svg = $("moment-marks");
  svg.replaceChildren();
  svg.setAttribute("width", slider.clientWidth);
  for (const [t, kind, , text] of marks) {
    const mark = make("path", { class: MARKS[kind], d: `M${x(t).toFixed(1)} 8l3.500 6h-7z` }, svg);
    make("title", {}, mark, `${clock(t)} ${text}`);
  }
  const alarms = marks.filter((m) => m[1] === "alarm").slice(-8);
  $("own-replays").innerHTML =
    alarms.length && !state.replay
      ? "<h3>Alarms of this run</h3>" +
        alarms
          .map((m) => `<button data-at="${m[0]}">${clock(m[0])} ${escape(m[2] ?? "")}</button>`)
          .join("")
      : "";
  for (const b of $("own-replays").querySelectorAll("button"))
    b.onclick = () => {
      b.closest("details").open = false;
      go(Number(b.dataset.at) - 5);
      play();
    };
}

/** Show what there was to see at a time; the network goes on meanwhile. */
export function go(t) {
  t = Math.max(Number(slider.min), Math.min(t, Number(slider.max)));
  if (state.past === null) {
    on.hush();
    say("You look at the recording; the network goes on.");
  }
  state.past = t;
  slider.value = t;
  wanted = t;
  if (!busy) fetchWanted();
}
async function fetchWanted() {
  busy = true;
  while (wanted !== null) {
    const t = wanted;
    wanted = null;
    const answer = await fetch("api/past?t=" + t);
    if (state.past !== null && answer.ok) {
      on.show(await answer.json());
      dress();
    }
  }
  busy = false;
}

export function live() {
  if (state.past === null) return;
  stop();
  wanted = null;
  state.past = null;
  dress();
  on.listen();
  say("Live again.");
}

function play() {
  stop();
  put($("play"), "Stop");
  playing = setInterval(() => {
    const next = state.past + 0.2 * state.speed;
    if (next >= Number(slider.max)) return live();
    go(next);
  }, 200);
}
function stop() {
  clearInterval(playing);
  playing = null;
  put($("play"), "Play");
}

slider.addEventListener("input", () => {
  stop();
  go(Number(slider.value));
});
$("live").onclick = live;
$("play").onclick = () => (playing ? stop() : play());
setInterval(() => state.past !== null && outline(), 2000);
