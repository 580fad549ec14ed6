"""The authors' tools: stored outputs are small and the same everywhere, and a mistaken command gets a sentence."""

import base64
import io
import json

import contract
import execute
import new_chapter
import numpy as np
import pytest
from PIL import Image
from toolbox import ROOT, Chapter, chapters_named, one_thread


def png(pixels: np.ndarray, **options) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def opened(picture: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def test_a_picture_is_stored_in_256_colours_and_looks_the_same():
    shades = np.linspace(0, 255, 200 * 300).reshape(200, 300)
    pixels = np.stack([shades, shades[::-1], 255 - shades, np.full_like(shades, 255)], -1).astype(np.uint8)
    small = execute.quantised(png(pixels))
    assert len(small) < len(png(pixels)) and opened(small).mode == "P"
    assert np.abs(np.asarray(opened(small).convert("RGB"), float) - pixels[..., :3]).mean() < 8


def test_transparency_is_kept():
    pixels = np.zeros((50, 50, 4), np.uint8)
    pixels[:25] = 200, 30, 30, 255
    alpha = np.asarray(opened(execute.quantised(png(pixels))).convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha, pixels[..., 3])


def test_an_animation_stays_as_it_is():
    frames = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), np.uint8)
    moving = png(frames[0], save_all=True, append_images=[Image.fromarray(frames[1])])
    assert execute.quantised(moving) == moving and opened(moving).n_frames == 2


def test_a_run_stores_outputs_and_drops_what_differs_from_machine_to_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_SEED", "7")
    source = "import os\nprint(os.environ.get('COURSE_SEED'), os.environ['OMP_NUM_THREADS'])\nos.getpid"
    cell = new_chapter.code(source) | {"id": "x", "metadata": {"execution": {}, "tags": ["hide-cell"]}}
    path = tmp_path / "tiny.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {"widgets": {}}, "nbformat": 4, "nbformat_minor": 5}))
    seconds, gigabytes = execute.execute(path)
    stored = Chapter(path)
    assert stored.output_text(0).startswith("None 1\n") and stored.cells[0]["execution_count"] == 1
    assert stored.cells[0]["metadata"] == {"tags": ["hide-cell"]} and stored.cells[0]["id"] == "cell-001"
    assert set(stored.notebook["metadata"]) == {"course", "kernelspec", "language_info"}
    assert 0 < seconds < 60 and 0 < gigabytes < 2


def test_the_environment_of_stored_outputs_has_seed_zero(monkeypatch):
    monkeypatch.setenv("COURSE_SEED", "3")
    monkeypatch.setenv("COURSE_MARGINS", "file")
    assert {"COURSE_SEED", "COURSE_MARGINS"}.isdisjoint(one_thread())


TO_WRITE = (
    "still to write", "numbered claims: 1", "negative controls: 1", "the table has no row", "test_rope.py is missing",
)  # fmt: skip


def test_the_template_runs_and_lacks_only_what_is_still_to_write(tmp_path):
    path = tmp_path / "attention" / "rope.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(new_chapter.template("RoPE: rotary position embedding", "11")), encoding="utf-8")
    execute.execute(path)
    for violation in contract.violations(Chapter(path), ROOT):
        assert any(words in violation for words in TO_WRITE), violation


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: chapters_named("no-such"), "There is no chapter 'no-such'"),
        (lambda: chapters_named("ddpm nosuch nor"), "There is no chapter 'nosuch'; There is no chapter 'nor'"),
        (lambda: new_chapter.main("no-part", "rope"), "its parts are foundations"),
        (lambda: new_chapter.main("attention", "no-such"), "in attention it has"),
        (lambda: new_chapter.main("", ""), "no chapter PART= SLUG="),
    ],
)
def test_a_mistaken_command_gets_a_sentence(call, sentence):
    with pytest.raises(SystemExit, match=sentence):
        call()
