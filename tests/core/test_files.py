"""Files appear whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
    part = part_of(Path("a/film.mp4"))
    assert part.parent == Path("a")
    assert part.name.startswith(".part-")
    assert part.name.endswith("-film.mp4")


def test_two_writers_of_one_file_are_not_in_each_others_way(tmp_path: Path) -> None:
    """One begins while the other is under way; both end well, and what the later one wrote stays."""
    path = tmp_path / "state.txt"

    def write(part: Path) -> None:
        part.write_text("first")
        with ThreadPoolExecutor() as other:
            other.submit(write_whole, path, "second").result()
        assert path.read_text() == "second"

    save_whole(path, write)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
