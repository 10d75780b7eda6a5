"""LitServe: one worker process per core, as documented for CPUs; images as form files.

LitServe parses bodies other than forms as JSON, so image bytes are sent as a form.
"""

import os
import sys

import litserve
from fastapi import UploadFile

from pipeline import Pipeline, Reply


class FaceAPI(litserve.LitAPI):
    """The pipeline as a LitServe API."""

    def setup(self, device: str) -> None:
        """Load the models, once per worker."""
        self._pipeline = Pipeline()

    def decode_request(self, request: UploadFile) -> bytes:
        """Return the file's bytes."""
        return request.file.read()

    def predict(self, image: bytes) -> Reply:
        """Analyze one image."""
        return self._pipeline.analyze(image)

    def encode_response(self, output: Reply) -> Reply:
        """Return the response, which LitServe sends as JSON."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        FaceAPI(api_path="/analyze"), accelerator="cpu", workers_per_device=os.cpu_count() or 1, timeout=120
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
