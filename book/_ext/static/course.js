// Folds: a link into a fold opens it, all checks open and close at once, and printing leaves checks closed. And the
// sidebar shows the page that is open.

const foldOf = (anchor) => document.getElementById(anchor)?.closest("details");

function openTarget() {
  const fold = foldOf(decodeURIComponent(location.hash.slice(1)));
  if (!fold) return;
  fold.open = true;
  const summary = fold.querySelector("summary");
  summary.focus({ preventScroll: true });
  summary.scrollIntoView();
}

function addButton(checks) {
  const button = document.createElement("button");
  button.type = "button";
  const areOpen = () => checks.some((check) => check.open);
  const name = () => (button.textContent = areOpen() ? "Close all checks" : "Open all checks");
  button.addEventListener("click", () => {
    const open = !areOpen();
    checks.forEach((check) => (check.open = open));
  });
  document.addEventListener("toggle", name, true);
  name();
  document.querySelector(".header-card .buttons")?.append(button);
}

function printWithChecksClosed() {
  let before = [];
  addEventListener("beforeprint", () => {
    const folds = [...document.querySelectorAll("details.fold:not(.exercise)")];
    before = folds.map((fold) => [fold, fold.open]);
    folds.forEach((fold) => (fold.open = !fold.classList.contains("check")));
  });
  addEventListener("afterprint", () => before.forEach(([fold, open]) => (fold.open = open)));
}

// The theme scrolls the sidebar to where it was on the page before, which may leave this page's entry out of view.
function showPageInSidebar() {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  const entry = sidebar?.querySelector("a.current");
  if (!entry) return;
  const [box, here] = [sidebar.getBoundingClientRect(), entry.getBoundingClientRect()];
  if (here.top < box.top || here.bottom > box.bottom) sidebar.scrollTop += here.top - box.top - box.height / 4;
}

// On a phone both sidebars are dialogs: the left one opens at this page's entry, and an entry of the right one closes it.
function mendDialogs() {
  document.querySelectorAll("dialog").forEach((dialog) => {
    new MutationObserver(() => dialog.open && dialog.querySelector("a.current")?.scrollIntoView({ block: "center" }))
      .observe(dialog, { attributes: true, attributeFilter: ["open"] });
    dialog.addEventListener("click", (event) => event.target.closest('a[href^="#"]') && dialog.close());
  });
}

addEventListener("DOMContentLoaded", () => {
  const checks = [...document.querySelectorAll("details.check")];
  if (checks.length) addButton(checks);
  printWithChecksClosed();
  showPageInSidebar();
  mendDialogs();
  openTarget();
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) openTarget(); // no hashchange where the address stays
  });
});
