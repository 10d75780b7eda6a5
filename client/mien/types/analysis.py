"""The result of an analysis as frozen values, converted from the protobuf response."""

from dataclasses import dataclass, field
from typing import Self

from google.rpc import code_pb2

from mien.types.face import Face, read_face
from mien.types.model_info import ModelInfo, model_info
from mien.types.proto_json import as_dict
from mien.v1 import face_pb2, face_service_pb2


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The outcome of a task."""

    task: str
    code: str
    """`OK`, or the name of the `google.rpc.Code`, such as `UNAVAILABLE`."""
    message: str
    """The error of a failed task; empty if it succeeded."""
    model: ModelInfo | None

    @property
    def ok(self) -> bool:
        """Whether the task succeeded."""
        return self.code == "OK"


@dataclass(frozen=True, slots=True)
class Span:
    """A timed step of a request. Times are in milliseconds from the request's arrival."""

    name: str
    start_ms: float
    elapsed_ms: float
    children: tuple["Span", ...]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Properties of the decoded image; width and height are those of the upright image, in pixels."""

    width: int
    height: int
    format: str
    exif_orientation: int
    orientation_applied: bool
    data_missing: bool
    """Whether the file is truncated; missing pixels are grey."""
    smallest_face_px: float | None
    """Smallest height of faces that the detector searched for, in pixels; smaller ones may be missed. None: unknown."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of one image."""

    faces: tuple[Face, ...]
    """Largest first; empty if no face was found."""
    faces_truncated: bool
    image: ImageInfo
    tasks: tuple[TaskResult, ...]
    detector: ModelInfo
    timing: Span
    critical_path: tuple[str, ...]
    """Names of the steps that determined the latency, in order."""
    request_id: str = field(compare=False)
    """Id of the request, as in the server's log."""
    message: face_service_pb2.AnalyzeResponse = field(repr=False, compare=False)
    """The protobuf message."""

    @classmethod
    def from_message(cls, message: face_service_pb2.AnalyzeResponse, request_id: str = "") -> Self:
        """Convert a protobuf response."""
        image = message.image
        return cls(
            faces=tuple(read_face(face) for face in message.faces),
            faces_truncated=message.faces_truncated,
            image=ImageInfo(
                width=image.width,
                height=image.height,
                format=image.format,
                exif_orientation=image.exif_orientation,
                orientation_applied=image.orientation_applied,
                data_missing=image.data_missing,
                smallest_face_px=image.smallest_face_px if image.HasField("smallest_face_px") else None,
            ),
            tasks=tuple(read_task_result(task) for task in message.tasks),
            detector=model_info(message.detector),
            timing=read_span(message.timing.total),
            critical_path=tuple(message.timing.critical_path),
            request_id=request_id,
            message=message,
        )

    def to_dict(self) -> dict[str, object]:
        """Return the reply as proto3 JSON with the original field names; fields at their defaults are present."""
        return as_dict(self.message)

    def __str__(self) -> str:
        count = len(self.faces)
        lines = [
            f"{count} face{'' if count == 1 else 's'} in {self.image.width}x{self.image.height} {self.image.format}"
        ]
        lines += [f"  {face}" for face in self.faces]
        lines += [f"  {task.task} failed: {task.code}: {task.message}" for task in self.tasks if not task.ok]
        return "\n".join(lines)


def read_task_result(message: face_pb2.TaskResult) -> TaskResult:
    """Convert the outcome of a task."""
    return TaskResult(
        task=message.task,
        code=code_pb2.Code.Name(message.status.code),
        message=message.status.message,
        model=model_info(message.model) if message.HasField("model") else None,
    )


def read_span(message: face_pb2.Span) -> Span:
    """Convert a step of the timing tree."""
    children = tuple(read_span(child) for child in message.children)
    return Span(message.name, message.start_ms, message.elapsed_ms, children)
