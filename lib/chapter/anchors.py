"""Addresses within a chapter's page: of its equations, corrections, exercises and cells."""

from lib.course.shapes import checked_after_errors


def equation_anchor(tag: str) -> str:
    """The address, within its page, of a numbered equation."""
    return f"eq-{tag}"


def correction_anchor(number: int) -> str:
    """The address, within its page, of a correction."""
    return f"correction-{number}"


def exercise_anchor(number: int) -> str:
    """The address, within its page, of an exercise."""
    return f"exercise-{number}"


@checked_after_errors
def cell_anchor(cell: int) -> str:
    """The address, within its page, of the cell at a position of the notebook."""
    return f"cell-{cell + 1}"


@checked_after_errors
def fold_anchor(cell: int) -> str:
    """The address of what is folded away in a cell: a browser that goes there opens the fold."""
    return f"fold-{cell + 1}"
