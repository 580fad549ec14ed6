// A reference such as "(15)" shows its equation in a box: under the mouse, with the keyboard's focus, and at a tap.
// Without this script, or in a browser without popovers, it is a link like any other.

const REFERENCE = "a.equation-reference";
const GAP = 6; // pixels between a reference and its box
const EDGE = 8; // pixels between a box and the window's edge
let open = null; // {reference, box}
let leaving;

function copyOfDisplay(reference) {
  const display = document.getElementById(reference.hash.slice(1))?.closest(".equation")?.querySelector("div.math");
  const copy = display?.cloneNode(true);
  for (const element of copy ? [copy, ...copy.querySelectorAll("*")] : []) {
    element.removeAttribute("id"); // an address is of one element only
    element.removeAttribute("tabindex"); // the box takes the focus in place of what is in it
  }
  return copy;
}

// Below the reference if there is room, else above; within the column of the text if it fits, else within the window.
function place(box, reference) {
  const [line] = reference.getClientRects();
  const column = reference.closest("article > section").getBoundingClientRect();
  const width = document.documentElement.clientWidth;
  box.style.maxWidth = `${width - 2 * EDGE}px`;
  const { width: wide, height: high } = box.getBoundingClientRect();
  const right = wide <= column.width ? column.right : width - EDGE;
  const left = Math.max(EDGE, Math.min(line.left, right - wide));
  const below = line.bottom + GAP + high <= innerHeight;
  const top = below ? line.bottom + GAP : line.top - GAP - high;
  box.style.left = `${left + scrollX}px`;
  box.style.top = `${top + scrollY}px`;
}

function show(reference) {
  clearTimeout(leaving);
  if (open?.reference === reference) return;
  hide();
  const copy = copyOfDisplay(reference);
  if (!copy) return;
  const box = document.createElement("div");
  box.className = "equation-preview";
  box.id = "equation-preview";
  box.popover = "manual";
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `Equation ${reference.textContent}`);
  box.append(copy);
  if (matchMedia("(hover: none)").matches) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = `Tap ${reference.textContent} again to go there.`;
    box.append(hint);
  }
  reference.after(box); // so that it follows the reference in the keyboard's order
  reference.setAttribute("aria-describedby", box.id);
  box.showPopover();
  place(box, reference);
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  box.addEventListener("pointerenter", () => clearTimeout(leaving));
  box.addEventListener("pointerleave", leave);
  box.addEventListener("focusout", (event) => event.relatedTarget !== reference && hide());
  open = { reference, box };
}

function hide() {
  clearTimeout(leaving);
  if (!open) return;
  const { reference, box } = open;
  open = null;
  reference.removeAttribute("aria-describedby");
  box.remove();
}

// The mouse may cross the gap between a reference and its box.
function leave(event) {
  if (event.pointerType === "mouse") leaving = setTimeout(hide, 200);
}

function listen(reference) {
  reference.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") show(reference);
  });
  reference.addEventListener("pointerleave", leave);
  reference.addEventListener("focus", () => reference.matches(":focus-visible") && show(reference));
  reference.addEventListener("blur", (event) => !open?.box.contains(event.relatedTarget) && hide());
  reference.addEventListener("click", (event) => {
    const first = open?.reference !== reference;
    if (matchMedia("(hover: none)").matches && first) {
      show(reference);
      if (open) event.preventDefault();
    } else {
      hide();
    }
  });
}

addEventListener("DOMContentLoaded", () => {
  if (!HTMLElement.prototype.showPopover) return;
  document.querySelectorAll(REFERENCE).forEach(listen);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !open) return;
    if (open.box.contains(document.activeElement)) open.reference.focus();
    hide();
  });
  document.addEventListener("pointerdown", (event) => {
    if (open && !open.box.contains(event.target) && event.target.closest("a") !== open.reference) hide();
  });
});
