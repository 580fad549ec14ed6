// Typesets formulas with MathJax: for each line {tex, display} on its input a line on its output, numbers in
// thousandths of an em, y downwards.
//
//   node typeset.cjs FOLDER_OF_MATHJAX
//
// A formula is placed glyphs [character, width, x, y, scale] (`glyphs`), bars [x, y, width, height] (`bars`), what is neither as
// SVG with y upwards (`rest`), its box, places where a line may break (`breaks`: x, whether after a relation), its MathML,
// and what is wrong with it (`error`). What the glyphs of a
// formula look like stands in `shapes`, the first time that each is used: character, outline, width.

const fs = require('fs');
const readline = require('readline');

const PRIVATE = 0xe000; // Unicode's private area, for glyphs that are no plain character
const RELATIONS = '=<>≤≥≈∼≃≅≡∝→←↔⇒⇔∈∉⊂⊆≪≫≠↦∣∥:';
const SIGNS = '+−±×·⋅∘⊗⊙,';

const ITALIC_A = 0x1d434, ITALIC_a = 0x1d44e, ITALIC_h = 0x210e;

/** The plain character of an italic letter, a digit or a mark of ASCII; undefined for everything else. */
function plain(code) {
  if (code === ITALIC_h) return 0x68;
  if (code >= ITALIC_A && code < ITALIC_A + 26) return 0x41 + code - ITALIC_A;
  if (code >= ITALIC_a && code < ITALIC_a + 26) return 0x61 + code - ITALIC_a;
  if (code > 0x20 && code < 0x7f && !/[A-Za-z]/.test(String.fromCodePoint(code))) return code;
}

/** By outline of each of MathJax's glyphs: its character in the font of the formulas, and its width. */
function characters(font) {
  const glyphs = new Map(), taken = new Set();
  for (const {chars} of Object.values(font.variant)) {
    for (const [code, [, , width, options]] of Object.entries(chars)) {
      if (!options?.p || glyphs.has(options.p)) continue;
      const wanted = plain(Number(code));
      const character = wanted && !taken.has(wanted) ? wanted : PRIVATE + glyphs.size;
      taken.add(character);
      glyphs.set(options.p, [character, Math.round(1000 * width)]);
    }
  }
  return glyphs;
}

/** A place [x, y, scale] moved as a transform says; null where it does more than to move and to scale evenly. */
function moved([x, y, scale], transform) {
  for (const [, kind, numbers] of transform.matchAll(/(\w+)\(([^)]*)\)/g)) {
    const [first, second] = numbers.split(/[ ,]+/).map(Number);
    if (kind === 'translate') {
      x += scale * first;
      y += scale * (second || 0);
    } else if (kind === 'scale' && (second === undefined || second === first)) {
      scale *= first;
    } else {
      return null;
    }
  }
  return [x, y, scale];
}

class Typesetter {
  constructor(MathJax) {
    this.MathJax = MathJax;
    this.dom = MathJax.startup.adaptor;
    this.glyphs = characters(MathJax.startup.output.font);
    this.shown = new Set();
  }

  typeset(tex, display) {
    const svg = this.dom.firstChild(this.MathJax.tex2svg(tex, {display}));
    const [left, top, width, height] = this.dom.getAttribute(svg, 'viewBox').split(' ').map(Number);
    this.found = {left, top, width, height, glyphs: [], bars: [], rest: '', shapes: [], error: ''};
    const root = this.dom.childNodes(svg).find((node) => this.dom.kind(node) === 'g');
    for (const child of this.dom.childNodes(root)) this.flatten(child, [0, 0, 1]);
    return {...this.found, breaks: this.breaks(root), mathml: this.MathJax.tex2mml(tex, {display})};
  }

  flatten(node, place) {
    const {dom, found} = this;
    const get = (name) => dom.getAttribute(node, name);
    const here = moved(place, get('transform') || '');
    const kind = dom.kind(node);
    found.error ||= get('data-mjx-error') || '';
    const plain = dom.allAttributes(node).every(({name}) => /^(transform|data-.*)$/.test(name));
    const glyph = kind === 'path' && this.glyphs.get(get('d').slice(1, -1));
    if (kind === 'g' && here && plain) {
      dom.childNodes(node).forEach((child) => this.flatten(child, here));
    } else if (glyph && here) {
      const [character, width] = glyph;
      const [x, y, scale] = here;
      found.glyphs.push([character, width, x, -y, scale]);
      if (!this.shown.has(character)) found.shapes.push([character, get('d'), width]);
      this.shown.add(character);
    } else if (kind === 'path' && !get('d')) {
      return; // a mark that is heard, not seen
    } else if (kind === 'rect' && here) {
      const [x, y, scale] = here;
      const [left, bottom, width, height] = ['x', 'y', 'width', 'height'].map((name) => scale * Number(get(name) || 0));
      found.bars.push([x + left, -(y + bottom + height), width, height]);
    } else {
      const [x, y, scale] = place;
      found.rest += `<g transform="translate(${x} ${y}) scale(${scale})">${dom.outerHTML(node)}</g>`;
    }
  }

  /** Where what follows a relation, a sign or a comma of the outermost row begins, and whether it is a relation. */
  breaks(root) {
    const {dom} = this;
    const placeOf = (node, within) => within && moved(within, dom.getAttribute(node, 'transform') || '');
    let children = dom.childNodes(root), place = [0, 0, 1];
    while (children.length === 1 && /^(math|mrow|mstyle|TeXAtom)$/.test(dom.getAttribute(children[0], 'data-mml-node'))) {
      place = placeOf(children[0], place);
      children = dom.childNodes(children[0]);
    }
    const breaks = [];
    for (let i = 1; i + 1 < children.length; i++) {
      const next = placeOf(children[i + 1], place);
      const character = dom.getAttribute(children[i], 'data-mml-node') === 'mo' && this.character(children[i]);
      if (next && character && (RELATIONS + SIGNS).includes(character)) breaks.push([next[0], RELATIONS.includes(character)]);
    }
    return breaks;
  }

  /** The first character of what a node shows; none for a stretched one. */
  character(node) {
    const {dom} = this;
    while (dom.kind(node) === 'g' && dom.childNodes(node).length) node = dom.firstChild(node);
    const code = dom.kind(node) === 'path' && dom.getAttribute(node, 'data-c');
    return code ? String.fromCodePoint(parseInt(code, 16)) : '';
  }
}

async function main(folder) {
  const MathJax = await require(`${folder}/node-main.js`).init({
    loader: {paths: {mathjax: folder}, load: ['input/tex-full', 'output/svg', 'adaptors/liteDOM'], versionWarnings: false, require},
    tex: {tags: 'none', packages: {'[-]': ['noundefined']}}, svg: {fontCache: 'none'}, startup: {typeset: false},
  });
  const typesetter = new Typesetter(MathJax);
  for await (const line of readline.createInterface({input: process.stdin})) {
    const {tex, display} = JSON.parse(line);
    fs.writeSync(1, JSON.stringify(typesetter.typeset(tex, display)) + '\n');
  }
}

main(process.argv[2]);
