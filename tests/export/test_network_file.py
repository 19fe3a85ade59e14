"""The network to go on training with: smaller than the run's, loaded as any other, answering nearly alike."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from click.testing import CliRunner
from tests.export.conftest import SIZE

from quadfollow_export.cli import export
from quadfollow_export.scenes import render_scenes
from quadfollow_training.compiling import begin_with, load


def test_it_is_the_run_s_network_in_less_room(run_folder: Path, tmp_path: Path) -> None:
    """Kernels lose the last of their 24 bits, nothing else is touched, and a new run can begin with it."""
    out, there = tmp_path / "f.onnx", tmp_path / "kept" / "f.keras"
    options = ["--out", str(out), "--frames", "4", "--network", str(there)]
    told = CliRunner().invoke(export, [str(run_folder), *options], catch_exceptions=False)
    assert f"wrote {there}" in told.stdout
    own, kept = load(run_folder / "best.keras"), load(there)
    for before, after in zip(own.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, rtol=2**-8 if before.ndim > 1 else 0)
    frames = render_scenes(4, SIZE)
    expected, found = (np.argmax(network(frames, training=False), axis=-1) for network in (own, kept))
    assert np.mean(expected != found) < 0.05 < np.mean(expected != found[::-1])
    begun = keras.models.clone_model(own)
    begin_with(kept, there, begun)
    np.testing.assert_array_equal(begun.get_weights()[0], kept.get_weights()[0])


def test_half_the_bits_take_little_more_than_half_the_room(tmp_path: Path) -> None:
    """A network of real weights packs to three fifths at most."""
    from quadfollow_export.network_file import write_network
    from quadfollow_export.source import find_source

    network = keras.Sequential([keras.Input((8, 8, 64)), keras.layers.Conv2D(128, 3), keras.layers.Conv2D(128, 3)])
    network.save(tmp_path / "own.keras")
    write_network(find_source(tmp_path / "own.keras"), tmp_path / "kept.keras")
    own, kept = ((tmp_path / f"{name}.keras").stat().st_size for name in ("own", "kept"))
    assert kept < 0.6 * own


def test_an_exported_model_holds_no_network(tmp_path: Path) -> None:
    """An .onnx file cannot be gone on with."""
    (tmp_path / "f.onnx").write_bytes(b"x")
    result = CliRunner().invoke(export, [str(tmp_path / "f.onnx"), "--fp16", "--network", str(tmp_path / "f.keras")])
    assert result.exit_code == 2
    assert "exported already" in result.output
