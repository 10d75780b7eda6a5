"""The engine of this process: the SDK's default where no server is named."""

import asyncio
import os
import threading
from concurrent.futures import Future, wait

from mien.errors import DetectorError, InvalidRequestError, MienError, ModelError, SettingsError, closed
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.pipeline.request_context import begin
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings

_ANALYZE = "/mien.v1.FaceAnalysisService/Analyze"


class _Local:
    """The service of this process, and who may still call it."""

    def __init__(self, settings: Settings | None) -> None:
        try:
            settings = settings or Settings.load()
            self._executors = make_executor(settings), make_executor(settings)
            self.service = make_inline_service(settings, *self._executors, "embedded")
        except (SettingsError, ModelError, DetectorError) as error:
            raise InvalidRequestError(str(error), reason="SETTINGS_WRONG") from error
        self.closed = False
        self._process = os.getpid()

    def check(self) -> FaceAnalysis:
        """Return the service; raises `MienError` where this client may not use it any more."""
        if self.closed:
            raise closed()
        if os.getpid() != self._process:
            raise MienError("this client was made before the fork; make a new one in this process", reason="FORKED")
        return self.service

    def shutdown(self) -> None:
        """Stop the threads."""
        for executor in self._executors:
            executor.shutdown()


class EmbeddedEngine:
    """Analyzes in this process, on a thread with an event loop of its own; safe to use from several threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._local = _Local(settings)
        self._lock = threading.Lock()
        self._in_flight: set[Future[pb.AnalyzeResponse]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mien-embedded", daemon=True)
        self._thread.start()

    def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        with self._lock:
            call = self._local.check().analyze(request, begin(_ANALYZE, timeout=timeout))
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
            self._in_flight.add(future)
        try:
            return future.result()
        finally:
            self._in_flight.discard(future)

    def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models of this installation."""
        return self._local.check().list_models()

    def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Return a model's card."""
        return self._local.check().model_card(name)

    def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what this installation is and takes."""
        return self._local.check().server_info()

    def close(self) -> None:
        """Refuse further calls, wait for those in flight, and stop the threads."""
        with self._lock:
            if self._local.closed:
                return
            self._local.closed = True
        wait(set(self._in_flight))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._local.shutdown()


class AsyncEmbeddedEngine:
    """As `EmbeddedEngine`, for asyncio, on the caller's own event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._local = _Local(settings)
        self._in_flight: set[asyncio.Task[pb.AnalyzeResponse]] = set()

    async def analyze(self, request: pb.AnalyzeRequest, timeout: float) -> pb.AnalyzeResponse:
        """Analyze one image."""
        task = asyncio.create_task(self._local.check().analyze(request, begin(_ANALYZE, timeout=timeout)))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await task

    async def list_models(self, timeout: float) -> pb.ListModelsResponse:
        """List the models of this installation."""
        return self._local.check().list_models()

    async def model_card(self, name: str, timeout: float) -> pb.GetModelCardResponse:
        """Return a model's card."""
        return self._local.check().model_card(name)

    async def server_info(self, timeout: float) -> pb.GetServerInfoResponse:
        """Say what this installation is and takes."""
        return self._local.check().server_info()

    async def close(self) -> None:
        """Refuse further calls, wait for those in flight, and stop the threads."""
        self._local.closed = True
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        await asyncio.to_thread(self._local.shutdown)
