// How numbers, times and states are written; nothing here knows of the network.
export const $ = (id) => document.getElementById(id);
export const NBSP = "\u00a0";
export const count = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
export const bits = (n) => {
  const [v, u] =
    n >= 1e9
      ? [n / 1e9, "Gbit"]
      : n >= 1e6
        ? [n / 1e6, "Mbit"]
        : n >= 1e3
          ? [n / 1e3, "kbit"]
          : [n, "bit"];
  return (
    (v >= 100 || u === "bit" ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2)) + NBSP + u
  );
};
export const percent = (x, d = 1) => (100 * x).toFixed(d) + NBSP + "%";
export const STATE_WORDS = ["in service", "store low", "alarm", "on trial", "down", "no new key"];
export const STATE_ICONS = ["up", "low", "alarm", "proving", "down", "idle"];
export const put = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};
export const clock = (t) => {
  const s = Math.floor(Math.abs(t));
  return (
    (t < 0 ? "−" : "") +
    [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60]
      .map((v) => String(v).padStart(2, "0"))
      .join(":")
  );
};
export const escape = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
export const icon = (s) =>
  `<svg class="state-icon s${s}" aria-hidden="true"><use href="#i-${STATE_ICONS[s]}"/></svg>`;
export const power = (n) => String(n).replace(/\d/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
export const scientific = (x) => {
  const [a, b] = x.toExponential(1).split("e");
  return `${a.replace(".0", "")} × 10⁻${power(b.slice(1))}`;
};
