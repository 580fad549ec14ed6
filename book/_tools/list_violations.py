"""Print what each chapter still violates; every line says where and what to do.

    python book/_tools/list_violations.py [SLUG …]
"""

import sys

import contract
from toolbox import Chapter, chapters_named, in_plain_words, unfinished


@in_plain_words
def main(slugs: str) -> int:
    """Print the violations of the chapters named, or of all that are in the book."""
    problems = contract.book_violations()
    for path in chapters_named(slugs):
        chapter = Chapter(path)
        problems += contract.violations(chapter)
        print(contract.figures(chapter))
    if not slugs:
        for path in unfinished():
            print(f"{path.parent.name}/{path.stem}: not in _toc.yml yet ({len(contract.violations(Chapter(path)))} violations)")
    for problem in problems:
        print(f"- {problem}")
    print(f"Violations: {len(problems)}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
