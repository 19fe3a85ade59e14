"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from quadfollow_core.files import part_of, save_whole, write_whole


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    """Text and bytes alike, and nothing else is left beside it."""
    path = tmp_path / "new" / "file.txt"
    write_whole(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Whoever reads a file sees it whole, old or new; the half one is gone."""
    path = tmp_path / "state.txt"
    save_whole(path, lambda part: part.write_text("old"))

    def fail(part: Path) -> None:
        part.write_text("ha")
        assert path.read_text() == "old"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_is_hidden_and_keeps_its_suffix() -> None:
    """Writers that choose the format by the suffix write what was asked for."""
    assert part_of(Path("a/film.mp4")) == Path("a/.part-film.mp4")
