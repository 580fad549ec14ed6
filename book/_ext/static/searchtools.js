"use strict";
/* Search, in place of Sphinx's script of this name: the theme's search page loads it with the index that search.py
   writes. It ranks sections by their words (BM25), counts words of titles and of a chapter's names more, and reads a
   Chinese query through the index's list of terms. Stemmer and stop words are Sphinx's, from language_data.js. */

const Search = (() => {
  const SHOWN = 30, OF_ONE_PAGE = 3;           // hits in all, and of one page
  const TITLE = 4, NAME = 6;                   // how many times a word of a title or of a page's name counts
  const LESS = 0.5;                            // exercises ask and reference pages list: what explains comes first
  const K = 1.2, B = 0.75;                     // BM25: saturation, and how much long sections are discounted
  const ASKING = new Set(("how what why when where which who do does did is are was can could should would must i we you my our"
    + " need needs needed choose use used using work works explain").split(" "));
  const HAN = /\p{Script=Han}+/gu;

  let sections, postings, terms, query;
  const stems = new Map();

  /* British and American spellings, reparametrise and reparameterize, have one stem. */
  const stem = word => {
    if (!stems.has(word)) {
      const american = word.replace(/is(ation|ations|e|ed|es|er|ing)$/, "iz$1").replace("metriz", "meteriz");
      stems.set(word, new Stemmer().stemWord(american));
    }
    return stems.get(word);
  };

  /* Stems of a text; of Chinese, which has no spaces, each pair of neighbouring characters. */
  const words = text => {
    const latin = text.toLowerCase().replace(HAN, " ").match(/[\p{L}\p{N}]+/gu) || [];
    const han = (text.match(HAN) || []).flatMap(run =>
      run.length === 1 ? [run] : Array.from(run).slice(1).map((_, i) => run.slice(i, i + 2)));
    return [...latin.filter(word => !stopwords.includes(word)).map(stem), ...han];
  };

  const count = (section, text, weight) => {
    const found = words(text);
    section.fields.push([` ${found.join(" ")} `, weight]);
    for (const word of found) {
      if (!postings.has(word)) postings.set(word, new Map());
      const found = postings.get(word);
      found.set(section, (found.get(section) || 0) + weight);
    }
  };

  const build = index => {
    [sections, postings] = [[], new Map()];
    terms = Object.entries(index.terms).sort(([a], [b]) => b.length - a.length);
    for (const page of index.pages) {
      page.sections.forEach(([anchor, title, text], i) => {
        const factor = page.chapter && !title.startsWith("Exercise") ? 1 : LESS;
        const section = { page, anchor, title, text, length: text.length, factor, fields: [] };
        sections.push(section);
        count(section, text, 1);
        count(section, title, i ? TITLE : TITLE + NAME);
        if (!i) page.names.forEach(name => count(section, name, NAME));
      });
      page.words = new Set(words([page.sections[0]?.[1], ...page.names].join(" ")));
    }
  };

  const english = text => text.replace(HAN, run => {
    let rest = run;
    for (const [chinese, words] of terms) rest = rest.replaceAll(chinese, ` ${words} `);
    return rest;
  });

  /* Stems that a word of the query stands for: itself, or what begins with it if the book never has it whole. */
  const meant = word => postings.has(word) || word.length < 3
    ? [word] : [...postings.keys()].filter(other => other.startsWith(word));

  /* How often each section has one of the words, or all of them in a row. */
  const occurrences = word => {
    const found = new Map();
    for (const other of meant(word))
      for (const [section, n] of postings.get(other) || []) found.set(section, (found.get(section) || 0) + n);
    return found;
  };
  const inARow = wanted => {
    const phrase = ` ${wanted.join(" ")} `;
    const times = section =>
      section.fields.reduce((sum, [text, weight]) => sum + weight * (text.split(phrase).length - 1), 0);
    return new Map(sections.map(section => [section, times(section)]).filter(([, n]) => n));
  };

  /* Stems of a query without the words by which one asks, unless it has no others. */
  const asked = text => {
    const all = english(text).split(/\s+/), told = all.filter(word => !ASKING.has(word.toLowerCase().replace(/[?,.!]/g, "")));
    return words((told.length ? told : all).join(" "));
  };

  const rank = text => {
    const wanted = [...new Set(asked(text))];
    const mean = sections.reduce((sum, section) => sum + section.length, 0) / sections.length;
    const scores = new Map(), matched = new Map();
    const add = found => {
      const rarity = Math.log(1 + (sections.length - found.size + 0.5) / (found.size + 0.5));
      for (const [section, n] of found)
        scores.set(section, (scores.get(section) || 0)
          + rarity * n * (K + 1) / (n + K * (1 - B + B * section.length / mean)));
    };
    for (const word of wanted) {
      const found = occurrences(word);
      add(found);
      for (const section of found.keys()) matched.set(section, (matched.get(section) || new Set()).add(word));
    }
    if (wanted.length > 1) add(inARow(wanted));
    const hits = [...scores].map(([section, score]) => {
      const has = wanted.filter(word => matched.get(section).has(word) || section.page.words.has(word)).length;
      return { section, score: score * (has / wanted.length) ** 3 * section.factor };
    }).sort((a, b) => b.score - a.score);
    const shown = new Map();
    return hits.filter(({ section: { page } }) => {
      shown.set(page, (shown.get(page) || 0) + 1);
      return shown.get(page) <= OF_ONE_PAGE;
    }).slice(0, SHOWN).map(hit => hit.section);
  };

  /* The words around the first place that matches, the matching ones marked. */
  const excerpt = (text, wanted) => {
    const pieces = text.split(/([\p{L}\p{N}]+)/u);
    const marked = new Set(wanted.flatMap(meant));
    const isWanted = piece => marked.has(stem(piece.toLowerCase()));
    const first = Math.max(0, pieces.findIndex(isWanted));
    const from = Math.max(0, first - 24);
    const p = document.createElement("p");
    p.className = "context";
    p.append(from ? "… " : "", ...pieces.slice(from, from + 90).map(piece => {
      if (!isWanted(piece)) return piece;
      const mark = document.createElement("mark");
      mark.textContent = piece;
      return mark;
    }), from + 90 < pieces.length ? " …" : "");
    return p;
  };

  const show = () => {
    const out = document.getElementById("search-results");
    const hits = rank(query), wanted = asked(query);
    const status = document.createElement("p");
    status.setAttribute("role", "status");
    status.textContent = hits.length
      ? `Best places for “${query}”:`
      : `Nothing found for “${query}”. Try fewer words.`;
    const list = document.createElement("ol");
    list.className = "search";
    for (const { page, anchor, title, text } of hits) {
      const item = list.appendChild(document.createElement("li"));
      const link = item.appendChild(document.createElement("a"));
      link.href = page.url + (anchor && `#${anchor}`);
      link.textContent = anchor ? `${page.sections[0][1]} › ${title}` : title;
      item.append(excerpt(text, wanted));
    }
    out.replaceChildren(status, list);
  };

  const performSearch = text => {
    query = text.trim();
    if (query && sections) show();
  };
  const setIndex = index => {
    build(index);
    if (query) show();
  };
  document.addEventListener("DOMContentLoaded", () => {
    const asked = new URLSearchParams(location.search).get("q");
    if (!asked || !document.getElementById("search-results")) return;
    document.querySelectorAll('input[name="q"]').forEach(field => (field.value = asked));
    performSearch(asked);
  });
  return { setIndex, performSearch };
})();
