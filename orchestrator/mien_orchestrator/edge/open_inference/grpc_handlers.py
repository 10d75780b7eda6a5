"""The gRPC handlers of `inference.GRPCInferenceService`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from mien.errors import InvalidRequestError
from mien.version import __version__
from mien_orchestrator.edge.interceptors import Handler, Rpc
from mien_orchestrator.edge.open_inference import messages
from mien_orchestrator.edge.open_inference.models import InferenceModels, ModelDescription
from mien_orchestrator.edge.open_inference.tensors import (
    Tensor,
    TensorSpec,
    from_items,
    from_raw,
    invalid,
    to_raw,
)
from mien_orchestrator.pipeline import request_context

_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT32": "uint_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "BYTES": "bytes_contents",
}
"""The field of `InferTensorContents` for each datatype."""


def add_inference_handlers(models: InferenceModels, server: grpc.aio.Server) -> None:
    """Register the handlers; call it before the server starts."""
    methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
        "ServerLive": (messages.ServerLiveRequest, _Methods(models).server_live),
        "ServerReady": (messages.ServerReadyRequest, _Methods(models).server_ready),
        "ModelReady": (messages.ModelReadyRequest, _Methods(models).model_ready),
        "ServerMetadata": (messages.ServerMetadataRequest, _Methods(models).server_metadata),
        "ModelMetadata": (messages.ModelMetadataRequest, _Methods(models).model_metadata),
        "ModelInfer": (messages.ModelInferRequest, _Methods(models).model_infer),
    }
    handlers: dict[str, Handler] = {
        name: grpc.unary_unary_rpc_method_handler(
            _unary(method), request.FromString, lambda reply: bytes(reply.SerializeToString())
        )
        for name, (request, method) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(messages.SERVICE, handlers),))


def _unary(method: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, Rpc], Awaitable[Any]]:
    async def answer(request: Any, rpc: Rpc) -> Any:
        return await method(request)

    return answer


class _Methods:
    """The methods of the service."""

    def __init__(self, models: InferenceModels) -> None:
        self._models = models

    async def server_live(self, request: Any) -> Any:
        return messages.ServerLiveResponse(live=self._models.live())

    async def server_ready(self, request: Any) -> Any:
        return messages.ServerReadyResponse(ready=self._models.ready())

    async def model_ready(self, request: Any) -> Any:
        return messages.ModelReadyResponse(ready=self._models.model_ready(request.name, request.version))

    async def server_metadata(self, request: Any) -> Any:
        return messages.ServerMetadataResponse(name="mien", version=__version__, extensions=[])

    async def model_metadata(self, request: Any) -> Any:
        model = self._models.describe(request.name, request.version)
        described = [
            [{"name": spec.name, "datatype": spec.datatype, "shape": spec.shape} for spec in specs]
            for specs in ((model.input,), model.outputs)
        ]
        return messages.ModelMetadataResponse(
            name=model.name,
            versions=[model.version],
            platform=model.platform,
            inputs=described[0],
            outputs=described[1],
        )

    async def model_infer(self, request: Any) -> Any:
        current = request_context.current()
        assert current, "ObserveInterceptor creates a context for every call"
        model = self._models.describe(request.model_name, request.model_version)
        inputs = _inputs(request, model)
        wanted = [output.name for output in request.outputs]
        outputs = await self._models.infer(model, inputs, wanted, current)
        return _response(request, model, outputs)


def _inputs(request: Any, model: ModelDescription) -> list[Tensor]:
    raws: Sequence[bytes] = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequestError(
            f"raw_input_contents has {len(raws)} entries for {len(request.inputs)} inputs", reason="TENSOR_INVALID"
        )
    if [given.name for given in request.inputs] != [model.input.name]:
        raise invalid(f"{model.name} requires exactly one input, {model.input.name}")
    return [_input(given, raws[place] if raws else None, model.input) for place, given in enumerate(request.inputs)]


def _input(given: Any, raw: bytes | None, spec: TensorSpec) -> Tensor:
    spec.check(given.datatype, given.shape)
    if raw is not None:
        return from_raw(spec, given.shape, raw)
    return from_items(spec, given.shape, getattr(given.contents, _CONTENTS[spec.datatype]))


def _response(request: Any, model: ModelDescription, outputs: Sequence[Tensor]) -> Any:
    response = messages.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    for tensor in outputs:
        added = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(to_raw(tensor))
        else:
            getattr(added.contents, _CONTENTS[tensor.datatype]).extend(tensor.array.reshape(-1).tolist())
    return response
