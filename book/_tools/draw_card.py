"""Draw the picture that other sites show beside a link to the book: book/_ext/static/card.png."""

from io import BytesIO

from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyBboxPatch
from PIL import Image
from toolbox import ROOT

CARD = ROOT / "book" / "_ext" / "static" / "card.png"
GROUND, BOX, TEXT, MUTED, CHECK = "#14181e", "#1f2630", "#f2f4f7", "#a9b4c2", "#56d364"


def draw():
    """The book's promise: an equation with its number and its tick, and the line that its check prints."""
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=GROUND)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(0, 630), frame_on=False)
    axes.set_axis_off()
    axes.text(80, 520, "Executable Derivations", color=TEXT, size=46, weight="bold", va="center")
    promise = "The mathematics of modern deep learning, every equation checked"
    axes.text(80, 445, promise, color=MUTED, size=21, va="center")
    axes.add_patch(FancyBboxPatch((92, 182), 1016, 176, boxstyle="round,pad=12", facecolor=BOX, edgecolor="none"))
    equation = r"$x_t=\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\varepsilon$"
    axes.text(560, 270, equation, color=TEXT, size=44, ha="center", va="center", math_fontfamily="cm")
    axes.text(985, 270, "(1)", color=TEXT, size=28, ha="center", va="center", family="serif")
    axes.add_patch(Circle((1060, 270), 26, facecolor="none", edgecolor=CHECK, linewidth=3))
    axes.text(1060, 268, "✓", color=CHECK, size=28, ha="center", va="center")
    says = "✓ (1) exact · 1e-12 · many steps are one · rejects: forgot the root"
    axes.text(80, 105, says, color=CHECK, size=18, va="center", family="monospace")
    return figure


if __name__ == "__main__":
    drawn = BytesIO()
    draw().savefig(drawn, facecolor=GROUND)
    Image.open(drawn).convert("RGB").quantize(64).save(CARD, optimize=True)
    print(f"Drew {CARD.relative_to(ROOT)}, {CARD.stat().st_size / 1000:.0f} KB")
