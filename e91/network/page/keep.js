// Pictures and data to keep.
import { make } from "./charts.js";
import { state } from "./room.js";
import { $, clock } from "./words.js";

async function drawing() {
  const svg = $("map-svg").cloneNode(true),
    { width, height } = $("map-svg").getBoundingClientRect();
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("width", width);
  svg.setAttribute("height", height + 28);
  svg.setAttribute("viewBox", `0 0 ${width} ${height + 28}`);
  const style = getComputedStyle(document.documentElement),
    names = [
      "ink",
      "muted",
      "line",
      "map",
      "panel",
      "up",
      "low",
      "alarm",
      "proving",
      "down",
      "idle",
      "eve",
      "hull",
      "tube",
      "alarm-ink",
    ];
  const css = await (await fetch("style.css")).text(),
    start = css.indexOf("/* map:"),
    end = css.indexOf("/* end of map */");
  const variables = `svg{${names.map((n) => `--${n}:${style.getPropertyValue("--" + n).trim()}`).join(";")};font-family:${getComputedStyle(document.body).fontFamily}}`;
  svg.querySelector(".focus")?.remove();
  const defs = document.querySelector(".defs defs").cloneNode(true);
  svg.prepend(
    defs,
    make("style", {}, null, variables + css.slice(start, end)),
    make("rect", { width: "100%", height: "100%", class: "paper" }),
  );
  make(
    "text",
    { x: 12, y: height + 17, class: "caption" },
    svg,
    `${state.net.title}, ${clock(state.t)} simulated time. ${state.net.reference}`,
  );
  return { text: new XMLSerializer().serializeToString(svg), width, height: height + 28 };
}
function save(blob, name) {
  const a = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob),
    download: `${state.net.name}-${name}`,
  });
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 5000);
}
const exports_ = {
  async svg() {
    save(new Blob([(await drawing()).text], { type: "image/svg+xml" }), "map.svg");
  },
  async png() {
    const { text, width, height } = await drawing(),
      image = new Image();
    image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), {
        width: 2 * width,
        height: 2 * height,
      }),
      pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.drawImage(image, 0, 0);
    canvas.toBlob((b) => save(b, "map.png"), "image/png");
  },
  link() {
    const rows = [
      ["t_s", "S", "S_bound", "QBER", "pool_bits", "rate_bits_per_s", "evidence_nats"],
      ...state.history,
    ];
    save(
      new Blob([rows.map((r) => r.join()).join("\r\n") + "\r\n"], { type: "text/csv" }),
      `${state.link.replaceAll(/\W/g, "-")}.csv`,
    );
  },
};
for (const b of document.querySelectorAll("[data-export]"))
  b.onclick = () => {
    exports_[b.dataset.export]();
    b.closest("details").open = false;
  };
