// The form of a new job or of a standing distribution: completes paths, shows the plan as it is typed, and puts what is wrong beside its field.
import { make, part } from "./dom.js";
import { completePaths } from "./paths.js";

const PLAN_MS = 500;
const form = document.querySelector("form[data-preview]");
const source = part("id_source"); // not where the source is fixed

// --- the plan
let planTimer = 0;
let planAsked = null;

function planSoon() {
  clearTimeout(planTimer);
  planTimer = setTimeout(plan, PLAN_MS);
}

async function plan() {
  if (source && !source.value.trim()) return;
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
if (source) completePaths(source, part("paths"), form.dataset.paths, planSoon);
if (!source || source.value.trim()) planSoon();
