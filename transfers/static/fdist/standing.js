// The page of a standing distribution: what changes is asked for again and again, and replaced where it differs.
import { part, write } from "./dom.js";
import { showTimes } from "./times.js";

const EVERY_MS = 2000;
const LATER_MS = 10_000; // after an answer that did not come

const changing = part("changing");
const state = part("state");
const link = part("link");
let before = "";

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.ask && !confirm(form.dataset.ask)) event.preventDefault();
  });
}

// Who reads on, types or selects is not disturbed.
function busy() {
  return changing.contains(document.activeElement) && document.activeElement.matches("input") || !getSelection().isCollapsed;
}

function show(text) {
  if (text === before || busy()) return;
  const fresh = new DOMParser().parseFromString(text, "text/html").body;
  const scrolled = changing.querySelector(".events")?.scrollTop ?? 0;
  changing.replaceChildren(...fresh.childNodes);
  const list = changing.querySelector(".events");
  if (list) list.scrollTop = scrolled;
  showTimes(changing);
  const now = changing.firstElementChild.dataset;
  write(state, now.shown);
  state.className = `state ${now.state}`;
  before = text;
}

async function look() {
  let wait = EVERY_MS;
  if (!document.hidden) {
    try {
      const address = new URL(location.href);
      address.searchParams.set("part", "1");
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      show(await answer.text());
      write(link, "updating");
      link.className = "live on";
    } catch {
      write(link, "connection lost, trying again");
      link.className = "live off";
      wait = LATER_MS;
    }
  }
  setTimeout(look, wait);
}

look();
