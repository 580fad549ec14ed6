// A box that is wider than its column gets a fading edge where there is more, and the keyboard's focus.
// Without this script it still scrolls.

const BOX_NAMES = { DIV: "Formula, scrolls sideways", PRE: "Code, scrolls sideways" };

function nameOfBox(box) {
  if (box.querySelector(":scope > table")) return "Table, scrolls sideways";
  if (box.matches(".learning-map")) return "Map, scrolls sideways";
  if (box.matches(".ratios")) return "Drawing, scrolls sideways";
  if (box.closest(".cell_output")) return "Output, scrolls sideways";
  return BOX_NAMES[box.tagName];
}

function measureBox(box) {
  const more = box.scrollWidth - box.clientWidth;
  const wide = more > 1;
  return { box, wide, left: wide && box.scrollLeft > 1, right: wide && box.scrollLeft < more - 1 };
}

function markBox({ box, wide, left, right }) {
  box.classList.toggle("more-left", left);
  box.classList.toggle("more-right", right);
  if (wide && !box.hasAttribute("role")) {
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", nameOfBox(box));
  }
  if (wide) box.tabIndex = 0; // also where the theme had taken a box in a closed fold for a narrow one
  else if (box.tabIndex === 0) box.removeAttribute("tabindex");
}

addEventListener("DOMContentLoaded", () => {
  const boxes = document.querySelectorAll(".bd-article :is(div.math, pre, .pst-scrollable-table-container, .learning-map, .ratios)");
  const observer = new ResizeObserver((entries) => {
    entries.map(({ target }) => measureBox(target)).forEach(markBox); // first all reading, then all writing
  });
  for (const box of boxes) {
    observer.observe(box);
    box.addEventListener("scroll", () => markBox(measureBox(box)), { passive: true });
  }
});
