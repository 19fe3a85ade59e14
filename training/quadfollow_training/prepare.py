"""Looking at a data set before training on it, and turning raw recordings into QuadSim's processed layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from quadfollow_core.codec import encode_jpeg, encode_png, sniff
from quadfollow_core.errors import BadInput
from quadfollow_core.resize import channels_from_classes
from quadfollow_core.scoring import MIN_TARGET_PIXELS, SIZE_BINS, size_class
from quadfollow_training.frames import Frames, read_frame


def statistics(frames: Frames) -> dict[str, Any]:
    """Count frames, classes and target sizes, in all and by run; ready for JSON."""
    pixels = sum(facts.size[0] * facts.size[1] for facts in frames.facts)
    people, target = int(frames.people.sum()), int(frames.target.sum())
    return {
        "frames": len(frames),
        "fingerprint": frames.fingerprint,
        "class_shares": {
            "background": 1 - (people + target) / pixels,
            "person": people / pixels,
            "target": target / pixels,
        },
        "target_sizes": _sizes(frames.target[frames.target > MIN_TARGET_PIXELS]),
        "runs": {run: _run(frames, run) for run in frames.runs},
    }


def _sizes(pixels: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, int]:
    counts = Counter(size_class(int(count)) for count in pixels)
    return {name: counts[name] for name in map(size_class, SIZE_BINS[:-1])}


def _run(frames: Frames, run: str) -> dict[str, Any]:
    chosen = np.array([frame.run == run for frame in frames.items])
    target = frames.target[chosen]
    seen = target[target > MIN_TARGET_PIXELS]
    return {
        "folders": sorted({frame.folder for frame in frames.items if frame.run == run}),
        "frames": int(chosen.sum()),
        "with_target": len(seen),
        "with_people": int((frames.people[chosen] > 0).sum()),
        "median_target_pixels": float(np.median(seen)) if len(seen) else 0.0,
        "target_sizes": _sizes(seen),
    }


def convert(frames: Frames, out: Path) -> int:
    """Write frames as ``images/*.jpeg`` and ``masks/*.png`` below ``out``; return their number.

    What is JPEG already is copied, not compressed once more.

    Raises:
        BadInput: two frames would get the same name.
    """
    names = [f"{frame.run}_cam1_{_number(frame.image)}" for frame in frames.items]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadInput(f"{len(twice)} frame(s) share a run and a number, such as {twice[0]}: convert them apart")
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for frame, name in zip(frames.items, names, strict=True):
        image, mask = read_frame(frame)
        data = frame.image.read_bytes()
        (out / "images" / f"{name}.jpeg").write_bytes(data if sniff(data) == "jpeg" else encode_jpeg(image))
        picture = channels_from_classes(mask).astype(np.uint8) * np.uint8(255)
        (out / "masks" / f"{name.replace('_cam1_', '_mask_')}.png").write_bytes(encode_png(picture))
    return len(names)


def _number(image: Path) -> str:
    """What follows ``cam1`` in a frame's name."""
    return image.stem.partition("cam1")[2].lstrip("_") or image.stem


def table(report: dict[str, Any]) -> str:
    """Lay the statistics out as text."""
    shares = report["class_shares"]
    lines = [
        f"{report['frames']} frames, fingerprint {report['fingerprint'][:16]}",
        "pixels: " + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()),
        f"{'run':14}{'frames':>8}{'people':>8}{'target':>8}{'median':>8}  target sizes in pixels",
    ]
    for run, row in report["runs"].items():
        sizes = " ".join(f"{name}:{count}" for name, count in row["target_sizes"].items() if count)
        counts = f"{row['frames']:>8}{row['with_people']:>8}{row['with_target']:>8}{row['median_target_pixels']:>8.0f}"
        lines.append(f"{run:14}{counts}  {sizes}")
    return "\n".join(lines)
