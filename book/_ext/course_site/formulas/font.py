"""The font of the formulas: the glyphs that the pages use, inside a style sheet, so that it is there with the first look."""

import base64
import io

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.svgLib.path import parse_path

NAME = "formulas"


def font(shapes: dict[str, list]) -> bytes:
    """A WOFF font of glyphs given by character: outline as an SVG path, and width; 1000 units are an em."""
    names = {character: f"g{character}" for character in sorted(shapes, key=int)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({int(character): name for character, name in names.items()})
    glyphs, widths = {".notdef": TTGlyphPen(None).glyph()}, {".notdef": (500, 0)}
    for character, name in names.items():
        outline, width = shapes[character]
        pen = TTGlyphPen(None)
        parse_path(outline, pen)
        glyphs[name], widths[name] = pen.glyph(), (width, 0)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: (width, glyphs[name].xMin if glyphs[name].numberOfContours else 0)
                                    for name, (width, _) in widths.items()})  # fmt: skip
    builder.setupHorizontalHeader(ascent=750, descent=-250)
    builder.setupNameTable({"familyName": NAME, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=750, sTypoDescender=-250)
    builder.setupPost(keepGlyphNames=False)
    builder.font["head"].created = builder.font["head"].modified = 0  # the same glyphs give the same file
    builder.font.flavor = "woff"
    buffer = io.BytesIO()
    builder.font.save(buffer)
    return buffer.getvalue()


def style_sheet(shapes: dict[str, list]) -> str:
    data = base64.b64encode(font(shapes)).decode()
    return f'@font-face {{ font-family: {NAME}; src: url("data:font/woff;base64,{data}") format("woff"); }}\n'
