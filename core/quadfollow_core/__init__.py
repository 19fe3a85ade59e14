"""What every part of quadfollow shares: types, geometry, codecs, the model contract, the wire, the score."""

import os

# onnxruntime reports its use to its makers unless this is set before it is first imported; every package of
# quadfollow imports this one first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
