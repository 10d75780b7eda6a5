"""Tests of API keys over a real channel, and of the command that creates them."""

import logging
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.servers import Running


def call(address: str, header: str | None) -> str:
    """Call with an `authorization` header; return the deployment mode, or the code and reason of the refusal."""
    metadata = [("authorization", header)] if header is not None else []
    with grpc.insecure_channel(address) as channel:
        try:
            stub = FaceAnalysisServiceStub(channel)
            return stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10, metadata=metadata).deployment_mode
        except grpc.RpcError as error:
            status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()  # type: ignore[arg-type]
            assert status is not None
            assert status.details[0].Unpack(info)
            return f"{error.code().name} {info.reason}"  # type: ignore[attr-defined]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("# who may call\n\n" + token_line("phone", "first") + "\n")
    return path


def test_only_known_tokens_are_accepted(running: Running, service: FaceAnalysis, file: Path) -> None:
    with running(service, Settings.load({"server.port": 0, "server.drain_s": 0, "auth.token_file": file})) as address:
        assert call(address, "Bearer first") == pb.DEPLOYMENT_MODE_SINGLE
        assert call(address, "bearer  first ") == pb.DEPLOYMENT_MODE_SINGLE
        assert call(address, None) == "UNAUTHENTICATED TOKEN_MISSING"
        assert call(address, "Basic first") == "UNAUTHENTICATED TOKEN_MISSING"
        assert call(address, "Bearer") == "UNAUTHENTICATED TOKEN_MISSING"
        assert call(address, "Bearer second") == "UNAUTHENTICATED TOKEN_UNKNOWN"


def test_health_checks_need_no_token(running: Running, service: FaceAnalysis, file: Path) -> None:
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "auth.token_file": file})
    with running(service, settings) as address, grpc.insecure_channel(address) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/mien.v1.FaceAnalysisService/NoSuchMethod")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_the_token_file_is_reloaded_when_it_changes(
    running: Running, service: FaceAnalysis, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(service, Settings.load({"server.port": 0, "server.drain_s": 0, "auth.token_file": file})) as address:
        file.write_text(token_line("tablet", "second") + "\n" + token_line("phone", "third") + "\n")
        assert call(address, "Bearer second") == call(address, "Bearer third") == pb.DEPLOYMENT_MODE_SINGLE
        assert call(address, "Bearer first") == "UNAUTHENTICATED TOKEN_UNKNOWN"
        with caplog.at_level(logging.ERROR):
            file.write_text("a token put here by mistake")
            assert call(address, "Bearer second") == pb.DEPLOYMENT_MODE_SINGLE
            assert "line 1: expected name:sha256" in caplog.text
            assert "by mistake" not in caplog.text
        file.write_text("")
        assert call(address, "Bearer second") == "UNAUTHENTICATED TOKEN_UNKNOWN"


def test_the_command_creates_a_token_and_its_line(running: Running, service: FaceAnalysis, tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "mien", "token", "phone"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    token = result.stderr.split()[-1]
    assert result.stdout.startswith("phone:")
    assert token not in result.stdout
    (tmp_path / "tokens").write_text(result.stdout)
    with running(
        service, Settings.load({"server.port": 0, "server.drain_s": 0, "auth.token_file": tmp_path / "tokens"})
    ) as address:
        assert call(address, f"Bearer {token}") == pb.DEPLOYMENT_MODE_SINGLE


def test_a_token_name_is_validated() -> None:
    command = [Path(sys.executable).parent / "mien", "token", "a:b"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "a token's name" in result.stderr
    assert result.stdout == ""


def test_an_open_server_logs_warnings(
    running: Running, service: FaceAnalysis, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(service, Settings.load({"server.port": 0, "server.drain_s": 0})):
        assert caplog.text == ""
    with running(
        service,
        Settings.load({"server.port": 0, "server.drain_s": 0, "server.host": "0.0.0.0", "auth.token_file": file}),
    ):
        assert "without TLS" in caplog.text
        assert "unauthenticated" not in caplog.text
    with running(service, Settings.load({"server.port": 0, "server.drain_s": 0, "server.host": "0.0.0.0"})):
        assert "unauthenticated" in caplog.text
