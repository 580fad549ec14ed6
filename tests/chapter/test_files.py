"""A file gets all of its new text, or keeps all of its old one."""

import errno

import pytest

from lib.chapter.files import replace_text


def test_the_new_text_takes_the_place_of_the_old_with_its_mode(tmp_path):
    path, link = tmp_path / "page.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_text(link, "a\nnew text ✓")
    assert path.read_bytes() == "a\nnew text ✓".encode()
    assert path.stat().st_mode & 0o777 == 0o640 and link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, path]


def test_an_error_names_the_file_and_leaves_it_as_it_was(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as missing:
        replace_text(tmp_path / "nowhere" / "page.txt", "new")
    assert missing.value.errno == errno.ENOENT and missing.value.filename == str(tmp_path / "nowhere" / "page.txt")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "page.txt"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        replace_text(path, "new")
    assert (error.value.errno, error.value.strerror, error.value.filename) == (errno.ENOSPC, "No space left on device", str(path))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_is_no_text_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="text must be a string, got NoneType"):
        replace_text(tmp_path / "page.txt", None)
    assert not list(tmp_path.iterdir())
