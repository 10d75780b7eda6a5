"""Tests of request ids and metadata: sent to the server's log, and returned."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceServicer, add_FaceAnalysisServiceServicer_to_server
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline import request_context
from tests.photographs import EXAMPLE


class Recorder(FaceAnalysisServiceServicer):
    """Returns empty replies, and records the metadata of each call."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []

    def Analyze(self, request: pb.AnalyzeRequest, context: grpc.ServicerContext) -> pb.AnalyzeResponse:  # noqa: N802
        self.calls.append({item.key: str(item.value) for item in context.invocation_metadata()})  # type: ignore[attr-defined]
        return pb.AnalyzeResponse()

    def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        self.calls.append({item.key: str(item.value) for item in context.invocation_metadata()})  # type: ignore[attr-defined]
        return pb.GetServerInfoResponse()


@pytest.fixture
def recorder() -> Iterator[tuple[str, Recorder]]:
    with ThreadPoolExecutor(4) as pool:
        server, servicer = grpc.server(pool), Recorder()
        add_FaceAnalysisServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}", servicer
        server.stop(None).wait()


async def test_metadata_of_the_client_and_of_the_call_is_sent(recorder: tuple[str, Recorder]) -> None:
    address, servicer = recorder
    with mien.Client(address, token="secret", metadata={"X-Tenant": "a", "x-more": "1"}) as client:
        client.server_info()
        client.analyze(b"x", metadata={"x-tenant": "b"}, request_id="mine-1")
    async with mien.AsyncClient(address, metadata={"x-tenant": "a"}) as twin:
        await twin.analyze(b"x", metadata={"x-tenant": "c"})
    first, second, third = servicer.calls
    assert (first["x-tenant"], first["x-more"], first["authorization"]) == ("a", "1", "Bearer secret")
    assert (second["x-tenant"], second["x-more"], second["x-request-id"]) == ("b", "1", "mine-1")
    assert third["x-tenant"] == "c"
    assert len({call["x-request-id"] for call in servicer.calls}) == 3


def test_without_a_returned_request_id_the_sent_one_is_kept(recorder: tuple[str, Recorder]) -> None:
    address, servicer = recorder
    with mien.Client(address) as client:
        analysis = client.analyze(b"x")
    assert analysis.request_id == servicer.calls[0]["x-request-id"] != ""


class LoggedIds(logging.Handler):
    """Keeps the request id of each line of the server's log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.ids: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        current = request_context.current()
        self.ids.append(current.request_id if current else "")


async def test_a_reply_and_an_error_have_the_request_id_of_the_log(single: str) -> None:
    handler, logger = LoggedIds(), logging.getLogger("mien_orchestrator")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with mien.Client(single) as client:
            assert client.analyze(EXAMPLE, request_id="order-7").request_id == "order-7"
            with pytest.raises(mien.ImageError) as named:
                client.analyze(b"text", request_id="order-8")
            with pytest.raises(mien.ImageError) as unnamed:
                client.analyze(b"text")
        async with mien.AsyncClient(single) as twin:
            assert (await twin.analyze(EXAMPLE, request_id="order-9")).request_id == "order-9"
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert named.value.request_id == "order-8"
    assert handler.ids == ["order-7", "order-8", unnamed.value.request_id, "order-9"]


async def test_local_mode_has_request_ids_too() -> None:
    with mien.Client.local() as client:
        assert client.analyze(EXAMPLE, request_id="order-7").request_id == "order-7"
        with pytest.raises(mien.ImageError) as caught:
            client.analyze(b"text", request_id="order-8")
        assert caught.value.request_id == "order-8"


def test_too_long_metadata_is_an_error_of_the_request(single: str) -> None:
    with (
        mien.Client(single) as client,
        pytest.raises(mien.InvalidRequestError, match="the metadata of the call is too long") as caught,
    ):
        client.analyze(EXAMPLE, metadata={"x-note": "y" * 20_000})
    assert caught.value.reason == "METADATA_TOO_LARGE"


def test_a_call_to_the_http_port_is_refused_with_the_port_to_use(single_server: Server) -> None:
    address = single_server.http_address.removeprefix("http://")
    with (
        mien.Client(address) as client,
        pytest.raises(mien.ServerUnavailableError, match="an HTTP port; use the server's gRPC port"),
    ):
        client.server_info()


def test_an_unreachable_server_keeps_the_sent_request_id() -> None:
    with mien.Client("127.0.0.1:1") as client, pytest.raises(mien.ServerUnavailableError) as caught:
        client.analyze(b"x", timeout=0.3, request_id="order-7")
    assert caught.value.request_id == "order-7"


@pytest.mark.parametrize(
    "metadata",
    [{"": "x"}, {"a b": "x"}, {"x-bin": "x"}, {"grpc-timeout": "1S"}, {"x": "a\nb"}, {"x": "é"}, {"x": 1}, {1: "x"}],
)
def test_metadata_that_cannot_be_sent_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(mien.InvalidRequestError) as caught:
        mien.Client("127.0.0.1:1", metadata=metadata)
    assert caught.value.reason == "METADATA"
    with mien.Client("127.0.0.1:1") as client, pytest.raises(mien.InvalidRequestError):
        client.analyze(b"x", metadata=metadata)


@pytest.mark.parametrize("name", ["", "two words", "x" * 129, "line\n", "é", 5])
def test_an_unloggable_request_id_is_rejected(name: str) -> None:
    with mien.Client("127.0.0.1:1") as client, pytest.raises(mien.InvalidRequestError, match="request id"):
        client.analyze(b"x", request_id=name)
