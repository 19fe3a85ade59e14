"""LitServe: a LitAPI whose requests are uploads."""

import os
import sys

import litserve
from fastapi import Response
from work import Work


class Segment(litserve.LitAPI):
    """Answers one frame at a time in a worker process."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.work = Work()

    def decode_request(self, request):
        """Read the upload."""
        return request["content"].file.read()

    def predict(self, x: bytes) -> bytes:
        """Answer one frame."""
        return self.work(x)

    def encode_response(self, output: bytes) -> Response:
        """Write the picture."""
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(
        Segment(), accelerator="cpu", workers_per_device=int(os.environ.get("PEER_WORKERS", "1"))
    )
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
