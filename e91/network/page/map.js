// The map: positions scale with the zoom, symbols do not. Only attributes whose value changed are written.
import { make } from "./charts.js";

const FAN = 60,
  GAUGE = 26;
const WORLD = [1400, 620]; // units in which the map is laid out, whatever its kilometres
const SHAPES = {
  government: "square",
  military: "triangle",
  finance: "diamond",
  electricity: "disc",
};
const OTHER_SHAPES = ["square", "triangle", "diamond", "disc"];
/** The symbol of a sector; colour belongs to states alone. */
export const shapeOf = (sector, sectors) =>
  sector ? (SHAPES[sector] ?? OTHER_SHAPES[sectors.indexOf(sector) % 4]) : "user";
const plural = (n, w) => `${n} ${w}${n === 1 ? "" : "s"}`;

export class NetworkMap {
  constructor(svg, on) {
    this.svg = svg;
    this.on = on; // {chooseLink, announce}
    this.layers = {};
    this.open = new Set();
    this.view = { k: 1, x: 0, y: 0 };
    this.widening = 1;
    this.at = null; // roving focus
    new ResizeObserver(() => this.resize()).observe(svg);
    this.pointers = new Map();
    svg.addEventListener("pointerdown", (e) => {
      svg.classList.add("by-hand");
      this.down(e);
    });
    svg.addEventListener("pointermove", (e) => this.move(e));
    for (const end of ["pointerup", "pointercancel", "pointerleave"])
      svg.addEventListener(end, (e) => this.pointers.delete(e.pointerId));
    svg.addEventListener(
      "wheel",
      (e) => {
        e.preventDefault();
        const b = svg.getBoundingClientRect();
        this.zoom(Math.exp(-e.deltaY * 0.0016), e.clientX - b.left, e.clientY - b.top);
      },
      { passive: false },
    );
    svg.addEventListener("click", (e) => this.click(e));
    svg.addEventListener("keydown", (e) => this.key(e));
    svg.addEventListener("blur", () => {
      this.at = null;
      this.ring();
    });
  }

  // -- what is drawn -----------------------------------------------------------------------------
  load(network, rows) {
    this.net = network;
    this.measure(network);
    this.rows = rows.map((r) => [...r]);
    this.index = new Map(network.links.map((l, i) => [l.id, i]));
    this.relay = new Map(network.nodes.map((n) => [n.id, n]));
    this.subnet = new Map(network.subnets.map((s) => [s.id, s]));
    this.ofSubnet = new Map(network.subnets.map((s) => [s.id, []]));
    network.links.forEach((l, i) => l.subnet && this.ofSubnet.get(l.subnet).push(i));
    this.userOf = new Map(network.users.map((u) => [u.id, u]));
    this.small = !network.subnets.length;
    const met = new Map();
    this.bends = network.links.map((l) => {
      const pair = [l.a, l.b].sort().join("\n"),
        n = met.get(pair) || 0;
      met.set(pair, n + 1);
      return (l.kind === "sky" ? 0.07 : 0) + (n % 2 ? -0.12 : 0.12) * Math.ceil(n / 2);
    });
    this.open.clear();
    this.late?.clear();
    this.svg.replaceChildren();
    for (const name of ["casing", "links", "users", "nodes", "gauges", "eves", "labels", "focus"])
      this.layers[name] = make("g", { class: name }, this.svg);
    this.core = []; // {i, path, hit, gauge, fill, badge}
    network.links.forEach((l, i) => l.kind !== "access" && this.core.push(this.makeLink(l, i)));
    this.hubs = network.subnets.map((s) => this.makeHub(s));
    this.stations = network.nodes.map((n) => this.makeNode(n));
    this.users = new Map();
    this.fit();
    this.rows.forEach((r) => this.paint(r[0], true));
    this.hubs.forEach((h) => this.paintHub(h));
  }

  /** Scale kilometres to the units of the map, alike in both directions. */
  measure(network) {
    const all = [...network.nodes, ...network.subnets];
    const side = (f) => {
      const v = all.map((n) => n[f]);
      return [Math.min(...v), Math.max(...v)];
    };
    const [x0, x1] = side("x"),
      [y0, y1] = side("y");
    this.unit = Math.min(
      WORLD[0] / Math.max(x1 - x0, 1e-6),
      WORLD[1] / Math.max(y1 - y0, 1e-6),
      1e6,
    );
    if (x1 === x0 && y1 === y0) this.unit = 1;
    for (const n of [...all, ...network.users]) {
      n.x = (n.x - x0) * this.unit;
      n.y = (n.y - y0) * this.unit;
    }
    this.crowd = Math.min(1, Math.sqrt(27 / all.length)); // many symbols are small until one zooms
    if (network.assumed) this.part(network);
  }

  /** Move the switches of a drawing apart, outwards from their relays; relays stay where they are. */
  part(network) {
    const free = network.subnets,
      near = 112 * this.crowd,
      middle = { x: WORLD[0] / 2, y: WORLD[1] / 2 };
    const relay = new Map(network.nodes.map((n) => [n.id, n]));
    const halfway = network.links
      .filter((l) => l.kind !== "access")
      .map((l) => {
        const a = relay.get(l.a),
          b = relay.get(l.b);
        return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
      });
    const fixed = [...network.nodes, ...halfway];
    for (let round = 0; round < 120; round++)
      for (const s of free) {
        let dx = 0,
          dy = 0;
        for (const o of [...fixed, ...free]) {
          const x = s.x - o.x,
            y = s.y - o.y,
            far = Math.hypot(x, y);
          if (o !== s && far < near) {
            const push = (near - far) / (2 * Math.max(far, 1));
            dx += x * push;
            dy += y * push;
          }
        }
        const r = relay.get(s.relay),
          out = Math.hypot(r.x - middle.x, r.y - middle.y) || 1;
        if (dx || dy) {
          dx += (3 * (r.x - middle.x)) / out;
          dy += (3 * (r.y - middle.y)) / out;
        }
        const home = Math.hypot(s.x - r.x, s.y - r.y) - 1.9 * near; // but not far from its relay
        if (home > 0) {
          dx -= ((s.x - r.x) * home) / (home + 2 * near);
          dy -= ((s.y - r.y) * home) / (home + 2 * near);
        }
        s.x += 0.5 * dx;
        s.y += 0.5 * dy;
      }
  }

  makeLink(l, i) {
    const path = make("path", { class: "link" }, this.layers.links);
    const hit = make("path", { class: "hit", "data-link": l.id }, this.layers.links);
    const g = make("g", { class: "gauge", "data-link": l.id }, this.layers.gauges);
    make(
      "rect",
      { class: "pad", x: -GAUGE / 2 - 5, y: -11, width: GAUGE + 10, height: 22, rx: 4 },
      g,
    );
    make("rect", { class: "tube", x: -GAUGE / 2, y: -4, width: GAUGE, height: 8, rx: 2 }, g);
    const fill = make(
      "rect",
      { class: "fill", x: -GAUGE / 2 + 1.5, y: -2.5, width: 0, height: 5, rx: 1 },
      g,
    );
    const badge = make("use", { class: "badge", x: -9, y: -25, width: 18, height: 18 }, g);
    const title = make("title", {}, g);
    const eve = make("g", { class: "eve" }, this.layers.eves);
    make("circle", { r: 10 }, eve);
    make("use", { href: "#i-eve", x: -7, y: -7, width: 14, height: 14 }, eve);
    make("title", {}, eve, "Simulator only: somebody is on this link");
    return { i, l, path, hit, g, fill, badge, title, eve, key: "" };
  }

  makeHub(s) {
    const g = make("g", { class: "hub", "data-hub": s.id }, this.layers.nodes);
    const trunk = make("path", { class: "link trunk" }, this.layers.links);
    make("circle", { class: "disc", r: 14 }, g);
    const arc = make("path", { class: "arc" }, g);
    make("text", { y: 4, class: "count" }, g, s.users);
    const badge = make("use", { class: "badge", x: 6, y: -22, width: 16, height: 16 }, g);
    const title = make("title", {}, g);
    const gauge = make("g", { class: "gauge small" }, this.layers.gauges);
    make("rect", { class: "tube", x: -10, y: -3, width: 20, height: 6, rx: 1.5 }, gauge);
    const fill = make(
      "rect",
      { class: "fill s0", x: -9, y: -2, width: 0, height: 4, rx: 1 },
      gauge,
    );
    const label = make("text", { class: "name" }, this.layers.labels, s.id);
    return { s, g, trunk, arc, badge, title, gauge, fill, label, key: "" };
  }

  makeNode(n) {
    const g = make(
      "g",
      { class: "station " + (n.kind === "user" ? "person" : n.kind), "data-node": n.id },
      this.layers.nodes,
    );
    const half = Math.max(14, n.id.length * 3.6 + 8);
    if (n.kind === "ground") {
      make("path", { d: "M-13 6a13 13 0 0 1 26 0z", class: "body" }, g);
      make("path", { d: "M0 -7V-15M-4 -12 0 -16 4 -12", class: "mast" }, g);
    } else if (n.kind === "user") {
      make("circle", { r: 11, class: "disc" }, g);
      make(
        "use",
        {
          href: "#s-" + shapeOf(n.sector, this.net.sectors),
          x: -6,
          y: -6,
          width: 12,
          height: 12,
          class: "sector",
        },
        g,
      );
    } else
      make(
        "path",
        {
          d: `M${-half} 0L${7 - half} -12.500H${half - 7}L${half} 0L${half - 7} 12.500H${7 - half}z`,
          class: "body",
        },
        g,
      );
    if (n.kind === "relay") make("text", { y: 4, class: "inner" }, g, n.id);
    make("title", {}, g, this.what(n));
    const label =
      n.kind === "relay" ? null : make("text", { class: "name strong" }, this.layers.labels, n.id);
    return { n, g, label };
  }

  what(n) {
    return {
      ground: `${n.id}: ground station and trusted relay`,
      relay: `${n.id}: trusted relay`,
      user: `${n.id}: user`,
    }[n.kind];
  }

  // -- geometry ----------------------------------------------------------------------------------
  P(n) {
    const [x, y] = this.tall ? [n.y, n.x] : [n.x * this.widening, n.y]; // only a drawing may turn and widen
    return [x * this.view.k + this.view.x, y * this.view.k + this.view.y];
  }

  resize() {
    const b = this.svg.getBoundingClientRect();
    if (!b.width || (b.width === this.w && b.height === this.h)) return;
    this.w = b.width;
    this.h = b.height;
    this.svg.setAttribute("viewBox", `0 0 ${this.w} ${this.h}`);
    this.svg.parentNode.style.setProperty("--map-h", this.h + "px");
    if (this.net) this.fit();
  }

  fit() {
    if (!this.w) return;
    const free = this.net.assumed;
    this.tall = free && this.w < this.h * 0.9;
    const all = [...this.net.nodes, ...this.net.subnets],
      pad = this.tall ? 60 : 72;
    const side = (f) => {
      const v = all.map((n) => n[f]);
      return [Math.min(...v) - pad, Math.max(...v) + pad];
    };
    const [xs, ys] = this.tall ? [side("y"), side("x")] : [side("x"), side("y")],
      top = this.net.marks.length ? 150 : 6,
      bottom = this.tall ? 86 : 24;
    const high = ys[1] - ys[0],
      k = Math.min((this.w - 20) / (xs[1] - xs[0]), (this.h - top - bottom) / high, 2);
    this.widening =
      this.tall || !free ? 1 : Math.max(1, Math.min(1.45, (this.w - 60) / ((xs[1] - xs[0]) * k)));
    const wide = (xs[1] - xs[0]) * this.widening;
    this.home = {
      k,
      x: (this.w - 44 * (this.w > 700) - wide * k) / 2 - xs[0] * this.widening * k,
      y: top + (this.h - top - bottom - high * k) / 2 - ys[0] * k,
    };
    this.view = { ...this.home };
    this.place();
  }

  zoom(factor, cx = this.w / 2, cy = this.h / 2) {
    const k = Math.min(6, Math.max(this.home.k * 0.6, this.view.k * factor)),
      f = k / this.view.k;
    this.view = { k, x: cx - (cx - this.view.x) * f, y: cy - (cy - this.view.y) * f };
    this.soon();
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.place();
    });
  }

  line(a, b, bend = 0) {
    const [x1, y1] = this.P(a),
      [x2, y2] = this.P(b);
    if (!bend)
      return {
        d: `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`,
        at: (t) => [x1 + (x2 - x1) * t, y1 + (y2 - y1) * t],
      };
    const cx = (x1 + x2) / 2 + (y2 - y1) * bend,
      cy = (y1 + y2) / 2 - (x2 - x1) * bend;
    const at = (t) => [
      (1 - t) ** 2 * x1 + 2 * t * (1 - t) * cx + t * t * x2,
      (1 - t) ** 2 * y1 + 2 * t * (1 - t) * cy + t * t * y2,
    ];
    return {
      d: `M${x1.toFixed(1)} ${y1.toFixed(1)}Q${cx.toFixed(1)} ${cy.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`,
      at,
    };
  }

  bend(l) {
    return this.bends[this.index.get(l.id)];
  }
  end(id) {
    return this.relay.get(id);
  }

  place() {
    if (!this.net || !this.w) return;
    const put = (g, x, y, s = 1) =>
      g.setAttribute(
        "transform",
        `translate(${x.toFixed(1)} ${y.toFixed(1)})` + (s === 1 ? "" : ` scale(${s.toFixed(2)})`),
      );
    const near = Math.max(0.86, Math.min(1.2, this.view.k / 0.62));
    const size = (this.size = near * Math.min(1, (this.crowd * this.view.k) / this.home.k));
    const named = size > 0.7 * near;
    this.spots = [];
    for (const c of this.core) {
      const g = this.line(this.end(c.l.a), this.end(c.l.b), this.bend(c.l));
      c.path.setAttribute("d", g.d);
      c.hit.setAttribute("d", g.d);
      const tried = [0.5, 0.36, 0.64, 0.26, 0.74].map(g.at),
        free = tried.find((p) =>
          this.spots.every((s) => Math.hypot(s.x - p[0], s.y - p[1]) > 34 * size),
        );
      const [x, y] = free || tried[0];
      put(c.g, x, y, size);
      put(c.eve, x, y + 24 * size, size);
      this.spots.push({ x, y, link: c.l.id });
    }
    for (const s of this.stations) {
      const [x, y] = this.P(s.n);
      put(s.g, x, y, size);
      s.label && (s.label.setAttribute("x", x), s.label.setAttribute("y", y + 22 * size));
      this.spots.push({ x, y, node: s.n.id });
    }
    for (const h of this.hubs) {
      const [x, y] = this.P(h.s),
        [rx, ry] = this.P(this.relay.get(h.s.relay));
      h.trunk.setAttribute(
        "d",
        `M${rx.toFixed(1)} ${ry.toFixed(1)}L${x.toFixed(1)} ${y.toFixed(1)}`,
      );
      const open = this.open.has(h.s.id),
        s = open ? size * 0.55 : size,
        out = Math.sign(y - ry) || 1;
      put(h.g, x, y, s);
      put(h.gauge, x + (rx - x) * 0.47, y + (ry - y) * 0.47, size);
      h.gauge.setAttribute(
        "visibility",
        open || Math.hypot(rx - x, ry - y) < 62 * size ? "hidden" : "visible",
      );
      h.label.setAttribute("x", x + (open ? (rx - x) * 0.42 : 0));
      const short =
        h.s.id.startsWith(h.s.relay + ".") && (this.w < 600 || open)
          ? h.s.id.slice(h.s.relay.length + 1)
          : h.s.id;
      if (h.label.textContent !== short) h.label.textContent = short;
      h.label.setAttribute(
        "y",
        open ? y + (ry - y) * 0.42 + 4 : y + (out > 0 ? 28 * size : -20 * size),
      );
      h.label.setAttribute("visibility", named || open ? "visible" : "hidden");
      h.label.classList.toggle("open", open);
      this.spots.push({ x, y, hub: h.s.id });
      h.at = [x, y];
      if (open) this.placeUsers(h, x, y, rx, ry);
    }
    this.placeRoute();
    this.on.moved?.(this.unit * this.view.k);
    this.ring();
  }

  placeUsers(h, x, y, rx, ry) {
    const base = Math.atan2(y - ry, x - rx),
      ids = this.ofSubnet.get(h.s.id),
      n = ids.length,
      spread = Math.min(4.1, 0.42 * n);
    ids.forEach((i, j) => {
      const u = this.users.get(i),
        angle = base + (n > 1 ? j / (n - 1) - 0.5 : 0) * spread,
        radius = Math.max(30, FAN * this.view.k * (j % 2 ? 1.28 : 0.9));
      const [ux, uy] = this.net.assumed
          ? [x + Math.cos(angle) * radius, y + Math.sin(angle) * radius]
          : this.P(this.userOf.get(u.l.user)),
        s = Math.max(0.8, Math.min(1.5, this.view.k));
      u.at = [ux, uy];
      u.path.setAttribute(
        "d",
        `M${x.toFixed(1)} ${y.toFixed(1)}L${ux.toFixed(1)} ${uy.toFixed(1)}`,
      );
      u.g.setAttribute(
        "transform",
        `translate(${ux.toFixed(1)} ${uy.toFixed(1)}) scale(${s.toFixed(2)})`,
      );
      if (u.g.classList.contains("tiny") !== this.view.k < 0.95) {
        u.g.classList.toggle("tiny");
        this.paint(i, false);
      }
      u.g.classList.toggle("far", this.view.k <= 1.05);
      this.spots.push({ x: ux, y: uy, link: this.net.links[i].id });
    });
  }

  // -- states ------------------------------------------------------------------------------------
  update(changed) {
    // A state shows at once; levels and rates, which nobody reads five times a second, once a second.
    this.late ??= new Set();
    const hubs = new Set();
    for (const r of changed) {
      const was = this.rows[r[0]],
        subnet = this.net.links[r[0]].subnet;
      this.rows[r[0]] = r;
      if (was[1] === r[1] && was[4] === r[4]) {
        this.late.add(r[0]);
        continue;
      }
      this.paint(r[0], was[1] !== r[1]);
      if (subnet) hubs.add(subnet);
    }
    if (performance.now() > (this.due || 0)) {
      this.due = performance.now() + 950;
      for (const i of this.late) {
        this.paint(i, false);
        if (this.net.links[i].subnet) hubs.add(this.net.links[i].subnet);
      }
      this.late.clear();
    }
    if (hubs.size) for (const h of this.hubs) if (hubs.has(h.s.id)) this.paintHub(h);
  }

  paint(i, all) {
    const [, state, pool, rate, eve] = this.rows[i],
      l = this.net.links[i];
    const u = this.users.get(i),
      width =
        l.kind === "access" ? 0.7 + 0.6 * Math.log10(1 + rate) : 1.2 + 1.6 * Math.log10(1 + rate);
    const c = l.kind === "access" ? u : this.core.find((c) => c.i === i);
    if (!c) return;
    const tiny = l.kind === "access" && this.view.k < 0.95; // its gauge is not shown
    const key = `${state} ${tiny ? "" : pool} ${width.toFixed(1)} ${eve}`;
    if (key === c.key) return;
    c.key = key;
    if (all || c.state !== state) {
      c.state = state;
      c.hit?.setAttribute("class", `hit s${state}`);
      c.path.setAttribute(
        "class",
        `link s${state}${l.kind === "access" ? " access" : ""}${l.kind === "sky" ? " skylink" : ""}`,
      );
      c.fill.setAttribute("class", `fill s${state}`);
      c.badge.setAttribute("class", `badge s${state}`);
      c.badge.setAttribute("href", state ? "#i-" + this.net.states[state] : "");
      c.badge.style.display = state && state !== 5 ? "" : "none";
      c.title.textContent = `${l.name}: ${this.net.states[state]}`;
    }
    c.path.style.strokeWidth = (state === 4 ? 2.5 : state === 2 ? 3.5 : width).toFixed(1);
    const full = l.kind === "access" ? 12 : GAUGE - 3;
    if (!tiny) c.fill.setAttribute("width", ((full * pool) / 100).toFixed(1));
    c.eve.style.display = eve && this.truth !== false ? "" : "none";
  }

  paintHub(h) {
    const ids = this.ofSubnet.get(h.s.id),
      states = ids.map((i) => this.rows[i][1]);
    const bad = states.filter((s) => s >= 1 && s <= 4),
      worst = states.includes(2)
        ? 2
        : states.includes(4)
          ? 4
          : states.includes(3)
            ? 3
            : states.includes(1)
              ? 1
              : 0;
    const pool = Math.round(ids.reduce((a, i) => a + this.rows[i][2], 0) / ids.length / 4) * 4;
    const key = [worst, bad.length, pool].join();
    if (key === h.key) return;
    h.key = key;
    h.fill.setAttribute("width", ((18 * pool) / 100).toFixed(1));
    h.g.setAttribute("class", `hub w${worst}${this.open.has(h.s.id) ? " open" : ""}`);
    h.badge.setAttribute("class", `badge s${worst}`);
    h.badge.setAttribute("href", worst ? "#i-" + this.net.states[worst] : "");
    h.badge.style.display = worst ? "" : "none";
    h.title.textContent = `${h.s.id}: ${plural(ids.length, "user")}, ${bad.length ? bad.length + " not well" : "all well"}. Click to ${this.open.has(h.s.id) ? "fold" : "show"} them.`;
    const f = bad.length / ids.length,
      a = Math.max(f, 0) * 2 * Math.PI;
    h.arc.setAttribute("class", `arc s${worst}`);
    h.arc.setAttribute(
      "d",
      f
        ? `M0 -17A17 17 0 ${a > Math.PI ? 1 : 0} 1 ${(17 * Math.sin(Math.min(a, 6.28))).toFixed(1)} ${(-17 * Math.cos(Math.min(a, 6.28))).toFixed(1)}`
        : "",
    );
    h.trunk.setAttribute("class", `link trunk s${states.every((s) => s === 4) ? 4 : 0}`);
  }

  toggle(id, on = !this.open.has(id)) {
    const h = this.hubs.find((h) => h.s.id === id);
    if (!h || on === this.open.has(id)) return;
    if (on) {
      this.open.add(id);
      for (const i of this.ofSubnet.get(id)) {
        const l = this.net.links[i],
          path = make("path", { class: "link" }, this.layers.links);
        const g = make("g", { class: "user", "data-link": l.id }, this.layers.users);
        make("circle", { class: "pad", r: 8 }, g);
        make(
          "use",
          {
            class: "glyph",
            href: "#s-" + shapeOf(this.userOf.get(l.user)?.sector, this.net.sectors),
            x: -6,
            y: -6,
            width: 12,
            height: 12,
          },
          g,
        );
        make("rect", { class: "tube", x: -7, y: 7, width: 14, height: 4, rx: 1 }, g);
        const fill = make("rect", { class: "fill", x: -6, y: 8, width: 0, height: 2 }, g);
        const badge = make("use", { class: "badge", x: 2, y: -15, width: 14, height: 14 }, g);
        const eve = make("g", { class: "eve", transform: "translate(-12 -8)" }, g);
        make("circle", { r: 7 }, eve);
        make("use", { href: "#i-eve", x: -5, y: -5, width: 10, height: 10 }, eve);
        const label = make("text", { class: "user-name", y: 21 }, g, l.user);
        const title = make("title", {}, g);
        this.users.set(i, { i, l, path, g, fill, badge, eve, label, title, key: "" });
        this.paint(i, true);
      }
    } else {
      this.open.delete(id);
      for (const i of this.ofSubnet.get(id)) {
        const u = this.users.get(i);
        u.path.remove();
        u.g.remove();
        this.users.delete(i);
      }
    }
    h.key = "";
    this.paintHub(h);
    this.place();
    this.mark();
  }

  toggleAll() {
    const on = this.open.size < this.hubs.length;
    for (const h of this.hubs) this.toggle(h.s.id, on);
    return on;
  }

  choose(id) {
    this.chosen = id;
    const l = this.net?.links[this.index.get(id)];
    if (l?.subnet && !this.open.has(l.subnet)) this.toggle(l.subnet, true);
    this.mark();
    this.reveal(this.spots?.find((s) => s.link === id));
  }

  /** Bring a spot into sight, if it is out of it. */
  reveal(spot) {
    if (!spot || (spot.x > 30 && spot.x < this.w - 30 && spot.y > 30 && spot.y < this.h - 30))
      return;
    this.view.x += this.w / 2 - spot.x;
    this.view.y += this.h / 2 - spot.y;
    this.soon();
  }

  mark() {
    for (const c of [...this.core, ...this.users.values()])
      c.g.classList.toggle("chosen", c.l.id === this.chosen);
  }

  route(route) {
    this.way = route;
    this.placeRoute();
  }

  placeRoute() {
    const layer = this.layers.casing;
    if (!layer) return;
    const parts = [];
    for (const id of (this.way?.ways || []).flatMap((way) => way.links)) {
      const l = this.net.links[this.index.get(id)];
      if (!l) continue;
      if (l.kind !== "access") parts.push(this.line(this.end(l.a), this.end(l.b), this.bend(l)).d);
      else {
        const h = this.hubs.find((h) => h.s.id === l.subnet),
          u = this.users.get(this.index.get(id));
        parts.push(this.line(this.relay.get(h.s.relay), h.s).d);
        if (u?.at)
          parts.push(
            `M${h.at.map((v) => v.toFixed(1)).join(" ")}L${u.at.map((v) => v.toFixed(1)).join(" ")}`,
          );
      }
    }
    const d = parts.join("");
    if (d === this.wayD) return;
    this.wayD = d;
    layer.replaceChildren();
    if (d) {
      make("path", { d, class: "outer" }, layer);
      make("path", { d, class: "inner-way" }, layer);
    }
  }

  // -- steering -------------------------------------------------------------------------------------
  down(e) {
    this.pointers.set(e.pointerId, [e.clientX, e.clientY]);
    this.dragged = 0;
  }

  move(e) {
    const was = this.pointers.get(e.pointerId);
    if (!was) return;
    const b = this.svg.getBoundingClientRect(),
      now = [e.clientX, e.clientY];
    if (this.pointers.size === 1) {
      const dx = now[0] - was[0],
        dy = now[1] - was[1];
      this.dragged += Math.abs(dx) + Math.abs(dy);
      if (this.dragged > 4) {
        this.svg.setPointerCapture?.(e.pointerId);
        this.view.x += dx;
        this.view.y += dy;
        this.soon();
      }
    } else {
      const [p, q] = [...this.pointers.values()],
        before = Math.hypot(p[0] - q[0], p[1] - q[1]);
      this.pointers.set(e.pointerId, now);
      const [r, s] = [...this.pointers.values()],
        after = Math.hypot(r[0] - s[0], r[1] - s[1]);
      this.dragged = 99;
      if (before > 0)
        this.zoom(after / before, (r[0] + s[0]) / 2 - b.left, (r[1] + s[1]) / 2 - b.top);
    }
    this.pointers.set(e.pointerId, now);
  }

  click(e) {
    if (this.dragged > 4) return;
    const t = e.target.closest("[data-link],[data-hub]");
    if (!t) return;
    if (t.dataset.hub) this.unfold(t.dataset.hub);
    else this.on.chooseLink(t.dataset.link);
  }

  unfold(id) {
    this.toggle(id);
    if (this.open.has(id) && this.w < 600) {
      const h = this.hubs.find((h) => h.s.id === id);
      this.zoom(Math.max(1, 1.1 / this.view.k), ...h.at);
      this.view.x += this.w / 2 - h.at[0];
      this.view.y += this.h / 2 - h.at[1];
      this.soon();
    }
    this.on.announce(`${id} ${this.open.has(id) ? "unfolded" : "folded"}`);
  }

  key(e) {
    this.svg.classList.remove("by-hand");
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (arrows[e.key]) {
      e.preventDefault();
      const [dx, dy] = arrows[e.key],
        here = this.at || { x: this.w / 2, y: this.h / 2 };
      let best = null,
        score = Infinity;
      for (const s of this.spots) {
        const x = s.x - here.x,
          y = s.y - here.y,
          along = x * dx + y * dy,
          across = Math.abs(x * dy - y * dx);
        if (along < 6) continue;
        const v = along + 2.2 * across;
        if (v < score) {
          score = v;
          best = s;
        }
      }
      if (best) {
        this.at = best;
        this.reveal(best);
        this.ring();
        this.on.announce(this.name(best));
      }
    } else if ((e.key === "Enter" || e.key === " ") && this.at) {
      e.preventDefault();
      e.stopPropagation();
      if (this.at.hub) this.unfold(this.at.hub);
      else if (this.at.link) this.on.chooseLink(this.at.link);
    } else if (e.key === "+" || e.key === "=") this.zoom(1.3);
    else if (e.key === "-") this.zoom(1 / 1.3);
    else if (e.key === "0") this.fit();
    else if (e.key === "Escape") {
      this.at = null;
      this.ring();
    }
  }

  name(spot) {
    if (spot.hub) {
      const h = this.hubs.find((h) => h.s.id === spot.hub);
      return h.title.textContent;
    }
    if (spot.node) return this.what(this.relay.get(spot.node));
    const i = this.index.get(spot.link),
      r = this.rows[i];
    return `Link ${this.net.links[i].name}, ${this.net.states[r[1]]}, store ${r[2]} percent, ${r[3]} kilobit a second`;
  }

  ring() {
    const layer = this.layers.focus;
    if (!layer) return;
    layer.replaceChildren();
    if (!this.at) return;
    const same = this.spots.find(
      (s) => s.hub === this.at.hub && s.node === this.at.node && s.link === this.at.link,
    );
    if (!same) return;
    this.at = same;
    make("circle", { cx: same.x, cy: same.y, r: same.link ? 19 : 25, class: "focus-ring" }, layer);
  }
}
