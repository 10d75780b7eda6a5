"""Tests of access over HTTP: tokens, TLS, client certificates and origins."""

import socket
import ssl
from pathlib import Path

import pytest

from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.telemetry.metrics import make_metrics
from tests.certificates import Authority
from tests.http_client import fetch
from tests.photographs import EXAMPLE
from tests.servers import running_server, settings_with

IMAGE = EXAMPLE.read_bytes()


def test_tokens_are_those_of_grpc(service: FaceAnalysis, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("phone", "first") + "\n")
    settings = settings_with(auth__token_file=file)
    with running_server(service, settings, make_metrics(settings)) as started:
        url = started.http_address
        for path in ("/v1/server", "/v1/models", "/v1/models/mien-emotion", "/metrics"):
            refused = fetch(url, path)
            assert (refused.status, refused.reason) == (401, "TOKEN_MISSING"), path
            assert refused.headers["www-authenticate"] == "Bearer"
            assert fetch(url, path, Authorization="Bearer second").reason == "TOKEN_UNKNOWN"
            assert fetch(url, path, Authorization="Bearer first").status == 200
        assert fetch(url, "/v1/analyze", IMAGE).status == 401
        assert fetch(url, "/v1/analyze", IMAGE, Authorization="Bearer first").status == 200
        for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
            assert fetch(url, path).status == 200, path


def client_context(authority: Authority, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    if client:
        context.load_cert_chain(*client)
    return context


def test_tls_uses_the_files_of_grpc_and_renews_them(service: FaceAnalysis, authority: Authority) -> None:
    certificate, key = authority.issue("http-server")
    settings = settings_with(tls__certificate=certificate, tls__key=key)
    with running_server(service, settings) as started:
        trusting = client_context(authority)
        assert started.http_address.startswith("https://")
        assert fetch(started.http_address, "/v1/server", tls=trusting).status == 200

        def serial() -> str:
            host, _, port = started.http_address.rpartition(":")
            with (
                socket.create_connection((host.removeprefix("https://"), int(port))) as raw,
                trusting.wrap_socket(raw, server_hostname="localhost") as encrypted,
            ):
                return str((encrypted.getpeercert() or {})["serialNumber"])

        first = serial()
        authority.issue("http-server")
        assert serial() != first
        certificate.write_text("not a certificate")
        assert fetch(started.http_address, "/v1/server", tls=trusting).status == 200


def test_mutual_tls_needs_a_client_certificate(service: FaceAnalysis, authority: Authority) -> None:
    certificate, key = authority.issue("http-mutual")
    settings = settings_with(tls__certificate=certificate, tls__key=key, tls__client_ca=authority.ca)
    with running_server(service, settings) as started:
        known = client_context(authority, authority.issue("http-caller"))
        assert fetch(started.http_address, "/v1/server", tls=known).status == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            fetch(started.http_address, "/v1/server", tls=client_context(authority))


def test_only_named_origins_may_call_from_pages(service: FaceAnalysis) -> None:
    with running_server(service, settings_with(http__cors_origins="https://a.example")) as started:
        url = started.http_address
        known = fetch(url, "/v1/server", Origin="https://a.example")
        assert (known.status, known.headers["access-control-allow-origin"]) == (200, "https://a.example")
        for origin in ("https://b.example", "null", "https://a.example.evil"):
            other = fetch(url, "/v1/server", Origin=origin)
            assert (other.status, other.reason) == (403, "ORIGIN_UNKNOWN")
            assert "access-control-allow-origin" not in other.headers
        assert fetch(url, "/v1/server", Origin=url).status == 200
        asked = {"method": "OPTIONS", "Access_Control_Request_Method": "POST"}
        assert fetch(url, "/v1/analyze", Origin="https://a.example", **asked).status == 204  # type: ignore[arg-type]
