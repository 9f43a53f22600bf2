// Pieces of a page that the server draws: they are replaced where they differ, and who reads on is not disturbed.
import { showTimes } from "./times.js";

// What is selected stays until it is let go of.
export function isRead(element) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

// html: ours, and escaped by the template. The focus stays on the link that has it, as far as that is there.
export function replace(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  element.innerHTML = html;
  showTimes(element);
  if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// Shows pieces of HTML by name; one that is being read waits. find: gives the element of a name, or nothing.
export class Pieces {
  constructor(find) {
    this.find = find;
    this.waiting = new Map();
    document.addEventListener("selectionchange", () => this.show());
  }

  take(pieces) {
    for (const [name, html] of Object.entries(pieces)) this.waiting.set(name, html);
    this.show();
  }

  show() {
    for (const [name, html] of this.waiting) {
      const element = this.find(name);
      if (element && isRead(element)) continue;
      if (element) replace(element, html);
      this.waiting.delete(name);
    }
  }
}
