"""Clients for the load generator: image bytes in, a response out, over each system's own protocol.

Requests are prepared before the clock starts and responses are parsed after it has stopped, so that the measurement
contains as little of the client as possible.
"""

import asyncio
import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import aiohttp
import cv2
import grpc
from google.protobuf.json_format import MessageToDict

import mien
from mien.request import call_metadata
from mien.transport.channel import OPTIONS
from mien.transport.local import LocalEngine
from mien.transport.methods import ANALYZE
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.settings import Settings
from pipeline import Pipeline, Reply

TIMEOUT = 120.0
"""Timeout of a call, in seconds."""

MOST_IN_FLIGHT = 256
"""Concurrent calls of an in-process engine; others queue, with their time running."""

_BOUNDARY = b"photograph-4f0c2d7b"  # 19 bytes that image files are unlikely to contain
_HEADER_LENGTH = "Inference-Header-Content-Length"


class CallError(Exception):
    """A failed call; the message is the error's name."""


class SystemClient(Protocol):
    """Calls one system, on one event loop."""

    def prepare(self, image: bytes) -> object:
        """Return the request for an image file."""

    async def call(self, request: object) -> object:
        """Send a prepared request and return the raw response; raises `CallError`."""

    def read(self, answer: object) -> Reply:
        """Parse a raw response; raises `CallError` if a task failed."""

    async def close(self) -> None:
        """Release resources."""


class BaselineClient:
    """The models in this process without a server, on one thread per core."""

    def __init__(self, address: str) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._pipeline = Pipeline()

    def prepare(self, image: bytes) -> object:
        """Return the bytes unchanged."""
        return image

    async def call(self, request: object) -> object:
        """Analyze on a thread of the pool."""
        assert isinstance(request, bytes)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._pipeline.analyze, request)

    def read(self, answer: object) -> Reply:
        """Return the response unchanged."""
        assert isinstance(answer, dict)
        return answer

    async def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


class EmbeddedClient:
    """Mien in local mode, in this process."""

    def __init__(self, address: str) -> None:
        # As in the servers: requests run in parallel, and Haar's boxes depend on the number of OpenCV threads.
        cv2.setNumThreads(1)
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT)
        self._engine = LocalEngine(Settings.load())

    def prepare(self, image: bytes) -> object:
        """Return the message."""
        return pb.AnalyzeRequest(image=image)

    async def call(self, request: object) -> object:
        """Analyze on a thread of the pool."""
        assert isinstance(request, pb.AnalyzeRequest)
        try:
            reply = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._engine.call, ANALYZE, request, TIMEOUT, call_metadata({})
            )
        except mien.MienError as error:
            raise CallError(type(error).__name__) from error
        return reply.message

    def read(self, answer: object) -> Reply:
        """Return the message as a dictionary."""
        return _read(answer)

    async def close(self) -> None:
        """Stop the engine."""
        self._engine.close()
        self._pool.shutdown()


class GrpcClient:
    """Mien's servers."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, [*OPTIONS, ("grpc.max_reconnect_backoff_ms", 100)])
        self._stub = FaceAnalysisServiceStub(self._channel)

    def prepare(self, image: bytes) -> object:
        """Return the message."""
        return pb.AnalyzeRequest(image=image)

    async def call(self, request: object) -> object:
        """Call `Analyze`."""
        assert isinstance(request, pb.AnalyzeRequest)
        try:
            return await self._stub.Analyze(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise CallError(error.code().name) from error

    def read(self, answer: object) -> Reply:
        """Return the message as a dictionary."""
        return _read(answer)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class HttpClient:
    """Servers that take an image file as the body of a POST request and return JSON."""

    path = "/analyze"

    def __init__(self, address: str) -> None:
        self._session = aiohttp.ClientSession(
            f"http://{address}", timeout=aiohttp.ClientTimeout(TIMEOUT), connector=aiohttp.TCPConnector(limit=0)
        )

    def prepare(self, image: bytes) -> object:
        """Return body and headers."""
        return image, {"Content-Type": "application/octet-stream"}

    async def call(self, request: object) -> object:
        """Post the body; return the response's body and headers."""
        assert isinstance(request, tuple)
        body, headers = request
        try:
            async with self._session.post(self.path, data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CallError(type(error).__name__) from error
        if response.status != 200:
            raise CallError(f"HTTP {response.status}: {answer[:200].decode(errors='replace')}")
        return answer, response.headers

    def read(self, answer: object) -> Reply:
        """Return the JSON."""
        assert isinstance(answer, tuple)
        return _json(answer[0])

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class FormClient(HttpClient):
    """Servers that take an image file as the field `request` of a form."""

    def prepare(self, image: bytes) -> object:
        """Return body and headers: a form (RFC 7578) with one file."""
        field = b'Content-Disposition: form-data; name="request"; filename="photograph"\r\n\r\n'
        body = b"--%b\r\n%b%b\r\n--%b--\r\n" % (_BOUNDARY, field, image, _BOUNDARY)
        return body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}"}


class TritonClient(HttpClient):
    """Triton's protocol with its binary data extension: a JSON header, then the tensor's bytes.

    docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
    """

    path = "/v2/models/mien/infer"

    def prepare(self, image: bytes) -> object:
        """Return body and headers: one string, preceded by its length."""
        size = {"binary_data_size": len(image) + 4}
        header = {
            "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": size}],
            "outputs": [{"name": "reply", "parameters": {"binary_data": True}}],
        }
        text = json.dumps(header).encode()
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(text))}
        return text + struct.pack("<I", len(image)) + image, headers

    def read(self, answer: object) -> Reply:
        """Parse the JSON in the one string of the output, after Triton's header."""
        assert isinstance(answer, tuple)
        body, headers = answer
        return _json(body[int(headers[_HEADER_LENGTH]) + 4 :])


def _json(body: bytes) -> Reply:
    reply = json.loads(body)
    assert isinstance(reply, dict)
    return reply


def _read(answer: object) -> Reply:
    assert isinstance(answer, pb.AnalyzeResponse)
    for task in answer.tasks:
        if task.status.code:
            raise CallError(f"{task.task}: {task.status.message}")
    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


CLIENTS: dict[str, Callable[[str], SystemClient]] = {
    "baseline": BaselineClient,
    "embedded": EmbeddedClient,
    "grpc": GrpcClient,
    "http": HttpClient,
    "form": FormClient,
    "triton": TritonClient,
}
"""By protocol name; created with the server's `host:port`, which in-process clients ignore."""
