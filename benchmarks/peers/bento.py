"""BentoML, one worker process a core: bentoml serve peers.bento:Faces. Images are form files, handed over as paths.

A body that is no form is read as JSON or text, so a form is its way for an image's bytes.
"""

from pathlib import Path

import bentoml

from pipeline import Pipeline, Reply


@bentoml.service(workers="cpu_count", traffic={"timeout": 120}, logging={"access": {"enabled": False}})
class Faces:
    """The pipeline as BentoML wants it."""

    def __init__(self) -> None:
        self._pipeline = Pipeline()

    @bentoml.api
    def analyze(self, request: Path) -> Reply:
        """Analyze one image."""
        return self._pipeline.analyze(request.read_bytes())
