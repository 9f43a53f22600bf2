// The one stream of a page. A page that is hidden for a while lets go of it, since a browser opens six connections to a
// site at most, and begins anew when it is looked at again.
import { part, write } from "./dom.js";

const HIDDEN_MS = 20_000;

// handlers: {start, update, ...}: event name -> function of its data. "start" brings everything.
export function follow(url, handlers) {
  let events = null;
  let over = false;
  let timer = 0;
  const link = part("link");
  const say = (text, kind = "") => {
    write(link, text);
    link.className = `live ${kind}`;
  };

  function open() {
    if (events || over) return;
    events = new EventSource(url);
    for (const [name, handle] of Object.entries(handlers)) {
      events.addEventListener(name, (event) => {
        if (name === "start") say("updating", "on");
        handle(JSON.parse(event.data));
      });
    }
    events.addEventListener("end", () => {
      over = true;
      close();
      say("");
    });
    events.addEventListener("error", () => {
      const closed = events?.readyState === EventSource.CLOSED;
      say(closed ? "no longer live: reload the page" : "connection lost, trying again", "off");
      if (closed) events = null;
    });
  }

  function close() {
    events?.close();
    events = null;
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN_MS);
    else open();
  });
  open();
}
