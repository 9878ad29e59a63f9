// The page's state and its one stream; the map and the charts draw, this module decides what
// they get.
import { sparkline } from "./charts.js";
import "./keep.js";
import { drawCharts, factsOf, layCharts } from "./link_charts.js";
import { NetworkMap, shapeOf } from "./map.js";
import { followLive, live, setUpRecording } from "./recording.js";
import { showReplay } from "./replay.js";
import { post, say, state } from "./room.js";
import {
  $,
  NBSP,
  STATE_ICONS,
  STATE_WORDS,
  bits,
  clock,
  count,
  escape,
  icon,
  percent,
  put,
  scientific,
} from "./words.js";

// -- map -----------------------------------------------------------------------------------------
const map = new NetworkMap($("map-svg"), {
  chooseLink: (id) => choose(id),
  announce: (text) => say(text),
  moved: (pixels) => showScale(pixels),
});
$("zoom-in").onclick = () => map.zoom(1.35);
$("zoom-out").onclick = () => map.zoom(1 / 1.35);
$("zoom-fit").onclick = () => map.fit();
$("expand-all").onclick = () => $("expand-all").setAttribute("aria-pressed", map.toggleAll());
const sample = (w, inner, text) =>
  `<li><svg class="sample" width="${w}" viewBox="0 0 ${w} 16" aria-hidden="true">${inner}</svg>${text}</li>`;
function showLegend(net) {
  const line = (w, i) =>
    sample(
      i && i < 5 ? 46 : 30,
      `<path class="link s${i}" d="M1 8H30"/>${i && i < 5 ? `<use href="#i-${STATE_ICONS[i]}" class="badge s${i}" x="33" y="1.500" width="13" height="13"/>` : ""}`,
      w,
    );
  const sectors = net.sectors.map((k) =>
    sample(
      14,
      `<use href="#s-${shapeOf(k, net.sectors)}" class="sector" x="0" y="1" width="14" height="14"/>`,
      escape(k),
    ),
  );
  const kinds = new Set(net.nodes.map((n) => n.kind));
  $("legend-body").innerHTML = `<ul>${STATE_WORDS.map(line).join("")}
${sample(30, '<path class="way-a" d="M0 8H30"/><path class="way-b" d="M0 8H30"/><path class="link s0" d="M0 8H30"/>', "inspected route")}${sample(26, '<rect class="tube" x=".500" y="4" width="25" height="8" rx="2"/><rect class="fill s0" x="2" y="5.500" width="14" height="5"/>', "store of key")}</ul>
<ul>${sectors.join("")}${kinds.has("user") ? sample(16, '<circle class="relay thin" cx="8" cy="8" r="7"/><use href="#s-user" class="sector" x="3" y="3" width="10" height="10"/>', "user") : ""}${sample(18, '<path class="relay" d="M1 8l4-7h8L17 8l-4 7H5z"/>', "trusted relay")}${kinds.has("ground") ? sample(20, '<path class="relay" d="M1 13a9 9 0 0 1 18 0z"/>', "ground station") : ""}${net.subnets.length ? sample(16, '<circle class="relay thin" cx="8" cy="8" r="7"/>', "switch, its users") : ""}${sample(36, '<path class="link s0 thin-line" d="M0 8H16"/><path class="link s0 thick-line" d="M19 8H36"/>', "thicker: more key")}<li class="eve"><svg class="sample eve" width="16" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-eve" width="16" height="16"/></svg>Eve, simulator only</li></ul>`;
}
function showScale(pixels) {
  $("scale").classList.toggle("bar", !state.net.assumed);
  if (state.net.assumed) return put($("scale"), "a drawing, positions assumed");
  const km = 10 ** Math.floor(Math.log10(120 / pixels)),
    n = [5, 2, 1].find((m) => m * km * pixels <= 120) * km;
  put($("scale"), `${Number(n.toPrecision(3))} km`);
  $("scale").style.setProperty("--bar", `${n * pixels}px`);
}

// -- the chosen link -----------------------------------------------------------------------------
async function choose(id, focus = false) {
  if (!map.index?.has(id)) return;
  state.link = id;
  $("link-choice").value = id;
  map.choose(id);
  if (state.past === null) post("focus", { client: state.client, link: id });
  const answer = await (await fetch("api/history?link=" + encodeURIComponent(id))).json();
  if (state.link !== id) return;
  state.history = answer.rows;
  if (state.past !== null) showLink(pastLink());
  const l = state.net.links[map.index.get(id)];
  $("facts").innerHTML = [
    l.medium.replace("-", " "),
    factsOf([l.length, l.loss]),
    l.model.replace("-", " "),
    l.subnet,
  ]
    .filter(Boolean)
    .map((f) => `<span>${escape(f)}</span>`)
    .join("");
  showAdversaries(l);
  drawCharts();
  if ($("log-link").checked) drawLog();
  if (focus) $("side").focus();
}

function showLink(d) {
  if (d.id !== state.link) return;
  const before = state.detail;
  state.detail = d;
  const last = state.history.at(-1);
  if (state.past === null && d.row && (!last || d.row[0] > last[0])) {
    state.history.push(d.row);
    if (state.history.length > 360) state.history.shift();
    drawCharts();
  } else if (
    !before ||
    before.id !== d.id ||
    before.rang !== d.rang ||
    before.adversary !== d.adversary ||
    performance.now() > (showLink.due || 0)
  ) {
    showLink.due = performance.now() + 950;
    drawCharts();
  }
  const word = STATE_WORDS[d.state] + (d.state === 3 ? ` ${d.good}/${d.need}` : "");
  if ($("chip").dataset.word !== word) {
    $("chip").dataset.word = word;
    $("chip").className = `chip s${d.state}`;
    $("chip").innerHTML = icon(d.state) + `<span>${word}</span>`;
  }
  put($("knows-net"), known(d));
  put(
    $("knows-sim"),
    d.truth + (d.adversary && d.since !== null ? ` Since ${clock(d.since)}.` : ""),
  );
  const a = d.adversary;
  document.querySelector(".truth").classList.toggle("on", !!a);
  $("stop").disabled = !d.adversary;
  put($("cut"), d.cut ? "Mend the link" : "Cut the link");
  $("cut").dataset.cut = d.cut ? "1" : "";
  if (document.activeElement !== $("strength") && !pending) {
    if (d.adversary && document.activeElement !== $("adversary"))
      $("adversary").value = d.adversary;
    $("strength").value = d.adversary ? Math.round(100 * shareOf(d.adversary, d.strength)) : 0;
    dress();
  }
}
function known(d) {
  const e = d.row?.[6] ?? 0;
  if (d.state === 4)
    return "The link is down. Whether anybody has cut it on purpose, no test can tell.";
  if (d.state === 5) return "It makes no key now; its store serves on.";
  if (d.state === 3) return `Clean again: ${d.good} of ${d.need} good blocks.`;
  if (d.rang !== null)
    return `${d.cause || "It rang. What the cause is, it cannot tell yet."} Nothing is released.`;
  if (d.threshold === null) return "Its error rate is the published one; there is no Bell test.";
  return e > 2.3
    ? `Suspicion: odds ${count(Math.exp(e))} : 1 against the promise, not enough to ring.`
    : "The link keeps its promise.";
}

// Strengths run from what does nothing to what does most, whichever of the two is the larger number.
const strengthAt = (name, share) => {
  const a = state.net.adversaries[name];
  return a.none + share * (a.most - a.none);
};
const shareOf = (name, strength) => {
  const a = state.net.adversaries[name];
  return strength === null ? 1 : (strength - a.none) / (a.most - a.none);
};
function showAdversaries(l) {
  const names = l.attacks.join();
  if (showAdversaries.names === names) return;
  showAdversaries.names = names;
  $("adversary").innerHTML = l.attacks
    .map((k) => `<option value="${k}">${escape(state.net.adversaries[k].title)}</option>`)
    .join("");
  dress();
}

let pending = null;
function dress() {
  const v = Number($("strength").value),
    a = state.net.adversaries[$("adversary").value];
  if (!a) return;
  const strength = Number(strengthAt($("adversary").value, v / 100).toPrecision(3));
  put($("strength-out"), v ? String(strength) : "nobody");
  $("strength").style.setProperty("--fill", v + "%");
  $("strength").setAttribute("aria-valuetext", v ? `${a.meaning} ${strength}` : "nobody");
  put($("says"), a.says);
  put($("meaning"), a.meaning);
}
function attackNow() {
  dress();
  clearTimeout(pending);
  pending = setTimeout(() => {
    pending = null;
    const v = Number($("strength").value),
      name = $("adversary").value;
    post(
      "attack",
      v
        ? { link: state.link, adversary: name, strength: strengthAt(name, v / 100) }
        : { link: state.link, adversary: null },
    );
  }, 150);
}
$("strength").addEventListener("input", attackNow);
$("adversary").addEventListener("change", () =>
  Number($("strength").value) ? attackNow() : dress(),
);
$("attack").addEventListener("submit", (e) => e.preventDefault());
$("stop").onclick = () => {
  $("strength").value = 0;
  attackNow();
};
$("cut").onclick = () => post($("cut").dataset.cut ? "mend" : "cut", { link: state.link });
$("link-choice").onchange = (e) => choose(e.target.value);

// -- headline ------------------------------------------------------------------------------------
function showHead() {
  const h = state.head;
  put($("h-keys"), h.keys >= 10 || !h.keys ? count(h.keys) : h.keys.toFixed(h.keys < 1 ? 2 : 1));
  put(
    $("h-bits"),
    h.unequal
      ? `${count(h.unequal)} differ at their two ends`
      : `${count(h.total.served)} so far, ${bits(h.total.bits)}`,
  );
  const [s, l, m] = h.minute,
    asked = s + l + m,
    all = Math.max(1, asked),
    share = [s / all, l / all, m / all];
  const part = (n, x) =>
    !asked
      ? "–"
      : n === 0
        ? "0"
        : n === asked
          ? "100" + NBSP + "%"
          : x < 0.001
            ? "<0.1" + NBSP + "%"
            : percent(Math.min(x, 0.999), x < 0.1 || x > 0.9 ? 1 : 0);
  put($("h-served"), part(s, share[0]));
  put($("h-late"), part(l, share[1]));
  put($("h-missed"), part(m, share[2]));
  let x = 0;
  [...$("h-share").children].forEach((r, i) => {
    const w = (100 * share[i]).toFixed(1);
    if (r.getAttribute("width") !== w) {
      r.setAttribute("width", w);
    }
    r.setAttribute("x", x.toFixed(1));
    x += 100 * share[i];
  });
  const key = h.states.join();
  if (key !== showHead.key) {
    showHead.key = key;
    const groups = [
      [0, h.states[0], "in service"],
      [1, h.states[1], "low"],
      [2, h.states[2], "alarmed"],
      [3, h.states[3], "on trial"],
      [4, h.states[4], "down"],
      ...(h.states[5] ? [[5, h.states[5], "no new key"]] : []),
    ];
    $("h-states").innerHTML = groups
      .map(
        ([i, n, w]) =>
          `<li class="${n ? "" : "zero"}"><p>${icon(i)}<b>${n}</b></p><span>${w}</span></li>`,
      )
      .join("");
    sentence();
  } else if (state.t < 1 || state.past !== null) sentence();
  put($("h-false"), String(h.false));
  put(
    $("h-promise"),
    `of ${h.alarms} alarm${h.alarms === 1 ? "" : "s"} · at most ${(state.net.false_alarm * state.net.links.length).toPrecision(2)} promised`,
  );
  if (state.net.published) put($("h-promise"), `of ${h.alarms} alarm${h.alarms === 1 ? "" : "s"}`);
  put($("h-lost"), bits(h.lost));
  $("h-lost").parentNode.classList.toggle("zero", !h.lost);
  if (state.past === null && (!showHead.last || performance.now() - showHead.last > 950)) {
    showHead.last = performance.now();
    state.keys.push(h.keys);
    if (state.keys.length > 60) state.keys.shift();
    sparkline($("h-spark"), state.keys, 0, 1.25 * Math.max(1e-9, ...state.keys));
  }
}

function sentence() {
  const of = (s) => state.rows.filter((r) => r[1] === s),
    names = (rows) =>
      rows
        .slice(0, 2)
        .map((r) => state.net.links[r[0]].name)
        .join(", ") + (rows.length > 2 ? ` and ${rows.length - 2} more` : "");
  const alarms = of(2),
    downs = of(4),
    trial = of(3),
    low = of(1);
  const filling = state.t < 0 && state.past === null;
  const worst = filling
    ? 0
    : alarms.length
      ? 2
      : downs.length
        ? 4
        : trial.length
          ? 3
          : low.length
            ? 1
            : 0;
  const parts = [];
  if (alarms.length) parts.push(`Alarm on ${names(alarms)}: stopped, nothing is released there.`);
  if (downs.length) parts.push(`${names(downs)} ${downs.length > 1 ? "are" : "is"} down.`);
  if (trial.length) parts.push(`${names(trial)} on trial.`);
  if (low.length) parts.push(`Stores low on ${names(low)}.`);
  const dark = of(5).length,
    lit = state.rows.length - dark;
  const well = state.net.published
    ? `All ${lit} links with a published rate flow.`
    : `All ${lit} links keep their promise.`;
  const then = state.past === null ? "" : `The recording at ${clock(state.past)}: `;
  const text = filling
    ? `The stores are filled before time zero: ${Math.ceil(-state.t)} of ${-state.net.start} s to go.`
    : then + (parts.join(" ") || well + (dark ? ` ${dark} without new key, on what is stored.` : ""));
  if ($("sentence").dataset.text === text) return;
  $("sentence").dataset.text = text;
  $("sentence").className = `sentence s${worst}`;
  $("sentence")
    .querySelector("use")
    .setAttribute("href", "#i-" + STATE_ICONS[worst]);
  $("sentence").querySelector("svg").setAttribute("class", `state-icon s${worst}`);
  put($("sentence").querySelector("span"), text);
  $("next-alarm").hidden = !worst;
  document.title =
    worst === 2
      ? `⚠ ${alarms.length} alarm${alarms.length > 1 ? "s" : ""} · E91 control room`
      : "E91 control room";
}
function nextAlarm() {
  const bad = state.rows
    .filter((r) => r[1] >= 1 && r[1] <= 4)
    .sort((a, b) => [9, 3, 0, 2, 1][a[1]] - [9, 3, 0, 2, 1][b[1]] || a[0] - b[0]);
  if (!bad.length) return say("Every link is well.");
  const now = bad.findIndex((r) => state.net.links[r[0]].id === state.link);
  choose(state.net.links[bad[(now + 1) % bad.length][0]].id, true);
}
$("next-alarm").onclick = nextAlarm;

// -- clock ---------------------------------------------------------------------------------------
function showClock() {
  put($("time"), clock(state.t));
  const slow =
    state.running && state.t >= 0 && state.pace !== null && state.pace < 0.85 * state.speed;
  showClock.slow = slow ? (showClock.slow || 0) + 1 : 0;
  $("pace").hidden = showClock.slow < 5;
  if (slow)
    put(
      $("pace"),
      `this machine: ${state.pace >= 9.95 ? Math.round(state.pace) : state.pace.toFixed(1)}×`,
    );
  const label = state.running ? "Pause" : "Go on";
  if ($("pause").getAttribute("aria-label") !== label) {
    $("pause").setAttribute("aria-label", label);
    $("pause").setAttribute("aria-pressed", !state.running);
    $("pause")
      .querySelector("use")
      .setAttribute("href", state.running ? "#i-pause" : "#i-play");
    document.body.classList.toggle("paused", !state.running);
  }
  const radio = document.querySelector(`input[name=speed][value="${state.speed}"]`);
  if (radio && !radio.checked) radio.checked = true;
}
$("pause").onclick = () => post("clock", { running: !state.running });
for (const r of document.querySelectorAll("input[name=speed]"))
  r.onchange = () => post("clock", { speed: Number(r.value), running: true });

// -- route ---------------------------------------------------------------------------------------
function askRoute() {
  if (!$("from").value) return;
  state.pair = [$("from").value, $("to").value];
  state.before = null;
  state.route = null;
  post("focus", { client: state.client, pair: state.pair });
}
$("from").onchange = $("to").onchange = askRoute;
$("swap").onclick = () => {
  const a = $("from").value;
  $("from").value = $("to").value;
  $("to").value = a;
  askRoute();
};
const via = (r) =>
  r.ok
    ? r.ways.map((w) => w.nodes.slice(1, -1).join(" → ") || "no relay").join(" and ")
    : "no route";
const wayOf = (r) => (r.ok ? r.ways.map((w) => w.links.join()).join(";") : r.why);
function chainOf(way, bottleneck) {
  return way.nodes
    .map((n, i) => {
      const u = map.userOf.get(n) || map.relay.get(n),
        end = i === 0 || i === way.nodes.length - 1;
      const user = u.kind === "user";
      const glyph = user
        ? `<svg viewBox="0 0 16 16" aria-hidden="true"><use href="#s-${shapeOf(u.sector, state.net.sectors)}" class="sector"/></svg>`
        : `<svg viewBox="0 0 16 16" aria-hidden="true"><path class="relay" d="M1 8l3.500-6h7L15 8l-3.500 6h-7z"/></svg>`;
      const link = way.links[i];
      const hop = link
        ? `<li class="hop${link === bottleneck ? " narrow" : ""}" aria-hidden="true"><button tabindex="-1" data-link="${escape(link)}" title="Choose this link"></button></li>`
        : "";
      return `<li class="${end ? "end" : "mid"}">${glyph}<span>${escape(n)}</span></li>${hop}`;
    })
    .join("");
}
function showRoute(r) {
  const was = state.route,
    same = was && was.a === r.a && was.b === r.b;
  if (same && wayOf(was) !== wayOf(r)) state.before = { via: via(was), at: state.t };
  state.route = r;
  map.route(r);
  const key = wayOf(r) + r.a + r.b + (state.before?.at ?? "");
  if (key !== showRoute.key) {
    showRoute.key = key;
    const moved = state.before
      ? `<p class="moved">Moved at ${clock(state.before.at)}; before: <s>${escape(state.before.via)}</s></p>`
      : "";
    $("route-body").innerHTML = !r.ok
      ? `<p class="none">${icon(4)} No key can be delivered: ${escape(r.why)}.</p>${moved}`
      : r.ways
          .map(
            (w) =>
              `<ol class="chain" aria-label="The way of a key">${chainOf(w, r.bottleneck)}</ol>`,
          )
          .join("") + moved;
    put($("route-said"), r.ok ? r.words : `No key can be delivered: ${r.why}.`);
  }
  $("route-facts").hidden = !r.ok;
  if (!r.ok) return;
  const knows = [...new Set(r.ways.flatMap((w) => w.nodes.slice(1, -1)))];
  put($("r-trust"), knows.length ? knows.join(", ") : "none");
  put(
    $("r-trust-note"),
    !knows.length
      ? ""
      : r.ways.length > 1
        ? "one of every way together know the key"
        : knows.length > 1
          ? "each reads every key"
          : "reads every key",
  );
  put($("r-narrow"), r.bottleneck_name);
  $("r-narrow").dataset.link = r.bottleneck;
  put(
    $("r-narrow-note"),
    `${r.rate ? bits(r.rate) + "/s" : "no new key now"}, ${bits(r.stored)} stored`,
  );
  put($("r-model"), r.model);
  put(
    $("r-price"),
    `${r.hops} hop${r.hops === 1 ? "" : "s"} × ${r.bits} = ${count(r.hops * r.bits)} bit` +
      (r.epsilon === null
        ? ""
        : `, ε ≤ ${scientific(r.epsilon)} from ${r.blocks} block${r.blocks === 1 ? "" : "s"}`),
  );
}
$("route").addEventListener("click", (e) => {
  const b = e.target.closest("[data-link]");
  if (b) choose(b.dataset.link);
});

// -- log -----------------------------------------------------------------------------------------
const LEVEL_ICON = { alarm: 2, down: 4, low: 1, good: 0, info: null, truth: null };
function entry(e) {
  const li = document.createElement("li");
  li.className = e.level;
  const i = LEVEL_ICON[e.level];
  const glyph =
    e.level === "truth"
      ? `<svg class="state-icon eve" aria-hidden="true"><use href="#i-eve"/></svg>`
      : i === null
        ? `<i class="dot" aria-hidden="true"></i>`
        : icon(i);
  li.innerHTML = `<time>${clock(e.t)}</time>${glyph}<span></span>`;
  const text = li.lastChild;
  text.textContent = e.text;
  if (e.link && map.index.has(e.link)) {
    li.dataset.link = e.link;
    li.title = "Choose this link";
  }
  return li;
}
const wanted = (e) =>
  (e.level !== "truth" || $("log-truth").checked) &&
  (!$("log-link").checked || e.link === state.link);
function drawLog() {
  $("log-list").replaceChildren(...state.log.filter(wanted).slice(-120).reverse().map(entry));
}
/** While the slider moves, the last of its lines stands for all. */
function addLog(e) {
  const last = state.log.at(-1);
  if (
    e.kind === "attack" &&
    last?.kind === "attack" &&
    last.link === e.link &&
    e.t - last.t < 3 * state.speed
  ) {
    state.log.pop();
    if (wanted(last)) $("log-list").firstChild?.remove();
  }
  state.log.push(e);
  if (state.log.length > 400) state.log.shift();
  if (wanted(e)) {
    $("log-list").prepend(entry(e));
    if ($("log-list").children.length > 120) $("log-list").lastChild.remove();
  }
}
$("log-truth").onchange = $("log-link").onchange = drawLog;
$("log-list").addEventListener("click", (e) => {
  const li = e.target.closest("[data-link]");
  if (li) choose(li.dataset.link);
});

// -- theme, menus, keys --------------------------------------------------------------------------
const themes = ["system", "light", "dark"];
function theme(next) {
  const value = next ?? localStorage.getItem("theme") ?? "system";
  localStorage.setItem("theme", value);
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  $("theme").setAttribute("aria-label", "Theme: " + (value === "system" ? "as the system" : value));
  $("theme").title = $("theme").getAttribute("aria-label") + " (T)";
}
theme();
$("theme").onclick = () => theme(themes[(themes.indexOf(localStorage.getItem("theme")) + 1) % 3]);
$("help-open").onclick = () => $("help").showModal();
document.addEventListener("click", (e) => {
  for (const d of document.querySelectorAll("details.menu[open]"))
    if (!d.contains(e.target)) d.open = false;
});
$("keys-on").checked = localStorage.getItem("keys") !== "off";
$("keys-on").onchange = () => localStorage.setItem("keys", $("keys-on").checked ? "on" : "off");
const shortcuts = {
  " ": () => $("pause").click(),
  1: () => post("clock", { speed: 1, running: true }),
  2: () => post("clock", { speed: 10, running: true }),
  3: () => post("clock", { speed: 60, running: true }),
  m: () => $("map-svg").focus(),
  e: () => $("expand-all").click(),
  n: nextAlarm,
  a: () => $("strength").focus(),
  c: () => $("cut").click(),
  r: () => $("from").focus(),
  b: () => $("moment").focus(),
  v: live,
  g: () => $("log-list").focus(),
  l: () => {
    $("legend").open = !$("legend").open;
  },
  t: () => $("theme").click(),
  "?": () => $("help").showModal(),
  "+": () => map.zoom(1.3),
  "-": () => map.zoom(1 / 1.3),
  0: () => map.fit(),
};
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape") {
    for (const d of document.querySelectorAll("details.menu[open]")) {
      d.open = false;
      d.querySelector("summary").focus();
    }
    return;
  }
  if (
    !$("keys-on").checked ||
    e.ctrlKey ||
    e.metaKey ||
    e.altKey ||
    $("help").open ||
    e.defaultPrevented
  )
    return;
  const t = e.target,
    typing = t.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (
    typing ||
    (t.matches("button, summary, a, input") && (e.key === " " || e.key === "Enter")) ||
    (t === $("map-svg") && "+-0".includes(e.key))
  )
    return;
  const act = shortcuts[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (act) {
    e.preventDefault();
    act();
  }
});

// -- the stream ----------------------------------------------------------------------------------
const grouped = (items, of, option) =>
  [...Map.groupBy(items, of)]
    .map(([g, list]) =>
      g
        ? `<optgroup label="${escape(g)}">${list.map(option).join("")}</optgroup>`
        : list.map(option).join(""),
    )
    .join("");
function hello(h) {
  const net = h.network,
    changed = state.net?.title !== net.title;
  Object.assign(state, {
    net,
    rows: h.links,
    t: h.t,
    running: h.running,
    speed: h.speed,
    client: h.client,
    replay: h.replay,
    log: h.log,
  });
  $("lost").hidden = true;
  document.body.classList.remove("stale");
  map.load(net, h.links);
  if (changed) {
    Object.assign(state, {
      keys: [],
      link: null,
      pair: null,
      before: null,
      route: null,
      detail: null,
      history: [],
    });
    map.way = null;
    map.placeRoute();
  }
  put($("net-title"), net.title);
  put($("net-note"), net.provenance);
  put($("about"), [`${net.title}. Reference: ${net.reference}.`, ...net.limits].join(" "));
  showHead.key = "";
  $("sentence").dataset.text = "";
  showReplay.key = "";
  showAdversaries.names = null;
  showRoute.key = null;
  showLegend(net);
  $("expand-all").hidden = !net.subnets.length;
  $("link-choice").innerHTML = grouped(
    net.links,
    (l) => l.subnet || "Between relays and other sites",
    (l) => `<option value="${escape(l.id)}">${escape(l.name)}</option>`,
  );
  const people = net.users.length ? net.users : net.nodes;
  $("from").innerHTML = $("to").innerHTML = grouped(
    people,
    (u) => u.subnet || u.sector,
    (u) => `<option>${escape(u.id)}</option>`,
  );
  $("replays").innerHTML =
    h.replays
      .map(
        (i) =>
          `<button data-replay="${i.id}" data-variant="${i.variant}">${escape(i.title)}</button>`,
      )
      .join("") + (h.replay ? `<button data-replay="">Back to the network</button>` : "");
  for (const b of $("replays").children)
    b.onclick = () => {
      post(
        "replay",
        b.dataset.replay ? { id: b.dataset.replay, variant: b.dataset.variant } : { id: null },
      );
      b.closest("details").open = false;
    };
  [$("from").value, $("to").value] =
    state.pair || (net.pair.length ? net.pair : people.slice(0, 2).map((u) => u.id));
  layCharts();
  drawLog();
  choose(state.link || net.first);
  const before = state.before;
  askRoute();
  state.before = before;
  showReplay();
}
// -- the recording -------------------------------------------------------------------------------
/** The chosen link at the moment of the recording: what its rows, the map and the log say of it. */
function pastLink() {
  const i = map.index.get(state.link),
    [, code, share, rate] = state.rows[i],
    t = state.past,
    events = state.log.filter((e) => e.link === state.link),
    lastOf = (...kinds) => events.filter((e) => kinds.includes(e.kind)).at(-1),
    attack = lastOf("attack", "attack-ends"),
    rang = lastOf("alarm", "back"),
    capacity = state.net.links[i].capacity,
    eve = attack?.kind === "attack" && state.rows[i][4];
  return {
    ...state.detail,
    id: state.link,
    t,
    row: state.history.filter((r) => r[0] <= t).at(-1) ?? null,
    state: code,
    stored: (share / 100) * capacity,
    capacity,
    rate: 1000 * rate,
    full: share >= 100,
    rang: rang?.kind === "alarm" ? rang.t : null,
    cause: rang?.kind === "alarm" ? rang.text : "",
    good: 0,
    adversary: null,
    since: null,
    truth: eve ? attack.text : "Nobody is on this link.",
  };
}
function showPast(p) {
  Object.assign(state, { t: p.t, rows: p.rows, head: p.head, log: p.log });
  map.update(p.rows);
  map.way = null;
  map.placeRoute();
  showClock();
  showHead();
  showReplay();
  drawLog();
  if (state.detail?.id === state.link) showLink(pastLink());
}
setUpRecording({
  hush: () => {
    stream?.close();
    choose(state.link); // its rows up to now
  },
  listen: () => listen(),
  show: showPast,
});

let dead = null,
  stream = null;
function listen() {
  const source = (stream = new EventSource("events"));
  const on = (name, f) =>
    source.addEventListener(name, (e) => {
      f(JSON.parse(e.data));
    });
  on("hello", hello);
  on("tick", (k) => {
    Object.assign(state, {
      t: k.t,
      running: k.running,
      speed: k.speed,
      over: k.over,
      pace: k.pace,
      head: k.head,
    });
    for (const r of k.links) state.rows[r[0]] = r;
    if (document.hidden) return;
    map.update(k.links);
    showClock();
    showHead();
    showReplay();
    followLive();
  });
  on("link", showLink);
  on("route", showRoute);
  on("log", addLog);
  source.onerror = () => {
    if (state.past !== null) return;
    $("lost").hidden = false;
    document.body.classList.add("stale");
    if (source.readyState === 2) {
      clearTimeout(dead);
      dead = setTimeout(listen, 1500);
    }
  };
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.net) {
    map.rows = state.rows.map((r) => [...r]);
    map.rows.forEach((_, i) => map.paint(i, true));
    map.hubs.forEach((h) => map.paintHub(h));
  }
});
if (matchMedia("(min-width: 700px)").matches) $("legend").open = true;
listen();
