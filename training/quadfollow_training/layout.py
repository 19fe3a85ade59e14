"""Finding data sets on disk and pairing their files, before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quadfollow_core.errors import BadDataset
from quadfollow_core.official_frames import is_evaluation
from quadfollow_core.scoring import NAME_MARK, pair_key
from quadfollow_core.scoring_sets import is_processed
from quadfollow_training.recordings import LABEL_CAMERAS, camera_files

IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One labelled frame: its image, its label files (one mask, or three cameras), run and data set."""

    image: Path
    labels: tuple[Path, ...]
    run: str
    folder: str


def find_frames(roots: Sequence[Path], folders: Sequence[str] | None = None) -> tuple[list[Frame], list[str]]:
    """Find and pair the frames of the data sets at or below ``roots``; return them and the files left over.

    Raises:
        BadDataset: no data set there, or one that is meant for evaluation only.
    """
    frames: list[Frame] = []
    problems: list[str] = []
    for folder in find_sets(roots, folders):
        found, left = pair_recording(folder) if is_recording(folder) else pair_processed(folder)
        frames += found
        problems += left
    if not frames and not problems:
        raise BadDataset(f"no frames in {', '.join(map(str, roots))}")
    return frames, problems


def find_sets(roots: Sequence[Path], folders: Sequence[str] | None = None) -> list[Path]:
    """List the data sets at or just below ``roots``; given ``folders``, those so named wherever they lie.

    A root that is a data set itself is always taken, and where none has one of the names, all are. The evaluation
    sets beside them are left alone.

    Raises:
        BadDataset: evaluation data, or a root without anything that looks like a data set.
    """
    sets = {path.resolve(): path for root in roots for path in _sets_of(root)}
    named = {place for place, path in sets.items() if path.name in (folders or ())}
    wanted = named | {root.resolve() for root in roots} if named else sets.keys()
    return [path for place, path in sets.items() if place in wanted]


def _sets_of(root: Path) -> list[Path]:
    """List what ``root`` holds: itself if it is a data set, else those of its sub-folders that are."""
    if is_evaluation(root):
        raise BadDataset(f"{root} is evaluation data: it scores networks and never trains them")
    if is_set(root):
        return [root]
    below = sorted(path for path in root.glob("*") if is_set(path))
    if not below:
        raise BadDataset(f"no data set in {root}: it needs images/ and masks/, or IMG/ of a recording")
    return below


def is_set(folder: Path) -> bool:
    """Tell whether ``folder`` is a data set in either layout."""
    return is_processed(folder) or is_recording(folder)


def is_recording(folder: Path) -> bool:
    """Tell whether ``folder`` is a raw DL-Training recording."""
    return (folder / "IMG").is_dir()


def pair_processed(folder: Path) -> tuple[list[Frame], list[str]]:
    """Pair ``images/`` with ``masks/``: by name where the names allow it, else by sorted order.

    Returns the frames and a line for every file without a partner, or whose name says the same as another's.
    """
    images, masks = (_pictures(folder / name) for name in ("images", "masks"))
    image_of, mask_of = ({pair_key(path): path for path in paths} for paths in (images, masks))
    shared = image_of.keys() & mask_of.keys()
    if shared:
        pairs = [(image_of[key], mask_of[key]) for key in sorted(shared)]
        alone = [image_of[key] for key in image_of.keys() - shared] + [mask_of[key] for key in mask_of.keys() - shared]
        problems = [f"{path}: has no partner" for path in sorted(alone)]
        for paths, kept in ((images, image_of), (masks, mask_of)):
            twins = ((path, kept[pair_key(path)]) for path in paths)
            problems += [f"{path}: is named as {twin.name} is" for path, twin in twins if path != twin]
    elif len(images) == len(masks):
        pairs, problems = list(zip(images, masks, strict=True)), []
    else:
        pairs, problems = [], [f"{folder}: {len(images)} images but {len(masks)} masks, and names that do not match"]
    frames = [Frame(image, (mask,), run_of(image), folder.name) for image, mask in pairs]
    return frames, problems


def pair_recording(folder: Path) -> tuple[list[Frame], list[str]]:
    """Pair ``cam1_*`` with ``cam2_*`` to ``cam4_*`` of a raw recording by their numbers; its name is the run's."""
    cameras = camera_files(folder / "IMG")
    numbers = set().union(*cameras.values())
    frames, problems = [], []
    for number in sorted(numbers):
        missing = [name for name, files in cameras.items() if number not in files]
        if missing:
            problems.append(f"{folder / 'IMG'}: frame {number} lacks {', '.join(missing)}")
            continue
        labels = tuple(cameras[name][number] for name in LABEL_CAMERAS)
        frames.append(Frame(cameras["cam1"][number], labels, folder.name, folder.name))
    return frames, problems


def run_of(image: Path) -> str:
    """Name the run of a processed image: what precedes ``cam1``, or the folder where nothing does."""
    run = NAME_MARK.split(image.stem)[0]
    return run if run and run != image.stem else image.parent.parent.name


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder; hidden ones are parts of files, left behind when a writer was killed."""
    shown = (path for path in folder.glob("*") if not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix.lower() in IMAGE_SUFFIXES)
