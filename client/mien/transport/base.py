"""The seam between the SDK and what answers it: requests in, replies out, over a channel or in this process."""

from typing import Protocol

from mien.v1 import face_service_pb2 as pb


class Engine(Protocol):
    """Answers requests; every method raises `MienError`. Times are in seconds."""

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models."""

    def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Return a model's card."""

    def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what the engine is and takes."""

    def close(self) -> None:
        """Free what the engine holds."""


class AsyncEngine(Protocol):
    """As `Engine`, for asyncio."""

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models."""

    async def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Return a model's card."""

    async def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what the engine is and takes."""

    async def close(self) -> None:
        """Free what the engine holds."""
