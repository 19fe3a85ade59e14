"""``quadfollow export``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from quadfollow_core.cli import read_size, refuse
from quadfollow_core.errors import ExportRefused, QuadfollowError, Unavailable

if TYPE_CHECKING:
    from quadfollow_export.precision import Made

EXTRA = ("keras", "tensorflow", "tf2onnx", "onnx")
OF_EXPORTING = ("name", "size", "frames", "float_path", "least_lead")
OF_VARIANTS = ("data", "evaluate")
OF_TRITON = ("triton_backend", "triton_device")


@click.command()
@click.argument("source", metavar="SOURCE", type=click.Path(exists=True, path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The .onnx file to write.")
@click.option("--name", help="The model's name; by default the file's.")
@click.option("--size", callback=read_size, help="Input WIDTHxHEIGHT; by default the network's own, or its recipe's.")
@click.option("--data", type=click.Path(path_type=Path), help="Frames to compare on; rendered ones if not given.")
@click.option("--frames", default=48, show_default=True, help="How many frames to compare on.")
@click.option("--evaluate", type=click.Path(path_type=Path), help="Official evaluation sets to score the model on.")
@click.option(
    "--float",
    "float_path",
    type=click.Path(path_type=Path),
    help="Where the float variant goes; by default RUN/export/NAME.float.onnx.",
)
@click.option(
    "--least-lead",
    default=0.0,
    show_default=True,
    metavar="LOGITS",
    help="How far the target must lead the other classes at some pixel, or the frame holds no target.",
)
@click.option("--fp16", is_flag=True, help="Also write a variant in 16-bit floats, for GPUs, beside the model.")
@click.option("--int8", is_flag=True, help="Also write two in 8-bit integers, for OpenVINO, calibrated on --data.")
@click.option(
    "--triton", type=click.Path(file_okay=False, path_type=Path), help="Also write a Triton model repository there."
)
@click.option(
    "--triton-backend",
    type=click.Choice(["onnxruntime", "python"]),
    default="onnxruntime",
    show_default=True,
    help="Which of Triton's backends runs the file.",
)
@click.option(
    "--triton-device",
    type=click.Choice(["gpu", "cpu"]),
    default="gpu",
    show_default=True,
    help="Where Triton's instances run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(
    source: Path,
    out: Path | None,
    name: str | None,
    size: tuple[int, int] | None,
    data: Path | None,
    frames: int,
    evaluate: Path | None,
    float_path: Path | None,
    least_lead: float,
    fp16: bool,
    int8: bool,
    triton: Path | None,
    triton_backend: Literal["onnxruntime", "python"],
    triton_device: str,
    as_json: bool,
) -> None:
    """Export a trained network to ONNX, proven equal to its source, with its contract inside and a card beside it.

    SOURCE is a run's folder, whose best network is taken, or a .keras file; for --fp16, --int8 and --triton alone, an
    exported .onnx file.
    """
    asked = [*((("fp16",),) if fp16 else ()), *((("int8", "int8-fused"),) if int8 else ())]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if int8 and data is None:
        raise click.UsageError(
            "8-bit integers are calibrated on frames of the kind the model is for: give them with --data"
        )
    if triton is None:
        refuse(OF_TRITON, "without --triton")
    if source.suffix == ".onnx":
        if out is not None or not (triton or asked):
            raise click.UsageError(
                f"{source.name} is exported already: give --fp16, --int8, --triton, or a .keras file"
            )
        refuse(OF_EXPORTING, "to a model that is exported already")
        if not asked:
            refuse(OF_VARIANTS, "to --triton alone")
        with _needing_extra():
            from quadfollow_export.graph import read_model
        _check_place(read_model(source)[2].name, triton)
        made = _variants(source, asked, data, evaluate)
        repository = _repository(source, triton, triton_backend, triton_device) if triton else None
        _tell_more(made, repository, as_json)
        return
    if out is None:
        raise click.UsageError("say which .onnx file to write: --out models/NAME.onnx")
    _check_place(name or out.stem, triton)
    with _needing_extra():
        from quadfollow_export.exporting import Options, export_network
    options = Options(
        name=name,
        size=size,
        data=data,
        frames=frames,
        evaluate=evaluate,
        float_path=float_path,
        least_lead=least_lead,
    )
    exported = export_network(source, out, options, progress=lambda line: click.echo(line, err=True))
    made = _variants(exported.model, asked, data, evaluate)
    repository = _repository(exported.model, triton, triton_backend, triton_device) if triton else None
    if as_json:
        click.echo(json.dumps(exported.as_dict() | _more(made, repository)))
        return
    checks = exported.contract.checks
    proof = checks["parity"]
    click.echo(
        f"largest probability difference {proof['probability']:.2g}, "
        f"{proof['class_share']:.2g} of pixels with another class, on {proof['frames']}"
    )
    if "final" in exported.contract.score:
        click.echo(f"official score {exported.contract.score['final']:.4f}")
    click.echo(f"{checks['parameters']:,} parameters, {checks['macs'] / 1e6:,.0f} million multiply-accumulates a frame")
    for path in (exported.model, exported.float_model, exported.card):
        click.echo(f"wrote {path}")
    _tell_more(made, repository, as_json)


def _check_place(name: str, out: Path | None) -> None:
    """Refuse, before anything is made, a model that its Triton repository has no place for."""
    if out is None:
        return
    with _needing_extra():
        from quadfollow_export.triton import find_place
    find_place(name, out)


def _repository(model: Path, out: Path, backend: Literal["onnxruntime", "python"], device: str) -> Path:
    from quadfollow_export.triton import write_repository

    return write_repository(model, out, backend, gpu=device == "gpu")


def _variants(model: Path, asked: Sequence[Sequence[str]], data: Path | None, evaluate: Path | None) -> list[Made]:
    """Make variants of a model, and have its card tell of them; of each group asked for at least one must be good.

    Raises:
        ExportRefused: of a group none is.
    """
    if not asked:
        return []
    with _needing_extra():
        from quadfollow_export.card import tell_variants
        from quadfollow_export.precision import make_variant
    made: list[Made] = []
    try:
        for group in asked:
            refusals = []
            for name in group:
                try:
                    made.append(make_variant(model, name, data, evaluate, progress=partial(click.echo, err=True)))
                except ExportRefused as error:
                    refusals.append(error)
                    click.echo(f"not made: {error}", err=True)
            if len(refusals) == len(group):
                raise refusals[0]
    except QuadfollowError:
        with suppress(QuadfollowError):
            tell_variants(model)
        raise
    tell_variants(model)
    return made


@contextmanager
def _needing_extra() -> Iterator[None]:
    """Name the extra that brings a package of ours that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise Unavailable(
            f'export needs {error.name}, which is not installed: pip install "quadfollow[export]"'
        ) from error


def _more(made: list[Made], repository: Path | None) -> dict[str, Any]:
    told: dict[str, Any] = {"variants": [variant.as_dict() for variant in made]} if made else {}
    return told | ({"triton": str(repository)} if repository else {})


def _tell_more(made: list[Made], repository: Path | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_more(made, repository)))
        return
    for variant in made:
        click.echo(variant.summary)
    for path in (*(variant.path for variant in made), *([repository] if repository else [])):
        click.echo(f"wrote {path}")
