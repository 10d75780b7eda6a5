"""The unary calls that both clients make: method, request message, and the conversion of the reply."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mien.request import model_name
from mien.transport.base import Reply
from mien.transport.methods import ANALYZE, GET_MODEL_CARD, GET_SERVER_INFO, LIST_MODELS, Method, Request, Response
from mien.types.analysis import Analysis
from mien.types.model_info import ModelInfo, model_info
from mien.types.server_info import ModelCard, ServerInfo
from mien.v1 import face_service_pb2 as pb

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Call(Generic[Request, Response, Value]):
    """One call, independent of its transport."""

    method: Method[Request, Response]
    request: Request
    result: Callable[[Reply[Response]], Value]
    """Converts the reply to the value that the client returns."""


def analyze(request: pb.AnalyzeRequest) -> Call[pb.AnalyzeRequest, pb.AnalyzeResponse, Analysis]:
    """Return the call that analyzes an image."""
    return Call(ANALYZE, request, lambda reply: Analysis.from_message(reply.message, reply.request_id))


def models() -> Call[pb.ListModelsRequest, pb.ListModelsResponse, tuple[ModelInfo, ...]]:
    """Return the call that lists the models."""
    return Call(
        LIST_MODELS, pb.ListModelsRequest(), lambda reply: tuple(model_info(model) for model in reply.message.models)
    )


def model_card(name: str) -> Call[pb.GetModelCardRequest, pb.GetModelCardResponse, ModelCard]:
    """Return the call that gets a model's card; raises `InvalidRequestError` for an invalid name."""
    request = pb.GetModelCardRequest(name=model_name(name))
    return Call(GET_MODEL_CARD, request, lambda reply: ModelCard.from_message(reply.message))


def server_info() -> Call[pb.GetServerInfoRequest, pb.GetServerInfoResponse, ServerInfo]:
    """Return the call that gets the server's description."""
    return Call(GET_SERVER_INFO, pb.GetServerInfoRequest(), lambda reply: ServerInfo.from_message(reply.message))
