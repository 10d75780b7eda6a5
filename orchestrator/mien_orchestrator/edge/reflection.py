"""Server reflection, for tools such as grpcurl, in both versions of its protocol."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
"""The service's present name; grpcio-reflection has the former one only. The messages are the same on the wire."""


def add_reflection(names: Sequence[str], server: grpc.aio.Server) -> None:
    """Describe services to callers; use it before the server starts.

    Args:
        names: Full names of the services.
        server: The server.

    """
    # Not V1: the servicer has no description of it, and tools ask for one of every name that is listed.
    servicer: Any = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in (reflection.SERVICE_NAME, V1)
        )
    )
