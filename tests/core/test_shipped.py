"""Shipped models are found by name, others by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from quadfollow_core import shipped
from quadfollow_core.errors import NotFound


def test_a_model_is_found_by_path_or_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file goes before a shipped one; what is neither is refused with the names there are."""
    monkeypatch.setattr(shipped, "models_folder", lambda: tmp_path)
    known, own = tmp_path / "known.onnx", tmp_path / "own.keras"
    known.touch()
    own.touch()
    assert shipped.find_model("known") == known
    assert shipped.find_model(str(own)) == own
    with pytest.raises(NotFound, match=r"no model 'nobody'.*\.onnx.*\(known\)"):
        shipped.find_model("nobody")


def test_a_network_is_no_model() -> None:
    """What is served is found among the ONNX files alone."""
    assert shipped.find_model().suffix == ".onnx"
    with pytest.raises(NotFound, match=shipped.DEFAULT_MODEL):
        shipped.find_model("nobody")


def test_variants_are_no_models_of_their_own() -> None:
    """The shipped models are listed without what lies beside them in lower precision."""
    assert [path.stem for path in shipped.shipped_models()] == ["follow-160", "follow-256", "seed"]
