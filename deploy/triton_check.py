"""Asks a running Triton server the same frames as onnxruntime, and reads a repository's configuration by its schema.

Run by triton_test.sh, in an environment with tritonclient and without quadfollow.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import tritonclient.grpc as triton
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

OUTPUTS = ["classes", "target_probability"]
BATCHES = (1, 3, 16)


def main(repository: Path, address: str, model: Path) -> None:
    """Check configuration and answers, or end with what is wrong."""
    (config_file,) = repository.glob("*/config.pbtxt")
    config = text_format.Parse(config_file.read_text(encoding="utf-8"), ModelConfig())
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[1:3]
    assert config.backend == "onnxruntime", config.backend
    assert list(config.input[0].dims) == [height, width, 3], config.input
    assert [output.name for output in config.output] == OUTPUTS, config.output
    assert (config_file.parent / "1" / "model.onnx").read_bytes() == model.read_bytes()
    print(f"the configuration of {config.name} meets Triton's schema")

    client = triton.InferenceServerClient(address)
    wait_until_ready(client, config.name)
    rng = np.random.default_rng(0)
    for count in BATCHES:
        frames = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        given = triton.InferInput("image", frames.shape, "UINT8")
        given.set_data_from_numpy(frames)
        answer = client.infer(config.name, [given])
        for name, expected in zip(OUTPUTS, session.run(OUTPUTS, {"image": frames}), strict=True):
            assert np.array_equal(answer.as_numpy(name), expected), f"{name} differs in a batch of {count}"
        print(f"the same answers for a batch of {count}")


def wait_until_ready(client: triton.InferenceServerClient, name: str, patience: float = 120.0) -> None:
    """Wait for the model to be loaded."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            if client.is_model_ready(name):
                return
        except triton.InferenceServerException:
            pass
        time.sleep(0.5)
    sys.exit(f"{name} was not ready within {patience:g} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
