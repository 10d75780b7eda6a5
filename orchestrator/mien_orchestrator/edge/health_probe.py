"""Check a server's health over gRPC."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mien.errors import ServerUnavailableError


def check(address: str, *, service: str = "", timeout: float) -> None:
    """Query the health service for up to `timeout` seconds; raises `ServerUnavailableError` unless it is SERVING."""
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(address) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise ServerUnavailableError(f"the server at {address} does not know {service!r}") from error
            raise ServerUnavailableError(f"no server answers at {address}") from error
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise ServerUnavailableError(f"the server at {address} does not serve {service or 'anything'} now")
