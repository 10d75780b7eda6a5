"""Authenticate calls by token; health checks are exempt."""

from collections.abc import Awaitable, Callable

import grpc

from mien.errors import MienError
from mien_orchestrator.edge.auth.tokens import Authentication
from mien_orchestrator.edge.interceptors import Handler
from mien_orchestrator.pipeline import request_context

_OPEN = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
"""Methods that need no token, for probes, which have none."""


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Handles a call without a known token with the handler that `refuse` returns, before its message is read."""

    def __init__(self, authentication: Authentication, refuse: Callable[[MienError], Handler]) -> None:
        self._authentication = authentication
        self._refuse = refuse

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Check the token of the call's metadata."""
        if not details.method.startswith(_OPEN):
            made = request_context.current() or request_context.begin(details.method, details.invocation_metadata)
            try:
                await self._authentication.check(made)
            except MienError as error:
                return self._refuse(error)
        return await continuation(details)
