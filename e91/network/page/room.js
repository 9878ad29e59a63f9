// What the page knows of the network, and how it asks the server for something.
import { put } from "./words.js";

export const state = {
  pace: null,
  over: false,
  net: null,
  rows: [],
  head: null,
  t: 0,
  running: true,
  speed: 1,
  link: null,
  pair: null,
  keys: [],
  detail: null,
  history: [],
  route: null,
  log: [],
  client: null,
  replay: false,
  past: null, // the time of the recording that is looked at; null while the page is live
};
window.room = state; // for tests

const live = document.body.appendChild(
  Object.assign(document.createElement("p"), { className: "hidden" }),
);
live.setAttribute("aria-live", "polite");
export const say = (text) => put(live, text);

export async function post(verb, body) {
  const answer = await fetch("api/" + verb, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) say((await answer.json()).error);
}
