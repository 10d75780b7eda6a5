"""The methods of `FaceAnalysisService`, independent of the transport."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from mien.errors import InvalidRequestError, NotFoundError, ServerUnavailableError, UnsupportedError
from mien.request import check_max_faces
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien.version import __version__
from mien_models.card import card
from mien_models.images.formats import FORMATS
from mien_models.registry import Entry, Registry
from mien_models.spec import Task
from mien_orchestrator.pipeline.admission.admission import Admission
from mien_orchestrator.pipeline.admission.caller_limits import CallerLimits
from mien_orchestrator.pipeline.ensemble import Ensemble
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.response import Answers
from mien_orchestrator.pipeline.rollout.counts import RolloutCounts
from mien_orchestrator.pipeline.rollout.variants import Variant, Variants
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.pipeline.video.streams import Streams
from mien_orchestrator.settings import Settings
from mien_workers.model_info import model_info

_LONGEST_NAME = 80


class FaceAnalysis:
    """The methods of `FaceAnalysisService`; they raise `MienError`."""

    def __init__(
        self,
        ensemble: Ensemble,
        registry: Registry,
        settings: Settings,
        deployment_mode: pb.DeploymentMode.ValueType,
        health: TaskHealth,
        counts: RolloutCounts,
        variants: Variants | None = None,
    ) -> None:
        """Create the service.

        Args:
            ensemble: Analyzes images.
            registry: The installed models.
            settings: The settings.
            deployment_mode: How the models are run, for people.
            health: Health of the tasks.
            counts: Counts the answers of canaries and shadows.
            variants: The models that a request may name; None if it may name none.

        """
        self.health = health
        self._ensemble = ensemble
        self._variants = variants
        self._counts = counts
        self._registry = registry
        self._settings = settings
        self._deployment_mode = deployment_mode
        self._admission = Admission(
            max_requests=settings.limits.max_concurrent_requests,
            max_bytes=settings.limits.max_concurrent_bytes,
            callers=CallerLimits(settings.auth.max_concurrent_requests, settings.auth.max_requests_per_second),
        )
        self._streams = Streams(
            ensemble,
            self._admission,
            settings.streams,
            max_bytes=settings.limits.max_concurrent_bytes,
            max_per_caller=settings.auth.max_streams,
        )

    @property
    def in_flight(self) -> int:
        """Number of images being analyzed."""
        return self._admission.in_flight

    async def call(self, request: Message, context: RequestContext) -> Message:
        """Dispatch a request by its type; raises `MienError`."""
        match request:
            case pb.AnalyzeRequest():
                return await self.analyze(request, context)
            case pb.ListModelsRequest():
                return self.list_models()
            case pb.GetModelCardRequest():
                return self.model_card(request.name)
            case pb.GetServerInfoRequest():
                return self.server_info()
        raise UnsupportedError(f"no method takes a {type(request).__name__}")

    def check_load(self, context: RequestContext) -> None:
        """Raise `OverloadedError` if the server is too busy for another image, before that is read."""
        self._admission.check(context.remaining, context.caller)

    async def analyze(self, request: pb.AnalyzeRequest, context: RequestContext) -> pb.AnalyzeResponse:
        """Analyze one image before its deadline; see `Ensemble.analyze`.

        Raises:
            OverloadedError: Too many images are being analyzed already; see `Admission`.

        """
        _check(request)
        with self._admission.admit(len(request.image) + len(request.raw.data), context.remaining, context.caller):
            named = await self._named(request.models) if request.models else {}
            return await self._ensemble.analyze(request, context, named)

    async def _named(self, models: Mapping[str, str]) -> dict[Task, Variant]:
        """Return the models that a request names; they take the place of the server's for this request."""
        if not self._variants:
            raise InvalidRequestError(
                "this server runs only the models of its settings; models.selectable allows others",
                reason="MODELS_FIXED",
            )
        return {task: await self._variants.get(task, models[task]) for task in self._ensemble.tasks(list(models))}

    async def drain(self) -> None:
        """End all streams, whose callers go on with another server; other calls go on until their end."""
        await self._streams.drain()
        await self._ensemble.rollouts.close()

    @property
    def stream_bytes(self) -> int:
        """Bytes of the frames of all streams that wait or are analyzed."""
        return self._streams.bytes.used

    @property
    def open_streams(self) -> int:
        """Number of streams at this moment."""
        return self._streams.open

    def stream(
        self, requests: AsyncIterator[pb.AnalyzeStreamRequest], context: RequestContext
    ) -> AsyncGenerator[pb.AnalyzeStreamResponse]:
        """Analyze a video stream; see `Streams.run`."""
        return self._streams.run(requests, context)

    async def predict(self, task: Task, crops: NDArray[np.uint8], context: RequestContext) -> Answers:
        """Run the model of a task on crops (N, S, S, 3) uint8 RGB; see `mien_models.registry.ANSWERS`.

        Raises:
            OverloadedError: Too many images are being analyzed already; see `Admission`.
            MienError: The model failed, or did not answer in time.

        """
        with self._admission.admit(crops.nbytes, context.remaining, context.caller):
            outcome = (await self._ensemble.predict({task: crops}, context))[task]
        if outcome.prediction is None:
            raise outcome.error or ServerUnavailableError(f"the task {task} has no answer")
        return outcome.prediction.answers

    def crop_size(self, task: Task) -> int:
        """Return the side of a task's crops, in pixels."""
        return self._ensemble.models[task].spec.crop.size

    @property
    def tasks(self) -> list[Task]:
        """The tasks that are served."""
        return list(self._ensemble.models)

    def list_models(self) -> pb.ListModelsResponse:
        """List the models, those in use first."""
        used = {entry.spec.name for entry in self._ensemble.models.values()}
        entries = sorted(self._registry.entries(), key=lambda entry: (entry.spec.name not in used, entry.spec.name))
        return pb.ListModelsResponse(models=[self._described(entry) for entry in entries])

    def model_card(self, name: str) -> pb.GetModelCardResponse:
        """Return a model's card; raises `NotFoundError`."""
        entries = {entry.spec.name: entry for entry in self._registry.entries()}
        if name not in entries:
            raise NotFoundError(
                f"unknown model {name[:_LONGEST_NAME]!r}; available: {', '.join(entries)}", reason="MODEL_UNKNOWN"
            )
        return pb.GetModelCardResponse(model=self._described(entries[name]), markdown=card(entries[name]))

    def _described(self, entry: Entry) -> face_pb2.ModelInfo:
        infos = self._ensemble.model_infos.values()
        return model_info(entry, next((info.device for info in infos if info.name == entry.spec.name), ""))

    def server_info(self) -> pb.GetServerInfoResponse:
        """Return the server's version, deployment mode, tasks, formats and limits."""
        settings = self._settings
        return pb.GetServerInfoResponse(
            version=__version__,
            deployment_mode=self._deployment_mode,
            tasks=list(self._ensemble.models),
            formats=FORMATS,
            detector=self._ensemble.detector,
            models=self._ensemble.model_infos,
            rollouts=self._counts.messages(self._ensemble.rollouts),
            max_image_bytes=settings.limits.max_image_bytes,
            max_image_pixels=settings.limits.max_image_pixels,
            max_faces=settings.limits.max_faces,
            min_face_px=settings.limits.min_face_px,
            min_sharpness=settings.limits.min_sharpness,
        )


def _check(request: pb.AnalyzeRequest) -> None:
    if request.HasField("max_faces"):
        check_max_faces(request.max_faces)
    if request.failure_policy not in pb.FailurePolicy.values():
        names = ", ".join(pb.FailurePolicy.keys())
        raise InvalidRequestError(
            f"unknown failure_policy {request.failure_policy}; use one of {names}", reason="FAILURE_POLICY_UNKNOWN"
        )
