"""Process one request: decode the image, detect and crop faces, call each model once, merge the reply.

Pure asyncio, without gRPC or Ray. Heavy work leaves the event loop; OpenCV and ONNX Runtime release the GIL.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TypeVar

from mien.errors import DeadlineExceededError, ImageError, InvalidRequestError
from mien.v1 import face_service_pb2 as pb
from mien_models.images.errors import ImageError as UnreadableImage
from mien_models.images.raw import PixelFormat, RawImage
from mien_models.spec import CropSpec, Task
from mien_orchestrator.pipeline.backend import Crops, Outcome
from mien_orchestrator.pipeline.face_stage import BulkheadExecutor, FaceStage, PreparedFaces
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.response import merge, task_span
from mien_orchestrator.pipeline.rollout.rollouts import Rollouts
from mien_orchestrator.pipeline.rollout.variants import Variant
from mien_workers.model_info import detector_info

_MAX_NAME = 80
"""Maximum length of an unknown task's name in the error, in characters."""

_MAX_TASKS = 16
"""Maximum number of task names in a request."""

_PIXEL_FORMATS: dict[int, PixelFormat] = {
    pb.PIXEL_FORMAT_RGB: "RGB",
    pb.PIXEL_FORMAT_BGR: "BGR",
    pb.PIXEL_FORMAT_GRAY: "GRAY",
    pb.PIXEL_FORMAT_NV12: "NV12",
}

_HEADROOM = 0.02
"""Part of the time left that is kept for the reply itself, so that one without the late tasks still arrives in time."""


T = TypeVar("T")


class Ensemble:
    """Analyzes images with one detector and one model per task."""

    def __init__(
        self,
        *,
        face_stage: FaceStage,
        rollouts: Rollouts,
        executor: BulkheadExecutor,
        headroom_s: float,
    ) -> None:
        """Create the ensemble.

        Args:
            face_stage: Decodes, detects and crops.
            rollouts: Runs the models.
            executor: Runs the face stage.
            headroom_s: Least deadline headroom, in seconds.

        """
        self.models = rollouts.stable.models
        self.detector = detector_info(face_stage.detector.info)
        self.model_infos = rollouts.stable.infos
        self.face_stage = face_stage
        self.rollouts = rollouts
        self._executor = executor
        self._headroom_s = headroom_s

    async def analyze(
        self, request: pb.AnalyzeRequest, context: RequestContext, named: Mapping[Task, Variant] | None = None
    ) -> pb.AnalyzeResponse:
        """Analyze one image before its deadline; a failed or late task becomes a status in the reply.

        Args:
            request: The image and the options.
            context: The request.
            named: Models that answer instead of the server's, by task.

        Raises:
            InvalidRequestError: The image, a task or an option is invalid.
            DeadlineExceededError: Not even the faces were found before the deadline.
            MienError: A task failed, and the request's failure policy is FAILURE_POLICY_ALL_OR_NOTHING.

        """
        tasks = self.tasks(request.tasks)
        context.deadline -= max(self._headroom_s, _HEADROOM * context.remaining)
        choice = self.rollouts.choose(tasks, named or {}, context.request_id)
        specs = {self.models[task].spec.crop for task in tasks if task not in choice.named} | choice.crops()
        prepared = await self._prepare(request, specs, context)
        outcomes: Mapping[Task, Outcome] = {}
        if len(prepared.quality.answerable):
            with context.spans.step("tasks") as span:
                outcomes = await self.rollouts.predict(tasks, prepared.crops, choice, context)
                span.children.extend(task_span(task, outcome) for task, outcome in outcomes.items())
        if request.failure_policy == pb.FAILURE_POLICY_ALL_OR_NOTHING:
            _raise_first_failure(outcomes)
        variants = {**choice.canaries, **choice.named}
        models = {task: variants.get(task, self.rollouts.stable).infos[task] for task in tasks}
        return merge(prepared, outcomes, models, self.detector, context.spans)

    async def predict(self, crops: Crops, context: RequestContext) -> Mapping[Task, Outcome]:
        """Run the models of the settings, without canaries and shadows."""
        return await self.rollouts.stable.predict(crops, context, "stable")

    def tasks(self, names: Sequence[str]) -> list[Task]:
        """Return the requested tasks, each once, in the requested order."""
        if len(names) > _MAX_TASKS:
            raise InvalidRequestError(
                f"the request has {len(names)} task names; list each task at most once, or none for all",
                reason="TASK_UNKNOWN",
            )
        unknown = [name for name in names if name not in self.models]
        if unknown:
            served = ", ".join(self.models)
            raise InvalidRequestError(
                f"unknown task {unknown[0][:_MAX_NAME]!r}; this server has: {served}", reason="TASK_UNKNOWN"
            )
        return [task for task in dict.fromkeys(names or self.models) if task in self.models]  # type: ignore[misc]

    async def _prepare(
        self, request: pb.AnalyzeRequest, specs: Set[CropSpec], context: RequestContext
    ) -> PreparedFaces:
        source = source_of(request)
        max_faces = request.max_faces if request.HasField("max_faces") else None

        def run() -> PreparedFaces:
            return self.face_stage.run(source, specs, max_faces, context)

        def run_unless_large() -> PreparedFaces | None:
            return None if self.face_stage.is_large(source) else run()

        prepared = await self.see(run_unless_large, context)
        return await self.see(run, context, large=True) if prepared is None else prepared

    async def see(self, step: Callable[[], T], context: RequestContext, *, large: bool = False) -> T:
        """Run a step before the models on a thread, until the request's deadline.

        Args:
            step: The step.
            context: The request.
            large: Whether the image is a large one, which has threads of its own.

        Raises:
            ImageError: The image cannot be read.
            DeadlineExceededError: The step did not end before the deadline; its thread stops before the next step.

        """
        queued_ms = context.spans.now_ms()
        executor = self._executor.large if large else self._executor

        def run() -> T:
            context.spans.add_since("queue", queued_ms)
            return step()

        try:
            async with asyncio.timeout(context.deadline - time.monotonic()):
                return await asyncio.wrap_future(executor.submit_for(context.caller, run))
        except UnreadableImage as error:
            raise ImageError(str(error), reason=error.reason) from error
        except TimeoutError as error:
            context.cancelled.set()
            raise DeadlineExceededError(
                "the faces were not found before the deadline; send a smaller image or raise the timeout"
            ) from error
        except asyncio.CancelledError:
            context.cancelled.set()
            raise


def source_of(request: pb.AnalyzeRequest | pb.Frame) -> bytes | RawImage:
    """Return the image file's bytes, or the raw pixels."""
    if request.WhichOneof("source") != "raw":
        return request.image
    raw = request.raw
    if raw.format not in _PIXEL_FORMATS:
        names = ", ".join(_PIXEL_FORMATS.values())
        raise ImageError(f"a raw image has one of the formats {names}", reason="IMAGE_FORMAT_UNSUPPORTED")
    return RawImage(_PIXEL_FORMATS[raw.format], raw.width, raw.height, raw.stride, raw.data)


def _raise_first_failure(outcomes: Mapping[Task, Outcome]) -> None:
    for outcome in outcomes.values():
        if outcome.error:
            raise outcome.error
