"""MLServer: a custom runtime whose input is base64 in the V2 protocol's JSON."""

from mlserver import MLModel
from mlserver.codecs import Base64Codec
from mlserver.types import InferenceRequest, InferenceResponse
from work import Work


class Segment(MLModel):
    """Answers one frame at a time."""

    async def load(self) -> bool:
        """Load the model."""
        self.work = Work()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one frame."""
        (jpeg,) = self.decode(payload.inputs[0], default_codec=Base64Codec)
        answer = Base64Codec.encode_output("mask", [self.work(jpeg)], use_bytes=False)
        return InferenceResponse(model_name=self.name, outputs=[answer])
