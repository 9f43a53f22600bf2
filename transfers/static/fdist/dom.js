// What every live page needs: elements by their id, and changes that touch only what differs.
export const part = (id) => document.getElementById(id);
export const count = (number) => number.toLocaleString("en");

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Keeps the elements that are there and changes only what differs: thousands of updates cost little.
export function fill(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, index) => update(parent.children[index], item));
}

// An element with classes and children: make("span", "number muted", ...).
export function make(tag, classes = "", ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

// The id of a job as addresses spell it.
export function address(hex) {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

// Forms that ask first, where they say what.
export function asking(forms) {
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.ask && !confirm(form.dataset.ask)) event.preventDefault();
    });
  }
}

// Forms whose button makes sense in some states only, and asks first where it says so.
export function buttons(forms) {
  asking(forms);
  return (state) => {
    for (const form of forms) form.hidden = !form.dataset.states.split(" ").includes(state);
  };
}

// Calls draw once a frame at most, however often it is asked to.
export function onceAFrame(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
}

export function onNewColours(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
