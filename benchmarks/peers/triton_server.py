"""Triton through pytriton: a function on tensors. The frame comes decoded and the mask leaves as it is."""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from work import Work

work = Work()


@batch
def segment(image: np.ndarray) -> dict[str, np.ndarray]:
    """Answer one frame."""
    return {"classes": work.classes(image)}


if __name__ == "__main__":
    http = int(sys.argv[1])
    config = TritonConfig(
        http_address="127.0.0.1", http_port=http, grpc_port=int(sys.argv[2]), metrics_port=int(sys.argv[3])
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="segment",
            infer_func=segment,
            inputs=[Tensor(name="image", dtype=np.uint8, shape=(-1, -1, 3))],
            outputs=[Tensor(name="classes", dtype=np.uint8, shape=(-1, -1))],
            config=ModelConfig(max_batch_size=1),
        )
        triton.serve()
