"""BentoML, one worker process per core: bentoml serve peers.bento:Faces. Images are form files, passed as paths.

BentoML parses bodies other than forms as JSON or text, so image bytes are sent as a form.
"""

from pathlib import Path

import bentoml

from pipeline import Pipeline, Reply


@bentoml.service(workers="cpu_count", traffic={"timeout": 120}, logging={"access": {"enabled": False}})
class Faces:
    """The pipeline as a BentoML service."""

    def __init__(self) -> None:
        self._pipeline = Pipeline()

    @bentoml.api
    def analyze(self, request: Path) -> Reply:
        """Analyze one image."""
        return self._pipeline.analyze(request.read_bytes())
