"""Tests of TLS and mutual TLS, with certificates of a test authority."""

import logging
import shutil
import ssl
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mien.errors import SettingsError
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.certificates import Authority
from tests.servers import Running


def call(address: str, ca: Path, own: tuple[Path, Path] | None = None) -> str:
    """Call over TLS; return the server's version, or the error's code."""
    certificate, key = (own[0].read_bytes(), own[1].read_bytes()) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    with grpc.secure_channel(address, credentials) as channel:
        try:
            return FaceAnalysisServiceStub(channel).GetServerInfo(pb.GetServerInfoRequest(), timeout=10).version
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]


def serial(address: str) -> int:
    """Return an identifier of the server's certificate."""
    host, _, port = address.rpartition(":")
    return hash(ssl.get_server_certificate((host, int(port)), timeout=10))


def test_clients_connect_with_tls(
    running: Running, service: FaceAnalysis, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("server")
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "tls.certificate": certificate, "tls.key": key})
    with running(service, settings) as address:
        assert call(address, authority.ca).startswith("0.")
        assert call(address, Authority(tmp_path).ca) == "UNAVAILABLE"


def test_mutual_tls_accepts_only_certificates_of_the_authority(
    running: Running, service: FaceAnalysis, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("server")
    settings = Settings.load(
        {
            "server.port": 0,
            "server.drain_s": 0,
            "tls.certificate": certificate,
            "tls.key": key,
            "tls.client_ca": authority.ca,
        }
    )
    with running(service, settings) as address:
        assert call(address, authority.ca, authority.issue("caller", "caller.example")).startswith("0.")
        assert call(address, authority.ca) == "UNAVAILABLE"
        assert call(address, authority.ca, Authority(tmp_path).issue("stranger")) == "UNAVAILABLE"


def test_a_replaced_certificate_is_used_unless_invalid(
    running: Running, service: FaceAnalysis, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority.issue("first")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    shutil.copy(certificate, files[0])
    shutil.copy(key, files[1])
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "tls.certificate": files[0], "tls.key": files[1]})
    with running(service, settings) as address, caplog.at_level(logging.INFO):
        first = serial(address)
        second, other_key = authority.issue("second")
        shutil.copy(second, files[0])  # the key is still the first one's
        assert serial(address) == first
        assert "keeping the previous one" in caplog.text
        shutil.copy(other_key, files[1])
        assert serial(address) != first
        files[1].unlink()
        assert call(address, authority.ca).startswith("0.")
        assert str(files[1]) in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [("missing", "No such file"), ("swapped", "PEM"), ("other key", "mismatch"), ("garbage", "PEM")],
)
def test_an_invalid_tls_file_fails_the_start(
    running: Running, service: FaceAnalysis, authority: Authority, tmp_path: Path, change: str, message: str
) -> None:
    certificate, key = authority.issue("server")
    match change:
        case "missing":
            key = tmp_path / "missing.key"
        case "swapped":
            certificate, key = key, certificate
        case "other key":
            key = authority.issue("other")[1]
        case "garbage":
            certificate = tmp_path / "garbage.pem"
            certificate.write_text("garbage")
    settings = Settings.load({"server.port": 0, "tls.certificate": certificate, "tls.key": key})
    with pytest.raises(SettingsError, match=message), running(service, settings):
        pass


def test_health_is_reported_over_tls(running: Running, service: FaceAnalysis, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "tls.certificate": certificate, "tls.key": key})
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with running(service, settings) as address, grpc.secure_channel(address, credentials) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
