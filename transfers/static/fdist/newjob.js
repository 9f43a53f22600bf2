// The form of a new job: completes paths, shows the plan as it is typed, and puts what is wrong beside its field.
import { make, part } from "./dom.js";
import { size } from "./words.js";

const PLAN_MS = 500;
const PATHS_MS = 150;
const form = part("new-job");
const source = part("id_source");
const list = part("paths");

// --- the plan
let planTimer = 0;
let planAsked = null;

function planSoon() {
  clearTimeout(planTimer);
  planTimer = setTimeout(plan, PLAN_MS);
}

async function plan() {
  if (!source.value.trim()) return;
  planAsked?.abort();
  planAsked = new AbortController();
  part("plan").classList.add("old");
  try {
    const answer = await fetch(form.dataset.preview, { method: "POST", body: new FormData(form), signal: planAsked.signal });
    if (!answer.ok) throw new Error(`the site answered with ${answer.status}`);
    const { plan: html, errors } = await answer.json();
    showErrors(errors);
    if (html) part("plan").innerHTML = html; // ours, and escaped by the template
    else part("plan").replaceChildren(make("p", "muted", "No plan yet: see what is marked in the form."));
  } catch (error) {
    if (error.name === "AbortError") return;
    part("plan").replaceChildren(make("p", "muted", `The plan cannot be shown: ${error.message}.`));
  }
  part("plan").classList.remove("old");
}

function showErrors(errors) {
  for (const element of form.querySelectorAll("[id$='-error']")) {
    const name = element.id.slice(0, -"-error".length);
    const text = errors[name] ?? "";
    if (element.textContent !== text) element.textContent = text;
    if (name === "__all__") element.hidden = !text;
    element.closest("[data-field]")?.classList.toggle("wrong", Boolean(text));
    const input = form.elements[name];
    if (input instanceof Element) input.setAttribute("aria-invalid", String(Boolean(text)));
  }
}

// --- which nodes
function showWho() {
  const who = form.elements.who.value;
  for (const element of form.querySelectorAll("[data-who]")) element.hidden = element.dataset.who !== who;
}

for (const button of form.querySelectorAll("[data-label]")) {
  button.addEventListener("click", () => {
    const field = form.elements.labels;
    const there = field.value.split(",").map((each) => each.trim()).filter(Boolean);
    const key = button.dataset.label.split("=")[0];
    field.value = [...there.filter((each) => each.split("=")[0] !== key), button.dataset.label].join(",");
    planSoon();
  });
}

// --- paths
let pathsTimer = 0;
let pathsAsked = null;
let chosen = -1;

async function paths() {
  pathsAsked?.abort();
  pathsAsked = new AbortController();
  try {
    const address = `${form.dataset.paths}?q=${encodeURIComponent(source.value)}`;
    const answer = await fetch(address, { signal: pathsAsked.signal });
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
  planSoon();
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

form.addEventListener("input", planSoon);
form.addEventListener("change", () => {
  showWho();
  planSoon();
});
form.addEventListener("submit", (event) => {
  if (event.submitter?.name === "preview") {
    event.preventDefault();
    plan();
  }
});
showWho();
if (source.value.trim()) planSoon();
