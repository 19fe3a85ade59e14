"""The graph of a shipped model as tf2onnx exports it, which is what users of other servers would serve.

The network is built anew from the spec in its contract, with untrained weights: they change neither the graph nor its
time. It is converted in a process of its own, as TensorFlow is large, and kept beside the results.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from quadfollow_core.errors import Unavailable
from quadfollow_server.model_file import read_contract


def as_exported(model: Path, folder: Path) -> Path:
    """Return the exported graph of a shipped model, made if it is not there yet.

    Raises:
        Unavailable: it cannot be converted.
    """
    contract = read_contract(model)
    spec = json.dumps(contract.training["recipe"]["spec"] | {"input_size": [contract.width, contract.height]})
    path = folder / f"{contract.name}-{hashlib.sha256(spec.encode()).hexdigest()[:8]}-as-exported.onnx"
    if not path.exists():
        done = subprocess.run([sys.executable, __file__, spec, path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"the network of {contract.name} cannot be exported: {done.stderr[-1500:]}")
    return path


@click.command()
@click.argument("spec")
@click.argument("path", type=click.Path(path_type=Path))
def main(spec: str, path: Path) -> None:
    """Build a network from its spec, as JSON, and convert it as tf2onnx does."""
    from quadfollow_core.files import write_whole
    from quadfollow_export.convert import to_onnx
    from quadfollow_training.fcn import Spec, build

    asked: dict[str, Any] = json.loads(spec)
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
    wanted = Spec(**fields)
    write_whole(path, to_onnx(build(wanted), wanted.input_size).SerializeToString())


if __name__ == "__main__":
    main()
