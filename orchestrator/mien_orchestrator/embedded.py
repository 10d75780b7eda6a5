"""The service in a caller's process, for the local engine of `mien.transport.local`."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import cast

from mien.errors import DetectorError, InvalidRequestError, ModelError, SettingsError
from mien.transport.methods import Method, Request, Response, StreamMethod
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.pipeline.request_context import begin
from mien_orchestrator.settings import Settings


class EmbeddedService:
    """The service with all models and its thread pools."""

    def __init__(self, settings: Settings | Mapping[str, object] | None) -> None:
        """Load the models.

        Args:
            settings: Settings. A mapping overrides the environment, the settings file and the defaults.

        Raises:
            InvalidRequestError: a setting or a model is invalid (reason `SETTINGS_WRONG`).

        """
        if settings is not None and not isinstance(settings, Settings | Mapping):
            raise InvalidRequestError(
                f"settings are a mapping, such as {{'detector.name': 'haar'}}, or Settings, not {settings!r}; "
                "MIEN_CONFIG names a settings file",
                reason="SETTINGS_WRONG",
            )
        try:
            loaded = settings if isinstance(settings, Settings) else Settings.load(settings or {})
            self._executors = make_executor(loaded), make_executor(loaded)
            self._service = make_inline_service(loaded, *self._executors, pb.DEPLOYMENT_MODE_EMBEDDED)
        except (SettingsError, ModelError, DetectorError) as error:
            raise InvalidRequestError(str(error), reason="SETTINGS_WRONG") from error

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Mapping[str, str]
    ) -> Response:
        """Answer a request within `timeout` seconds; raises `MienError`."""
        context = begin(method.path, metadata.items(), timeout=timeout)
        return cast(Response, await self._service.call(request, context))

    def stream(
        self,
        method: StreamMethod[Request, Response],
        requests: AsyncIterator[Request],
        metadata: Mapping[str, str],
    ) -> AsyncGenerator[Response]:
        """Answer the requests of a stream; raises `MienError` while it is iterated."""
        messages = cast(AsyncIterator[pb.AnalyzeStreamRequest], requests)
        replies = self._service.stream(messages, begin(method.path, metadata.items()))
        return cast(AsyncGenerator[Response], replies)

    def close(self) -> None:
        """Stop the threads when they have finished their current work."""
        for executor in self._executors:
            executor.shutdown()
