// Two ticks a chapter, read and solved. They stay in this browser, under one key of its local storage, and show at the
// end of the chapter, in the sidebar, on the learning map, in its list and in the paths.

(() => { // names of its own: the site's scripts share one page
  const KEY = "executable-derivations-progress";
  const VERSION = 1;
  const LARGEST = 64 * 1024; // characters
  const TICKS = ["read", "solved"];

  // What a text from the storage or from a file says: the ticks by chapter. An error says what was expected.
  function parsed(text) {
    if (text.length > LARGEST) throw new Error("it is larger than 64 KB");
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      throw new Error("it is not JSON");
    }
    if (data?.format !== KEY) throw new Error("it is not progress of this book");
    if (data.version !== VERSION) throw new Error(`it is not of version ${VERSION}, which this page reads`);
    const { chapters } = data;
    if (Object.prototype.toString.call(chapters) !== "[object Object]") throw new Error("it has no chapters");
    const kept = new Map(); // also chapters that this copy of the book does not have
    for (const [slug, ticks] of Object.entries(chapters)) {
      if (!/^[a-z0-9-]{1,80}$/.test(slug)) throw new Error("the name of a chapter is malformed");
      if (!Array.isArray(ticks) || !ticks.every((tick) => TICKS.includes(tick))) {
        throw new Error(`the ticks of ${slug} are not a list of “read” and “solved”`);
      }
      if (ticks.length) kept.set(slug, new Set(ticks));
    }
    return kept;
  }

  function written(progress) {
    const inOrder = (ticks) => TICKS.filter((tick) => ticks.has(tick));
    const chapters = Object.fromEntries([...progress].map(([slug, ticks]) => [slug, inOrder(ticks)]));
    return JSON.stringify({ format: KEY, version: VERSION, chapters });
  }

  // What is stored: its text, the ticks in it, and what is wrong if it cannot be read or kept.
  function load() {
    let text = "";
    try {
      text = localStorage.getItem(KEY) ?? "";
    } catch {
      const wrong = "This browser keeps nothing for this site, so there are no ticks. All else works.";
      return { text, progress: new Map(), wrong };
    }
    try {
      return { text, progress: text ? parsed(text) : new Map(), wrong: "" };
    } catch (error) {
      const way = "It is left as it is; export or clear it on the first page.";
      const wrong = `The progress stored in this browser cannot be read: ${error.message}. ${way}`;
      return { text, progress: new Map(), wrong };
    }
  }

  // Returns what went wrong, or "".
  function store(progress) {
    const text = written(progress);
    if (text.length > LARGEST) return "Nothing was changed: the progress would be larger than 64 KB.";
    try {
      localStorage.setItem(KEY, text);
      return "";
    } catch {
      return "Nothing was changed: this browser's storage is full or closed to this site.";
    }
  }

  const inWords = (ticks) => TICKS.filter((tick) => ticks?.has(tick)).join(" and ");
  const plural = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // Marks, which show again whenever a tick changes.

  const slugOf = (link) => link.getAttribute("href").match(/([a-z0-9-]+)\.html$/)?.[1];

  // The place for a mark in a link, made once.
  function markIn(link) {
    const mark = link.querySelector(".progress-mark");
    if (mark) return mark;
    link.append(element("span", { className: "progress-mark" }));
    return link.lastElementChild;
  }

  function showInSidebar(progress) {
    const here = document.querySelector('meta[name="chapter"]')?.content;
    for (const link of document.querySelectorAll(".bd-sidenav a")) {
      const ticks = progress.get(slugOf(link) ?? here);
      const mark = markIn(link);
      mark.title = inWords(ticks);
      mark.replaceChildren(
        element("span", { ariaHidden: "true", textContent: "✓".repeat(ticks?.size ?? 0) }),
        element("span", { className: "visually-hidden", textContent: ticks ? ` (${inWords(ticks)})` : "" }),
      );
    }
  }

  function showOnMap(progress) {
    for (const box of document.querySelectorAll(".learning-map a")) {
      const ticks = progress.get(box.dataset.chapter);
      const marks = TICKS.filter((tick) => ticks?.has(tick)).map((tick) => `✓ ${tick}`);
      box.querySelector(".ticked").textContent = marks.join(" ");
      box.dataset.label ??= box.getAttribute("aria-label");
      box.setAttribute("aria-label", box.dataset.label + (ticks ? `; ${inWords(ticks)}` : ""));
    }
  }

  function showInLists(progress) {
    for (const link of document.querySelectorAll(".map-list .steps li li a:first-child, details.path li a")) {
      const ticks = progress.get(slugOf(link));
      markIn(link).textContent = ticks ? ` ✓ ${inWords(ticks)}` : "";
    }
    for (const count of document.querySelectorAll(".progress-count")) {
      const slugs = count.dataset.chapters.split(" ").filter(Boolean);
      const [read, solved] = TICKS.map((tick) => slugs.filter((slug) => progress.get(slug)?.has(tick)).length);
      count.textContent = read + solved ? `${read} of ${slugs.length} read, ${solved} solved` : "";
    }
  }

  // The end of a chapter.

  function addTicks(slug) {
    const boxes = TICKS.map((tick) => element("input", { type: "checkbox", name: tick }));
    const says = ["I have read this chapter", "I have solved its exercises"];
    const status = element("p", { role: "status" });
    const labels = boxes.map((box, i) => element("label", {}, box, ` ${says[i]}`));
    const form = element("form", { className: "progress-ticks", ariaLabel: "Your progress" }, ...labels, status);
    form.setAttribute("autocomplete", "off");
    document.querySelector(".bd-article > section")?.append(form);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", ({ target }) => {
      const { progress, wrong } = load();
      const ticks = progress.get(slug) ?? new Set();
      if (target.checked) ticks.add(target.name);
      else ticks.delete(target.name);
      progress.set(slug, ticks);
      if (!ticks.size) progress.delete(slug);
      const problem = wrong || store(progress);
      show();
      status.textContent = problem || `Kept in this browser: ${inWords(ticks) || "no tick"}.`;
    });
    return ({ progress, wrong }) => {
      for (const box of boxes) {
        box.checked = progress.get(slug)?.has(box.name) ?? false;
        box.disabled = wrong !== "";
      }
      status.textContent = wrong;
    };
  }

  // The first page: what is ticked, and a file of it.

  function saveFile(text) {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    element("a", { href: url, download: "executable-derivations-progress.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  async function importFile(file) {
    let imported;
    try {
      if (file.size > LARGEST) throw new Error("it is larger than 64 KB");
      imported = parsed(await file.text());
    } catch (error) {
      return `The file was refused, and nothing was changed: ${error.message}.`;
    }
    const { progress, wrong } = load();
    if (wrong) return wrong;
    let added = 0;
    for (const [slug, ticks] of imported) {
      const before = progress.get(slug) ?? new Set();
      ticks.forEach((tick) => (added += !before.has(tick)));
      progress.set(slug, new Set([...before, ...ticks]));
    }
    return store(progress) || `Imported: ${plural(added, "new tick")}; those that were here stay.`;
  }

  function addTools(place) {
    const counts = element("p");
    const status = element("p", { role: "status" });
    const button = (label) => element("button", { type: "button", textContent: label });
    const [exports, clear, really, keep] = ["Export", "Clear", "Yes, clear all ticks", "Keep them"].map(button);
    const file = element("input", { type: "file", accept: ".json,application/json" });
    const question = element("p", { className: "buttons", hidden: true }, really, keep);
    const imports = element("label", {}, "Import ", file);
    const buttons = element("p", { className: "buttons" }, exports, imports, clear);
    place.replaceChildren(counts, buttons, question, status);
    exports.addEventListener("click", () => {
      const { text, progress } = load();
      saveFile(text || written(progress));
      status.textContent = "Exported as executable-derivations-progress.json.";
    });
    file.addEventListener("change", async () => {
      if (!file.files.length) return;
      const message = await importFile(file.files[0]);
      file.value = "";
      show();
      status.textContent = message;
    });
    clear.addEventListener("click", () => {
      question.hidden = false;
      status.textContent = "Clear all ticks in this browser? Export them first if you want them back.";
      keep.focus();
    });
    const answer = (message) => {
      question.hidden = true;
      show();
      status.textContent = message;
      exports.focus();
    };
    keep.addEventListener("click", () => answer("Nothing was cleared."));
    really.addEventListener("click", () => {
      localStorage.removeItem(KEY);
      answer("All ticks were cleared.");
    });
    return ({ text, progress, wrong }) => {
      const [read, solved] = TICKS.map((tick) => [...progress.values()].filter((ticks) => ticks.has(tick)).length);
      counts.textContent = wrong ? "" : `${plural(read, "chapter")} read, ${solved} solved.`;
      buttons.hidden = wrong !== "" && text === ""; // no storage
      clear.disabled = text === "";
      status.textContent = wrong;
    };
  }

  const views = [];

  function show() {
    const stored = load();
    for (const view of views) view(stored);
    for (const mark of [showInSidebar, showOnMap, showInLists]) mark(stored.progress);
  }

  const chapter = document.querySelector('meta[name="chapter"]')?.content;
  const tools = document.querySelector(".progress-tools");
  if (chapter) views.push(addTicks(chapter));
  if (tools) views.push(addTools(tools));
  show();
  addEventListener("storage", ({ key }) => (key === KEY || key === null) && show()); // another tab
})();
