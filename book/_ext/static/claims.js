// The page of every claim: choose a kind and a part, open and close all chapters, and go to one claim.

const form = document.querySelector(".claim-filters");
const parts = [...document.querySelectorAll(".claims-of-part")];
const folds = [...document.querySelectorAll("details.claims")];

const plural = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

function filter() {
  const kind = form.elements.kind.value;
  const wantedPart = form.elements.part.value;
  let shown = 0;
  let chapters = 0;
  for (const part of parts) {
    let left = 0;
    for (const fold of part.querySelectorAll("details.claims")) {
      const rows = [...fold.querySelectorAll("tbody tr")];
      rows.forEach((row) => (row.hidden = kind !== "" && !row.classList.contains(`kind-${kind}`)));
      const here = rows.filter((row) => !row.hidden).length;
      const counts = fold.querySelector(".counts");
      counts.dataset.all ??= counts.textContent;
      counts.textContent = kind === "" ? counts.dataset.all : `${here} of ${plural(rows.length, "check")}`;
      fold.hidden = here === 0 || (wantedPart !== "" && part.id !== wantedPart);
      if (!fold.hidden) {
        left += here;
        chapters += 1;
      }
    }
    part.hidden = left === 0;
    shown += left;
  }
  form.querySelector("output").textContent = `${plural(shown, "check")} in ${plural(chapters, "chapter")}`;
}

// A link to a claim shows it, whatever was chosen before. Browsers open the fold, but not all of them do.
function showTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target?.closest("details.claims");
  if (!fold) return;
  if (fold.hidden || target.hidden) {
    form.reset();
    filter();
  }
  fold.open = true;
  target.scrollIntoView();
}

addEventListener("DOMContentLoaded", () => {
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", ({ target }) => {
    if (target.matches("button")) folds.forEach((fold) => (fold.open = target.value === "open"));
  });
  filter(); // also for what a browser chose again when the reader came back
  showTarget();
  addEventListener("hashchange", showTarget);
});
