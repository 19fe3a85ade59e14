"""BentoML: a service whose input is a file."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from work import Work


@bentoml.service(workers=int(os.environ.get("PEER_WORKERS", "1")))
class Segment:
    """Answers one frame at a time."""

    def __init__(self) -> None:
        self.work = Work()

    @bentoml.api
    def segment(self, file: Annotated[Path, ContentType("image/jpeg")]) -> Annotated[bytes, ContentType("image/png")]:
        """Answer one frame."""
        return self.work(file.read_bytes())
