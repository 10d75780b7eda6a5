"""The seam between the SDK and what answers it: requests in, replies out, over a channel or in this process."""

from typing import TYPE_CHECKING, Protocol

from mien.errors import EmbeddedUnavailableError
from mien.v1 import face_service_pb2 as pb

if TYPE_CHECKING:
    from mien_orchestrator.embedded import AsyncEmbeddedEngine, EmbeddedEngine


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


def embedded() -> "EmbeddedEngine":
    """Start the engine of this process; raises `EmbeddedUnavailableError` where its packages are missing."""
    try:
        from mien_orchestrator.embedded import EmbeddedEngine
    except ImportError as error:
        raise _missing(error) from error
    return EmbeddedEngine()


def async_embedded() -> "AsyncEmbeddedEngine":
    """As `embedded`, for asyncio."""
    try:
        from mien_orchestrator.embedded import AsyncEmbeddedEngine
    except ImportError as error:
        raise _missing(error) from error
    return AsyncEmbeddedEngine()


def _missing(error: ImportError) -> EmbeddedUnavailableError:
    return EmbeddedUnavailableError(
        f"analyzing in this process needs the package {error.name!r}: pip install 'mien[local]', or name a server "
        "(server='host:port', --server, MIEN_SERVER)"
    )
