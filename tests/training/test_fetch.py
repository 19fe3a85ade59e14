"""Fetching the official data from a mirror on this machine, and unpacking what cannot be trusted."""

from __future__ import annotations

import functools
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from quadfollow_core.errors import BadDataset, LimitExceeded, NotFound
from quadfollow_core.official_frames import MANIFEST, evaluation_images, read_manifest
from quadfollow_training.archives import place, unpack
from quadfollow_training.cli import data
from quadfollow_training.download import Patience
from quadfollow_training.fetch import ARCHIVES, fetch
from quadfollow_training.manifest import compare, hash_files, write_manifest


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, str]]]:
    """A mirror's address with three small archives on it, and their manifest."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    truth, published = tmp_path / "truth", tmp_path / "published"
    for folder, archive in ARCHIVES.items():
        (published / archive).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(published / archive, "w") as packed:
            packed.writestr("__MACOSX/._a.jpeg", "junk")
            for name in (f"{folder}/images/a.jpeg", f"{folder}/masks/a.png"):
                (truth / name).parent.mkdir(parents=True, exist_ok=True)
                (truth / name).write_text(name)
                packed.write(truth / name, name)
            packed.writestr(f"{folder}/.DS_Store", "junk")
    handler = functools.partial(Quiet, directory=str(published))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", hash_files(truth)
        server.shutdown()
        thread.join()


def test_three_archives_become_three_checked_folders(mirror, tmp_path):
    """Everything is fetched, unpacked without leavings and verified; a second call fetches nothing."""
    url, manifest = mirror
    out = tmp_path / "out"
    assert fetch(out, base_url=url, expected=manifest)["fetched"] == list(ARCHIVES)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == set(manifest)
    assert fetch(out, base_url="http://127.0.0.1:9", expected=manifest)["fetched"] == []


def test_a_damaged_frame_on_disk_is_fetched_again(mirror, tmp_path):
    """A set that differs from the manifest is fetched again, the others are not."""
    url, manifest = mirror
    fetch(tmp_path / "out", base_url=url, expected=manifest)
    (tmp_path / "out" / "validation" / "masks" / "a.png").write_text("damaged")
    assert fetch(tmp_path / "out", base_url=url, expected=manifest)["fetched"] == ["validation"]


def test_frames_that_differ_are_all_named(mirror, tmp_path):
    """Missing, altered and foreign files of a published archive are named, each with its fault."""
    url, manifest = mirror
    wrong = manifest | {"train/images/a.jpeg": "0" * 16, "train/images/b.jpeg": "1" * 16}
    del wrong["train/masks/a.png"]
    with pytest.raises(BadDataset) as caught:
        fetch(tmp_path / "out", base_url=url, expected=wrong)
    assert caught.value.problems == (
        "train/images/a.jpeg: altered",
        "train/images/b.jpeg: missing",
        "train/masks/a.png: not an official file",
    )


def test_a_foreign_picture_is_reported_before_anything_is_downloaded(mirror, tmp_path):
    """A picture of one's own among the official ones is named with the remedy; moved away, nothing is in the way."""
    url, manifest = mirror
    own = tmp_path / "out" / "train" / "images" / "own.png"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(BadDataset, match=r"move them elsewhere(.|\n)*own.png"):
        fetch(tmp_path / "out", base_url="http://127.0.0.1:9", expected=manifest)
    assert own.read_text() == "mine"
    own.rename(tmp_path / "own.png")
    assert fetch(tmp_path / "out", base_url=url, expected=manifest)["verified"]


def test_an_archive_that_is_not_there_is_an_error(mirror, tmp_path):
    """A mirror without the archives is named."""
    url, manifest = mirror
    with pytest.raises(NotFound, match=r"elsewhere/Lab/train.zip"):
        fetch(tmp_path / "out", base_url=f"{url}/elsewhere/", expected=manifest, patience=Patience(1, 0))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("train/images/a.jpeg", "train/images/a.jpeg"),
        ("data/train/images/a.jpeg", "train/images/a.jpeg"),  # a folder around it
        ("images/a.jpeg", "train/images/a.jpeg"),  # packed from within
    ],
)
def test_members_land_in_their_set(name, target):
    """However it was packed, a set unpacks to the same place."""
    assert place(name, "train").as_posix() == target


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "train/../../a.png", "x\\..\\a.png", "C:/a.png"])
def test_paths_that_lead_elsewhere_unpack_nothing(tmp_path, name):
    """An archive with one such path is refused as a whole."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("train/images/good.png", "x")
        info = zipfile.ZipInfo("placeholder.png")
        info.filename = name
        packed.writestr(info, "x")
    with pytest.raises(BadDataset, match="leads elsewhere"):
        unpack(tmp_path / "x.zip", tmp_path / "out", "train")
    assert not (tmp_path / "out").exists()


def test_an_archive_that_swells_is_refused(tmp_path):
    """The unpacked size is limited before anything is written."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train/images/a.png", b"\0" * 100_000)
    with pytest.raises(LimitExceeded):
        unpack(tmp_path / "x.zip", tmp_path / "out", "train", max_bytes=99_999)
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_is_named_and_dropped(mirror, tmp_path):
    """Half an archive is an error, and is not in the way of the next attempt."""
    url, manifest = mirror
    store = tmp_path / "out" / ".download"
    store.mkdir(parents=True)
    (store / "train.zip").write_bytes(b"PK half of it")
    with pytest.raises(BadDataset, match=r"train.zip cannot be unpacked"):
        fetch(tmp_path / "out", base_url=url, expected=manifest)
    assert fetch(tmp_path / "out", base_url=url, expected=manifest)["verified"]


def test_an_archive_that_found_no_room_is_kept(mirror, tmp_path, monkeypatch):
    """What ends the unpacking and is no fault of the archive does not cost the download."""
    url, manifest = mirror
    store = tmp_path / "out" / ".download"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("quadfollow_training.fetch.unpack", full)
        with pytest.raises(OSError, match="No space"):
            fetch(tmp_path / "out", base_url=url, expected=manifest)
    assert [path.name for path in store.iterdir()] == ["train.zip"]
    assert fetch(tmp_path / "out", base_url=url, expected=manifest)["verified"]


def _spoil(path, *, at=0, flag=0, method=None, cut=0):
    """Overwrite parts of a one-member archive: its data, its flags or its compression method."""
    data = bytearray(path.read_bytes())
    for header, offset in ((data.index(b"PK\x03\x04"), 6), (data.index(b"PK\x01\x02"), 8)):
        data[header + offset] |= flag
        if method is not None:
            data[header + offset + 2] = method
    data[at : at + cut] = b"\xff" * cut
    path.write_bytes(data)


@pytest.mark.parametrize(
    "fault",
    [{"at": 48, "cut": 20}, {"flag": 1}, {"method": 97}],
    ids=["damaged data", "encrypted", "unknown compression"],
)
def test_an_archive_that_cannot_be_unpacked_is_named(tmp_path, fault):
    """Whatever stops the unpacking, the archive is named."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train/images/a.png", bytes(range(256)))
    _spoil(path, **fault)
    with pytest.raises(BadDataset, match=r"x.zip cannot be unpacked"):
        unpack(path, tmp_path / "out", "train")


@pytest.mark.parametrize("names", [("a.png", "a.png/b.png"), ("a.png", "a.png/b/c.png"), ("a.png/b.png", "a.png")])
def test_members_in_each_others_way_are_named(tmp_path, names):
    """A picture that is also a folder makes an archive that cannot be unpacked."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    with pytest.raises(BadDataset, match=r"x.zip cannot be unpacked"):
        unpack(tmp_path / "x.zip", tmp_path / "out", "train")


def test_the_command_takes_a_mirror_and_checks_against_the_official_frames(mirror, tmp_path):
    """`data fetch` downloads from --base-url, and frames that are not Udacity's are refused by name."""
    url, _ = mirror
    with pytest.raises(BadDataset, match=r"^8264 file") as caught:
        CliRunner().invoke(data, ["fetch", "-o", str(tmp_path), "--base-url", url], catch_exceptions=False)
    assert "train/images/a.jpeg: not an official file" in caught.value.problems


def test_the_shipped_manifest_lists_the_official_frames():
    """Image and mask of 4,131 + 1,184 + 1,134 frames, in a file small enough to ship."""
    manifest = read_manifest()
    assert len(manifest) == 2 * (4131 + 1184 + 1134)
    assert len(evaluation_images()) == 1134
    assert MANIFEST.stat().st_size < 500_000


def test_the_manifest_survives_writing(tmp_path):
    """A manifest is read back as written, byte-equal each time."""
    hashes = {"train/images/a b.jpeg": "0123456789abcdef", "train/masks/a.png": "f" * 16}
    write_manifest(hashes, tmp_path / "one.gz")
    write_manifest(dict(reversed(hashes.items())), tmp_path / "two.gz")
    assert read_manifest(tmp_path / "one.gz") == hashes
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert compare(hashes, hashes) == []
