"""The RPCs of `FaceAnalysisService`, with their names and message types, for all engines."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from mien.v1 import face_service_pb2 as pb

SERVICE = "mien.v1.FaceAnalysisService"
"""Full name of the gRPC service."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Response]):
    """A unary RPC."""

    name: str
    request: type[Request]
    response: type[Response]

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC, such as `/mien.v1.FaceAnalysisService/Analyze`."""
        return f"/{SERVICE}/{self.name}"


ANALYZE = Method("Analyze", pb.AnalyzeRequest, pb.AnalyzeResponse)
LIST_MODELS = Method("ListModels", pb.ListModelsRequest, pb.ListModelsResponse)
GET_MODEL_CARD = Method("GetModelCard", pb.GetModelCardRequest, pb.GetModelCardResponse)
GET_SERVER_INFO = Method("GetServerInfo", pb.GetServerInfoRequest, pb.GetServerInfoResponse)


@dataclass(frozen=True, slots=True)
class StreamMethod(Generic[Request, Response]):
    """A bidirectional streaming RPC."""

    name: str
    request: type[Request]
    response: type[Response]

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC."""
        return f"/{SERVICE}/{self.name}"


ANALYZE_STREAM = StreamMethod("AnalyzeStream", pb.AnalyzeStreamRequest, pb.AnalyzeStreamResponse)

STREAMS: tuple[StreamMethod[Any, Any], ...] = (ANALYZE_STREAM,)
"""All streaming RPCs."""

METHODS: tuple[Method[Any, Any], ...] = (ANALYZE, LIST_MODELS, GET_MODEL_CARD, GET_SERVER_INFO)
"""All unary RPCs. They are idempotent and may be retried."""
