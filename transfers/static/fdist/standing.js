// The live page of a standing distribution: follows its events (see transfers/live/standing.py) and shows what they bring.
import { asking, fill, make, part, write } from "./dom.js";
import { Pieces } from "./parts.js";
import { follow } from "./stream.js";

const root = part("standing");
const forms = [...document.querySelectorAll("form[data-act]")];
const pieces = new Pieces((name) => root.querySelector(`[data-part="${name}"]`));
const back = part("back");

function take(message) {
  write(part("state"), message.shown);
  part("state").className = `state ${message.state}`;
  for (const form of forms) form.hidden = !message.acts.includes(form.dataset.act);
  if (back) {
    fill(back.elements.version, message.earlier, () => make("option"), (option, number) => write(option, String(number)));
    const card = back.closest("section");
    card.hidden = !message.earlier.length && !card.querySelector("form:not([data-act])");
  }
  pieces.take(message.parts);
}

function end() {
  write(part("state"), "ended");
  part("state").className = "state";
  for (const form of document.querySelectorAll("form[data-ask]")) form.hidden = true;
}

asking(document.querySelectorAll("form[data-ask]"));
follow(root.dataset.events, { start: take, update: take, end });
