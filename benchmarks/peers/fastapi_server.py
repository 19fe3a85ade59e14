"""The server many write first: FastAPI with an upload and a plain function, run by uvicorn."""

from fastapi import FastAPI, Response, UploadFile
from work import Work

app = FastAPI()
work = Work()


@app.post("/segment")
def segment(file: UploadFile) -> Response:
    """Answer one frame."""
    return Response(work(file.file.read()), media_type="image/png")
