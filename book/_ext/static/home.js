// The learning map: a box that is pointed at or has the focus shows what it needs, and what that needs.

(() => { // names of its own: the site's scripts share one page
  const map = document.querySelector(".learning-map");
  const arrows = [...map.querySelectorAll(".arrows path")];
  const boxOf = (slug) => map.querySelector(`a[data-chapter="${slug}"]`);

  function light(box) {
    map.querySelectorAll(".lit").forEach((one) => one.classList.remove("lit"));
    const open = box ? [box.dataset.chapter] : [];
    for (const slug of open) {
      boxOf(slug).classList.add("lit");
      for (const arrow of arrows.filter((one) => one.dataset.to === slug)) {
        arrow.classList.add("lit");
        if (!open.includes(arrow.dataset.from)) open.push(arrow.dataset.from); // the loop comes to it
      }
    }
  }

  const focused = () => map.querySelector("a:focus");
  map.addEventListener("focusin", ({ target }) => light(target.closest("a")));
  map.addEventListener("focusout", () => light(null));
  map.addEventListener("pointerover", ({ target }) => light(target.closest("a") ?? focused()));
  map.addEventListener("pointerleave", () => light(focused()));
})();
