"""The transport interface: `Engine` sends a request to a server or to the local service and returns the reply."""

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol

from mien.transport.methods import Method, Request, Response, StreamMethod

REQUEST_ID = "x-request-id"
"""Metadata key of the request id, in requests and in replies."""

Metadata = Mapping[str, str]
"""Metadata of one request: lower-case ASCII keys, printable ASCII values; always has `REQUEST_ID`."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[Response]):
    """A response message with its request id."""

    message: Response
    request_id: str
    """The id in the server's log: the one that was sent, unless a proxy or the server replaced it."""


class Engine(Protocol):
    """Sends requests and returns replies. Thread-safe."""

    def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Send one request of a unary RPC and wait for its reply.

        Args:
            method: One of `mien.transport.methods.METHODS`.
            request: The request message.
            timeout: Seconds that the call may take, retries included.
            metadata: Metadata of the request.

        Returns:
            The response message and the request id.

        Raises:
            MienError: the call failed; the error's `request_id` is set.

        """

    def stream(
        self, method: StreamMethod[Request, Response], requests: Iterable[Request], metadata: Metadata
    ) -> Generator[Response]:
        """Send the requests of a streaming RPC as fast as they are taken, and yield the replies.

        The requests are iterated in another thread. Closing the generator ends the stream.

        Raises:
            MienError: the stream failed; the error's `request_id` is set.
            Exception: what iterating the requests raised.

        """

    def close(self) -> None:
        """Reject further calls and release all resources. May be called again, and in a forked child."""


class AsyncEngine(Protocol):
    """The asyncio version of `Engine`."""

    async def call(
        self, method: Method[Request, Response], request: Request, timeout: float, metadata: Metadata
    ) -> Reply[Response]:
        """Send one request of a unary RPC and wait for its reply; see `Engine.call`."""

    def stream(
        self, method: StreamMethod[Request, Response], requests: AsyncIterable[Request], metadata: Metadata
    ) -> AsyncGenerator[Response]:
        """Send the requests of a streaming RPC, and yield the replies; see `Engine.stream`."""

    async def close(self) -> None:
        """Reject further calls and release all resources; see `Engine.close`."""
