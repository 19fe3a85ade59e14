"""The work every peer does: a JPEG in, the class mask as PNG out, by the same codec and the same onnxruntime as ours.

PEER_MODEL is the ONNX file; without it the network costs nothing and only the peer's own work is left. The file may
answer class masks, as ``quadfollow export`` writes them, or probabilities, as tf2onnx leaves them.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
import simplejpeg


class Work:
    """One session and what is around it."""

    def __init__(self, path: str | None = None) -> None:
        path = path or os.environ.get("PEER_MODEL")
        self._session = None
        self.size = (256, 256)
        """``(width, height)`` of the model."""
        if path:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            _, height, width, _ = self._session.get_inputs()[0].shape
            self.size = (width, height)
        self._outputs = [output.name for output in self._session.get_outputs()] if self._session else []
        self._nothing = np.zeros((1, self.size[1], self.size[0]), np.uint8)
        self._nothing[:, 100:140, 120:140] = 2

    def classes(self, images: np.ndarray) -> np.ndarray:
        """Segment ``(N, H, W, 3)`` uint8 images into ``(N, H, W)`` uint8 class masks."""
        if self._session is None:
            return self._nothing
        if "classes" in self._outputs:
            return np.asarray(self._session.run(["classes"], {"image": images})[0])
        (probabilities,) = self._session.run(None, {"image": images})
        return np.asarray(np.argmax(probabilities, axis=-1), np.uint8)

    def __call__(self, jpeg: bytes) -> bytes:
        """Answer one frame."""
        image = simplejpeg.decode_jpeg(jpeg, "RGB")
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".png", self.classes(image[None])[0])[1].tobytes()
