"""Ray Serve: a deployment that is called with the request."""

import os
import sys
import time

from ray import serve
from starlette.requests import Request
from starlette.responses import Response
from work import Work


@serve.deployment(num_replicas=int(os.environ.get("PEER_WORKERS", "1")))
class Segment:
    """Answers one frame at a time."""

    def __init__(self) -> None:
        self.work = Work()

    async def __call__(self, request: Request) -> Response:
        """Answer one frame."""
        return Response(self.work(await request.body()), media_type="image/png")


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Segment.bind(), route_prefix="/segment")
    while True:
        time.sleep(60)
