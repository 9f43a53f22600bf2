// Paths of the bucket, offered while one is typed; taken by keys or by the pointer.
import { make } from "./dom.js";
import { size } from "./words.js";

const PATHS_MS = 150;

// source: the input; list: where they are offered; address: who knows them; taken: called when one was.
export function completePaths(source, list, address, taken) {
  let pathsTimer = 0;
  let pathsAsked = null;
  let chosen = -1;

  async function paths() {
    pathsAsked?.abort();
    pathsAsked = new AbortController();
    try {
      const asked = `${address}?q=${encodeURIComponent(source.value)}`;
      const answer = await fetch(asked, { signal: pathsAsked.signal });
      if (!answer.ok) return close();
      const found = await answer.json();
      if (document.activeElement === source) show(found.paths);
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  }

  function show(found) {
    chosen = -1;
    list.replaceChildren(
      ...found.map(({ path, kind, size: bytes }, index) => {
        const item = make("li", "", make("span", "", path), make("span", "muted small", bytes == null ? kind : size(bytes)));
        item.id = `path-${index}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.dataset.path = path;
        return item;
      }),
    );
    list.hidden = !found.length || (found.length === 1 && found[0].path === source.value);
    source.setAttribute("aria-expanded", String(!list.hidden));
  }

  function close() {
    list.hidden = true;
    chosen = -1;
    source.setAttribute("aria-expanded", "false");
    source.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    const items = [...list.children];
    if (!items.length) return;
    chosen = (index + items.length) % items.length;
    items.forEach((item, place) => item.setAttribute("aria-selected", String(place === chosen)));
    items[chosen].scrollIntoView({ block: "nearest" });
    source.setAttribute("aria-activedescendant", items[chosen].id);
  }

  function take(path) {
    source.value = path;
    close();
    if (path.endsWith("/")) paths(); // and what is in there
    taken();
  }

  source.addEventListener("input", () => {
    clearTimeout(pathsTimer);
    pathsTimer = setTimeout(paths, PATHS_MS);
  });
  // Not on focus: the page opens with it, and a list over the rest of the form is not what was asked for.
  source.addEventListener("click", () => {
    if (!source.value.trim() || source.value.endsWith("/")) paths();
  });
  source.addEventListener("blur", close);
  source.addEventListener("keydown", (event) => {
    if (list.hidden) {
      if (event.key === "ArrowDown") paths();
      return;
    }
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen < 0 ? -1 : chosen - 1);
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(list.children[chosen].dataset.path);
    else return;
    if (event.key !== "Tab") event.preventDefault();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const item = event.target.closest("li");
    if (item) take(item.dataset.path);
  });
  // The field has the focus from the start: somebody may have typed before this was here.
  if (source.value !== source.defaultValue && document.activeElement === source) paths();
}
