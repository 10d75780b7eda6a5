"""The models of the Open Inference Protocol: `mien` takes encoded images, each task takes crops of faces."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.errors import MienError, NotFoundError
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb
from mien.version import __version__
from mien_models.spec import EMOTIONS, Task
from mien_orchestrator.edge.open_inference.tensors import BYTES, Tensor, TensorSpec, invalid
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.pipeline.timing import SpanRecorder

WHOLE = "mien"
"""Name of the model that takes images."""

IMAGES = TensorSpec("images", BYTES, (-1,))
"""The bytes of image files."""

OUTPUTS = (
    TensorSpec("image_index", "INT32", (-1,)),
    TensorSpec("boxes", "FP32", (-1, 4)),
    TensorSpec("detection_scores", "FP32", (-1,)),
    TensorSpec("abstained", "BOOL", (-1,)),
    TensorSpec("ages", "FP32", (-1,)),
    TensorSpec("age_ranges", "FP32", (-1, 2)),
    TensorSpec("genders", BYTES, (-1,)),
    TensorSpec("gender_probabilities", "FP32", (-1,)),
    TensorSpec("emotions", BYTES, (-1,)),
    TensorSpec("emotion_probabilities", "FP32", (-1, len(EMOTIONS))),
    TensorSpec("moods", "FP32", (-1, 2)),
)
"""One row per face of all images. A missing estimate is NaN, or an empty string."""

_TASK_OUTPUTS: Mapping[Task, tuple[TensorSpec, ...]] = {
    "age": tuple(TensorSpec(name, "FP32", (-1,)) for name in ("years", "low", "high")),
    "gender": (TensorSpec("p_male", "FP32", (-1,)),),
    "emotion": (TensorSpec("probabilities", "FP32", (-1, len(EMOTIONS))),),
}

MAX_IMAGES = 64
MAX_CROPS = 512
_AT_ONCE = 4
"""Maximum number of concurrently analyzed images per request, so that other callers are not starved."""

_NAN = float("nan")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Name, input and outputs of a model."""

    name: str
    version: str
    platform: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]


class InferenceModels:
    """The models of a server, whose service may be replaced."""

    def __init__(self, service: Callable[[], FaceAnalysis], serves: Callable[[str], bool | None]) -> None:
        """Create the models.

        Args:
            service: Returns the service for the next call.
            serves: Returns whether the server (empty name) or a task is ready; None for an unknown task.

        """
        self._service = service
        self._serves = serves

    def live(self) -> bool:
        """Return True: the process answers."""
        return True

    def ready(self) -> bool:
        """Return whether the server is ready."""
        return bool(self._serves(""))

    def model_ready(self, name: str, version: str) -> bool:
        """Return whether a model is ready; raises `NotFoundError`."""
        self.describe(name, version)
        return bool(self._serves("" if name == WHOLE else name))

    def describe(self, name: str, version: str = "") -> ModelDescription:
        """Return the description of a model; raises `NotFoundError` for an unknown name or version."""
        service = self._service()
        if name == WHOLE:
            found = ModelDescription(WHOLE, __version__, "mien", IMAGES, OUTPUTS)
        elif name in service.tasks:
            task = next(each for each in service.tasks if each == name)
            size = service.crop_size(task)
            crops = TensorSpec("crops", "UINT8", (-1, size, size, 3))
            model = service.server_info().models[task]
            found = ModelDescription(name, model.version, model.name, crops, _TASK_OUTPUTS[task])
        else:
            names = ", ".join([WHOLE, *service.tasks])
            raise NotFoundError(f"unknown model {name[:_SHOWN]!r}; available: {names}", reason="MODEL_UNKNOWN")
        if version not in ("", found.version):
            raise NotFoundError(
                f"the model {name} has version {found.version}, not {version[:_SHOWN]!r}", reason="MODEL_UNKNOWN"
            )
        return found

    async def infer(
        self, model: ModelDescription, inputs: Sequence[Tensor], wanted: Sequence[str], context: RequestContext
    ) -> list[Tensor]:
        """Run a model.

        Args:
            model: The model.
            inputs: The single input of the model.
            wanted: Names of the outputs to return, in order; empty for all.
            context: Context of the call.

        Returns:
            The outputs.

        Raises:
            InvalidRequestError: An input or output is unknown, or missing, or an image is invalid.
            MienError: As for `Analyze`; the first failure of an image or task ends the call, since the protocol has no
                partial answers.

        """
        names = [spec.name for spec in model.outputs]
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise invalid(f"unknown output {unknown[0][:_SHOWN]!r}; {model.name} has {', '.join(names)}")
        if [tensor.name for tensor in inputs] != [model.input.name]:
            raise invalid(f"{model.name} requires exactly one input, {model.input.name}")
        (given,) = inputs
        if model.name == WHOLE:
            made = await self._images(given, context)
        else:
            made = await self._crops(model.name, given, context)
        return [made[name] for name in wanted or names]

    async def _crops(self, task: str, crops: Tensor, context: RequestContext) -> Mapping[str, Tensor]:
        if not 0 < len(crops.array) <= MAX_CROPS:
            raise invalid(f"a request must have 1 to {MAX_CROPS} crops, not {len(crops.array)}")
        service = self._service()
        known = next(each for each in service.tasks if each == task)
        answers = await service.predict(known, crops.array, context)
        return {spec.name: Tensor(spec.name, "FP32", answers[spec.name]) for spec in _TASK_OUTPUTS[known]}

    async def _images(self, images: Tensor, context: RequestContext) -> Mapping[str, Tensor]:
        if not 0 < len(images.array) <= MAX_IMAGES:
            raise invalid(f"a request must have 1 to {MAX_IMAGES} images, not {len(images.array)}")
        service, free = self._service(), asyncio.Semaphore(_AT_ONCE)

        async def analyze(image: bytes) -> pb.AnalyzeResponse:
            async with free:
                own = replace(context, spans=SpanRecorder())
                request = pb.AnalyzeRequest(image=image, failure_policy=pb.FAILURE_POLICY_ALL_OR_NOTHING)
                return await service.analyze(request, own)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(analyze(image)) for image in images.array]
        except* MienError as errors:
            first = next(
                (index, task.exception())
                for index, task in enumerate(tasks)
                if not task.cancelled() and isinstance(task.exception(), MienError)
            )
            raise _named(*first, len(tasks)) from errors
        return _flat([task.result() for task in tasks])


def _named(index: int, error: BaseException | None, count: int) -> MienError:
    """Add the index of the image to an error."""
    assert isinstance(error, MienError)
    if count > 1:
        error.message = f"image {index}: {error.message}"
    return error


def _flat(replies: Sequence[pb.AnalyzeResponse]) -> Mapping[str, Tensor]:
    """Return the faces of all replies as arrays with one row per face."""
    places = [(index, face) for index, reply in enumerate(replies) for face in reply.faces]
    rows = [_row(index, face) for index, face in places]
    made = {}
    for column, spec in enumerate(OUTPUTS):
        values = [row[column] for row in rows]
        shape = (len(rows), *spec.shape[1:])
        if spec.datatype == BYTES:
            array = np.empty(len(rows), object)
            array[:] = values
        else:
            types = {"FP32": np.float32, "INT32": np.int32, "BOOL": np.bool_}
            array = np.array(values, types[spec.datatype]).reshape(shape)
        made[spec.name] = Tensor(spec.name, spec.datatype, array)
    return made


def _row(index: int, face: face_pb2.Face) -> tuple[object, ...]:
    """Return one face in the order of `OUTPUTS`."""
    age, gender, mood = face.age, face.gender, face.mood
    known_age, known_gender, known_mood = (face.HasField(name) for name in ("age", "gender", "mood"))
    emotions = {emotion.label: emotion.probability for emotion in face.emotions}
    value = face_pb2.GenderValue.Name(gender.value).removeprefix("GENDER_VALUE_").lower() if known_gender else ""
    return (
        index,
        [face.box.x, face.box.y, face.box.width, face.box.height],
        face.detection_score if face.HasField("detection_score") else _NAN,
        bool(face.quality.abstained_reasons),
        age.years if known_age else _NAN,
        [age.low, age.high] if known_age else [_NAN, _NAN],
        value.encode(),
        gender.probability if known_gender else _NAN,
        face.emotions[0].label.encode() if face.emotions else b"",
        [emotions.get(label, _NAN) for label in EMOTIONS],
        [mood.valence, mood.arousal] if known_mood else [_NAN, _NAN],
    )
