"""The engine of this process: the SDK's default where no server is named."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from mien.errors import InvalidRequestError
from mien.v1 import face_service_pb2 as pb
from mien_models.detect import DetectorError
from mien_models.registry import ModelError
from mien_orchestrator.assembly import make_executor, make_inline_service
from mien_orchestrator.settings import Settings, SettingsError

T = TypeVar("T")


class EmbeddedEngine:
    """Analyzes in this process, on a thread with an event loop of its own; safe to use from several threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        try:
            settings = settings or Settings.load()
            self._executor = make_executor(settings)
            self._service = make_inline_service(settings, self._executor, "embedded")
        except (SettingsError, ModelError, DetectorError) as error:
            raise InvalidRequestError(str(error), reason="SETTINGS_WRONG") from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mien-embedded", daemon=True)
        self._thread.start()

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return self.submit(self._service.analyze(request, timeout)).result()

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models of this installation."""
        return self._service.list_models()

    def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what this installation is and takes."""
        return self._service.server_info()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the engine's threads."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._executor.shutdown()


class AsyncEmbeddedEngine:
    """As `EmbeddedEngine`, for asyncio, on the caller's own event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._engine = EmbeddedEngine(settings)

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        return await self._engine._service.analyze(request, timeout)

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models of this installation."""
        return self._engine.list_models(timeout)

    async def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what this installation is and takes."""
        return self._engine.server_info(timeout)

    async def close(self) -> None:
        """Stop the engine's threads."""
        self._engine.close()
