"""A typeset formula as SVG: the glyphs of one size are one text, all bars are one path."""

from html import escape
from itertools import pairwise

X_HEIGHT = 442  # of MathJax's fonts; formulas are measured by the height of an x in the text around them
WIDE, WIDER = 8000, 10000  # above the one, a formula within a line may be broken after a relation; above the other, after
# a sign or a comma as well


def typed(tex: str) -> str:
    """The attribute that keeps a formula as typed, for those who copy it."""
    return f' data-tex="{escape(" ".join(tex.split()))}"'


def texts(glyphs: list[list[float]]) -> str:
    by_scale = {}
    for character, width, x, y, scale in glyphs:
        by_scale.setdefault(round(1000 * scale), []).append((chr(character), width * scale, x, y))
    return "".join(text(size, placed) for size, placed in by_scale.items())


def text(size: int, placed: list[tuple[str, float, float, float]]) -> str:
    """Letters of one size: the place of the first, and how far each stands from where the one before it ends.

    The first is the leftmost: SVG moves a text until its left edge is where its first letter should be.
    """
    leftmost = min(range(len(placed)), key=lambda i: placed[i][2])
    placed = [placed[leftmost], *placed[:leftmost], *placed[leftmost + 1 :]]
    _, _, x, y = placed[0]
    dx, dy, end, height = [round(x)], [round(y)], round(x), round(y)
    for (_, width, *_), (_, _, x, y) in pairwise(placed):
        end += width
        dx.append(round(x - end))
        dy.append(round(y - height))
        end, height = end + dx[-1], height + dy[-1]
    moves = "".join(f' {name}="{values}"' for name, steps in (("dx", dx), ("dy", dy)) if (values := without_end(steps)))
    style = f' style="font-size:{size}px"' if size != 1000 else ""
    return f"<text{moves}{style}>{escape(''.join(letter for letter, *_ in placed))}</text>"


def without_end(steps: list[int]) -> str:
    """The steps up to the last that is not 0."""
    last = max((i for i, step in enumerate(steps) if step), default=-1)
    return " ".join(map(str, steps[: last + 1]))


def path(bars: list[list[float]]) -> str:
    steps = "".join(f"M{x:.0f} {y:.0f}h{width:.0f}v{max(height, 1):.0f}h{-width:.0f}z" for x, y, width, height in bars)
    return f'<path d="{steps}"/>' if steps else ""


def svg(left: float, right: float, typeset: dict, glyphs: list, bars: list) -> str:
    top, height = typeset["top"], typeset["height"]
    rest = f'<g transform="scale(1 -1)">{typeset["rest"]}</g>' if typeset["rest"] else ""

    def ex(length: float) -> str:
        return f"{length / X_HEIGHT:.3f}".rstrip("0").rstrip(".") + "ex"

    return (
        f'<svg class="formula" aria-hidden="true" width="{ex(right - left)}" '
        f'style="vertical-align:{ex(-top - height)}" viewBox="{left:.0f} {top:.0f} {right - left:.0f} {height:.0f}">'
        f"{texts(glyphs)}{path(bars)}{rest}</svg>"
    )


def places_to_break(typeset: dict) -> list[float]:
    width = typeset["width"]
    if width <= WIDE or typeset["rest"]:
        return []
    return [x for x, is_relation in typeset["breaks"] if is_relation or width > WIDER]


def drawing(typeset: dict, breakable: bool) -> str:
    """The formula as one drawing, or as several between which a line may break."""
    left = typeset["left"]
    edges = [left, *(places_to_break(typeset) if breakable else []), left + typeset["width"]]
    pieces = []
    for begin, end in pairwise(edges):
        first, last = begin == edges[0], end == edges[-1]

        def within(x, begin=begin, end=end, first=first, last=last):
            return (first or x >= begin) and (last or x < end)

        glyphs = [glyph for glyph in typeset["glyphs"] if within(glyph[2])]
        bars = [bar for bar in typeset["bars"] if within(bar[0])]
        pieces.append(svg(begin, end, typeset, glyphs, bars))
    return "<wbr>".join(pieces)
