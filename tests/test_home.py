"""The first page without a browser: the map's layout now and when the book is whole, and the paths."""

import random
import re
from itertools import pairwise

import pytest
from course_site import home, learning_map
from course_site.home import StudyPath, misplaced, paths
from course_site.learning_map import BOX_HEIGHT, BOX_WIDTH, COLUMNS, WIDTH, arrow, layout, needs_of, rows_of

from lib.chapter.book import ROOT, chapters, syllabus


def book() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The parts with all 47 chapters, and needs as a finished book might have them: one to three earlier chapters."""
    parts = {part["part"]: [entry["slug"] for entry in part["chapters"]] for part in syllabus()}
    draw, slugs = random.Random(0), [slug for group in parts.values() for slug in group]
    return parts, {slug: draw.sample(slugs[:i], min(i, draw.randint(0, 3))) for i, slug in enumerate(slugs)}


def points(path: str) -> list[tuple[float, float]]:
    """Points along a path of absolute M, C and V commands, up to the arrow's head."""
    found = []
    for command, numbers in re.findall(r"([MCV])([-\d. ]+)", path.rpartition("M")[0]):
        values = [float(number) for number in numbers.split()]
        if command == "M":
            found.append(tuple(values))
        elif command == "V":
            x, y = found[-1]
            found += [(x, y + (values[0] - y) * i / 40) for i in range(1, 41)]
        else:
            a, (b, c, d) = found[-1], zip(values[::2], values[1::2], strict=True)
            for t in (i / 40 for i in range(1, 41)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                found.append(tuple(sum(w * p[k] for w, p in zip(weights, (a, b, c, d), strict=True)) for k in (0, 1)))
    return found


def test_boxes_of_a_whole_book_stand_apart_and_within_the_drawing():
    parts, needs = book()
    places, bands = layout(parts, needs)
    assert len(places) == 47
    assert len({(place.column, place.top) for place in places.values()}) == 47
    assert all(place.left >= 0 and place.left + BOX_WIDTH <= WIDTH for place in places.values())
    for part, band in zip(parts, bands, strict=True):
        tops = [places[slug].top for slug in parts[part]]
        assert band.top < min(tops) and max(tops) + BOX_HEIGHT < band.top + band.height
    assert all(above.top + above.height < below.top for above, below in pairwise(bands))


def test_all_arrows_of_a_whole_book_point_down_and_pass_between_boxes():
    parts, needs = book()
    places, _ = layout(parts, needs)
    for slug, others in needs.items():
        for other in others:
            assert places[other].row < places[slug].row
            way = points(arrow(places[other], places[slug]))
            assert all(0 <= x <= WIDTH and above <= y for (x, y), (_, above) in zip(way[1:], way, strict=False))
            crossed = {
                name
                for name, place in places.items()
                for x, y in way
                if place.left < x < place.left + BOX_WIDTH and place.top < y < place.top + BOX_HEIGHT
            }
            assert crossed == set(), f"the arrow from {other} to {slug} crosses {crossed}"


def test_a_chapter_stands_in_the_first_free_row_below_what_it_needs():
    needs = {"a": [], "b": ["a"], "c": [], "d": [], "e": ["b"], "f": []}
    assert COLUMNS == 3
    assert rows_of(list(needs), needs) == [["a", "c", "d"], ["b", "f"], ["e"]]


def test_within_a_row_chapters_stand_below_what_they_need():
    parts = {"one": ["a", "b", "c"], "two": ["d", "e"]}
    places, _ = layout(parts, {"a": [], "b": [], "c": [], "d": ["c"], "e": ["a"]})
    assert (places["e"].column, places["d"].column) == (0, 1)


def test_the_book_stands_in_an_order_that_respects_its_needs():
    assert needs_of(chapters())["gau-flash"] == ["rope", "linear-attention"]


def test_a_chapter_before_what_it_needs_is_named():
    by_slug = {chapter.slug: chapter for chapter in chapters()}
    with pytest.raises(ValueError, match="ssm-hippo-mamba needs linear-attention: expected"):
        needs_of([by_slug["ssm-hippo-mamba"], by_slug["linear-attention"]])


def test_paths_are_made_of_chapters_in_the_syllabus():
    assert [path.name for path in paths()] == [
        "Mathematics first",
        "Diffusion from nothing",
        "Language models from nothing",
        "Vision",
        "One weekend",
    ]
    assert all(len(set(path.chapters)) == len(path.chapters) for path in paths())


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_a_path_holds_what_its_chapters_need_before_them(path):
    assert misplaced(path, needs_of(chapters())) == []


def test_what_a_path_lacks_or_has_too_late_is_named():
    needs = {"a": [], "b": ["a"], "c": ["b"]}
    assert misplaced(StudyPath("", "", ("a", "b", "c")), needs) == []
    assert misplaced(StudyPath("", "", ("b", "a", "c")), needs) == [("b", "a")]
    assert misplaced(StudyPath("", "", ("a", "c")), needs) == [("c", "b")]


def test_a_path_with_an_unknown_chapter_is_refused(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "syllabus.yml").write_text("[{part: p, title: P, chapters: [{slug: a}]}]", encoding="utf-8")
    (tmp_path / home.PATHS).write_text("[{name: N, says: S, chapters: [a, b]}]", encoding="utf-8")
    with pytest.raises(ValueError, match="N: expected slugs of book/syllabus.yml, got b"):
        paths(tmp_path)


def test_every_part_has_a_colour_in_both_schemes():
    style = (ROOT / "book" / "_ext" / "static" / "home.css").read_text(encoding="utf-8")
    for part in syllabus():
        assert len(re.findall(rf"\.part-{part['part']} \{{ --part: #[0-9a-f]{{6}}; \}}", style)) == 2


def test_long_titles_keep_to_the_lines_of_a_box():
    assert learning_map.lines_of("An exceedingly long title " * 9)[-1].endswith("…")
    assert len(learning_map.lines_of("An exceedingly long title " * 9)) == learning_map.LINES
