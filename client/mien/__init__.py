"""Mien estimates age, gender, emotion and mood of the faces in images.

import mien

with mien.Client.local() as client:  # in this process; mien.Client("host:50051") calls a server
    print(client.analyze("photo.jpg"))
"""

from mien.async_client import AsyncClient
from mien.client import Client
from mien.drawing.draw import draw
from mien.errors import (
    AuthenticationError,
    CallCancelledError,
    DeadlineExceededError,
    EmbeddedUnavailableError,
    FileError,
    ImageError,
    InvalidRequestError,
    MienError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServerError,
    ServerUnavailableError,
    UnsupportedError,
)
from mien.transport.tls import Tls
from mien.types.analysis import Analysis, ImageInfo, Span, TaskResult
from mien.types.face import Age, Box, Emotion, Face, Gender, Landmarks, Mood, Point, Quality
from mien.types.model_info import ModelInfo
from mien.types.rollout import ModelTraffic, Rollout, ShadowComparison
from mien.types.server_info import ModelCard, ServerInfo
from mien.types.video import Frame, FrameAnswers, FrameResult, TrackedFace, TrackEvent, TrackSummary
from mien.version import __version__

__all__ = [
    "Age",
    "Analysis",
    "AsyncClient",
    "AuthenticationError",
    "Box",
    "CallCancelledError",
    "Client",
    "DeadlineExceededError",
    "EmbeddedUnavailableError",
    "Emotion",
    "Face",
    "FileError",
    "Frame",
    "FrameAnswers",
    "FrameResult",
    "Gender",
    "ImageError",
    "ImageInfo",
    "InvalidRequestError",
    "Landmarks",
    "MienError",
    "ModelCard",
    "ModelInfo",
    "ModelTraffic",
    "Mood",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "Point",
    "Quality",
    "Rollout",
    "ServerError",
    "ServerInfo",
    "ServerUnavailableError",
    "ShadowComparison",
    "Span",
    "TaskResult",
    "Tls",
    "TrackEvent",
    "TrackSummary",
    "TrackedFace",
    "UnsupportedError",
    "__version__",
    "draw",
]
