"""Tests of JSON Web Tokens over gRPC, HTTP and WebSocket: valid ones, and attacks."""

import base64
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import mien
from mien.errors import SettingsError
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import Metrics
from tests import issuers
from tests.http_client import fetch
from tests.issuers import AUDIENCE, ISSUER, serve_keys
from tests.servers import running_server

KEY = issuers.rsa_key()
OTHER = issuers.rsa_key()
CURVE = issuers.ec_key()

BASE = {"server.port": 0, "http.port": 0, "server.drain_s": 0, "auth.jwt.issuer": ISSUER, "auth.jwt.audience": AUDIENCE}


def key_set(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


@pytest.fixture(scope="module")
def server(service: FaceAnalysis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows a token file and a key set."""
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "tokens").write_text(token_line("tablet", "a.plain.token") + "\n")
    keys = [issuers.public_jwk(KEY, "main"), issuers.public_jwk(CURVE, "curve", alg="ES256", use="sig")]
    (folder / "keys.json").write_text(key_set(*keys))
    settings = Settings.load(BASE | {"auth.token_file": folder / "tokens", "auth.jwt.jwks": str(folder / "keys.json")})
    with running_server(service, settings, Metrics()) as started:
        yield started


def by_grpc(address: str, token: str) -> str:
    """Return OK, or the code, reason and message of the refusal."""
    with grpc.insecure_channel(address) as channel:
        try:
            stub = FaceAnalysisServiceStub(channel)
            stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=20, metadata=[("authorization", f"Bearer {token}")])
            return "OK"
        except grpc.RpcError as error:
            status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()  # type: ignore[arg-type]
            assert status is not None
            assert any(detail.Unpack(info) for detail in status.details)
            return f"{error.code().name} {info.reason}: {status.message}"  # type: ignore[attr-defined]


def test_a_valid_token_is_accepted_by_every_protocol(server: Server) -> None:
    token = issuers.token(KEY, "main")
    with mien.Client(server.address, token=token) as client:
        assert client.server_info().version
    assert fetch(server.http_address, "/v1/server", Authorization=f"Bearer {token}").status == 200
    url = server.http_address.replace("http", "ws", 1) + "/v1/stream"
    with connect(url, proxy=None, subprotocols=["mien.v1", f"bearer.{token}"]) as socket:  # type: ignore[list-item]
        socket.send(b"")
        assert json.loads(socket.recv())
    with connect(url, proxy=None, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send(b"")
        assert json.loads(socket.recv())
    text = fetch(server.http_address, "/metrics", Authorization=f"Bearer {token}").body.decode()
    assert 'mien_caller_requests_total{caller="phone",code="OK"} 4.0' in text


def test_an_expired_token_is_refused_by_every_protocol(server: Server) -> None:
    token = issuers.token(KEY, "main", exp=int(time.time()) - 60)
    with mien.Client(server.address, token=token) as client, pytest.raises(mien.AuthenticationError) as caught:
        client.server_info()
    assert caught.value.reason == "TOKEN_EXPIRED"
    answer = fetch(server.http_address, "/v1/server", Authorization=f"Bearer {token}")
    assert (answer.status, answer.reason) == (401, "TOKEN_EXPIRED")
    with pytest.raises(InvalidStatus) as refused:
        connect(
            server.http_address.replace("http", "ws", 1) + "/v1/stream",
            proxy=None,
            subprotocols=["mien.v1", f"bearer.{token}"],  # type: ignore[list-item]
        )
    assert refused.value.response.status_code == 401


def test_a_token_of_the_file_is_accepted_beside_it(server: Server) -> None:
    assert by_grpc(server.address, "a.plain.token") == "OK"
    assert by_grpc(server.address, "unknown").startswith("UNAUTHENTICATED TOKEN_UNKNOWN")


@pytest.mark.parametrize(
    ("key", "key_id", "algorithm"),
    [(KEY, "main", "RS512"), (KEY, "main", "PS256"), (CURVE, "curve", "ES256"), (CURVE, None, "ES256")],
)
def test_every_algorithm_of_the_keys_is_accepted(server: Server, key: Any, key_id: str | None, algorithm: str) -> None:
    assert by_grpc(server.address, issuers.token(key, key_id, algorithm)) == "OK"


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def signed_with_the_public_key() -> str:
    """HMAC with the public key as its secret, as if it were a shared one."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'main'})}.{part(issuers.claims())}"
    signature = hmac.new(issuers.public_pem(KEY), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_other_claims() -> str:
    header, _, signature = issuers.token(KEY, "main").split(".")
    return f"{header}.{part(issuers.claims(sub='admin'))}.{signature}"


def attacks() -> dict[str, tuple[str, str]]:
    """Return tokens of this moment, each with the reason of its refusal."""
    now = int(time.time())
    return {
        "without a signature": (
            f"{part({'alg': 'none', 'kid': 'main'})}.{part(issuers.claims())}.",
            "TOKEN_INVALID",
        ),
        "algorithm None": (f"{part({'alg': 'None', 'kid': 'main'})}.{part(issuers.claims())}.AA", "TOKEN_INVALID"),
        "HMAC with the public key": (signed_with_the_public_key(), "TOKEN_INVALID"),
        "signed by another key": (issuers.token(OTHER, "main"), "TOKEN_INVALID"),
        "changed claims": (with_other_claims(), "TOKEN_INVALID"),
        "another kind of key": (issuers.token(CURVE, "main", "ES256"), "TOKEN_KEY_UNKNOWN"),
        "an unknown key": (issuers.token(OTHER, "other"), "TOKEN_KEY_UNKNOWN"),
        "its own key in the header": (
            issuers.token(OTHER, None, headers={"jwk": issuers.public_jwk(OTHER, None)}),
            "TOKEN_INVALID",
        ),
        "a critical header": (issuers.token(KEY, "main", headers={"crit": ["mine"], "mine": 1}), "TOKEN_INVALID"),
        "another issuer": (issuers.token(KEY, "main", iss="https://evil.example"), "TOKEN_ISSUER_INVALID"),
        "a longer issuer": (issuers.token(KEY, "main", iss=ISSUER + "/"), "TOKEN_ISSUER_INVALID"),
        "another audience": (issuers.token(KEY, "main", aud=["mail", "files"]), "TOKEN_AUDIENCE_INVALID"),
        "no audience": (issuers.token(KEY, "main", aud=None), "TOKEN_INVALID"),
        "expired": (issuers.token(KEY, "main", exp=now - 60), "TOKEN_EXPIRED"),
        "no expiry": (issuers.token(KEY, "main", exp=None), "TOKEN_INVALID"),
        "an expiry beyond numbers": (issuers.token(KEY, "main", exp=float("inf")), "TOKEN_INVALID"),
        "not valid yet": (issuers.token(KEY, "main", nbf=now + 3600), "TOKEN_NOT_YET_VALID"),
        "issued in the future": (issuers.token(KEY, "main", iat=now + 3600), "TOKEN_NOT_YET_VALID"),
        "no name": (issuers.token(KEY, "main", sub=None), "TOKEN_INVALID"),
        "a number as its name": (issuers.token(KEY, "main", sub=7), "TOKEN_INVALID"),
        "a name with a line break": (issuers.token(KEY, "main", sub="phone\nroot"), "TOKEN_INVALID"),
        "a long name": (issuers.token(KEY, "main", sub="x" * 129), "TOKEN_INVALID"),
        "no JSON": ("e30.e30", "TOKEN_UNKNOWN"),
        "rubbish": ("a.b.c", "TOKEN_INVALID"),
        "deep JSON": (f"{part('')[:0]}{base64.urlsafe_b64encode(b'[' * 3000).decode()}.e30.AA", "TOKEN_INVALID"),
    }


@pytest.mark.parametrize("attack", attacks())
def test_an_invalid_token_is_refused_and_not_repeated(
    server: Server, attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    token, reason = attacks()[attack]
    with caplog.at_level(logging.DEBUG):
        answer = by_grpc(server.address, token)
    assert answer.startswith(f"UNAUTHENTICATED {reason}: ")
    assert "; " in answer, "the message has no advice"
    for piece in token.split("."):
        assert len(piece) < 8 or piece not in answer + caplog.text


def test_a_huge_token_is_refused(server: Server) -> None:
    token = issuers.token(KEY, "main", groups=["g" * 30] * 200)
    answer = fetch(server.http_address, "/v1/server", Authorization=f"Bearer {token}")
    assert (answer.status, answer.reason) == (401, "TOKEN_INVALID")
    assert "8192 characters" in answer.error.message


def test_the_clocks_may_differ_by_the_leeway(server: Server) -> None:
    now = int(time.time())
    assert by_grpc(server.address, issuers.token(KEY, "main", exp=now - 10)) == "OK"
    assert by_grpc(server.address, issuers.token(KEY, "main", nbf=now + 15, iat=now + 15)) == "OK"


def test_the_file_of_keys_is_read_again_when_it_changes(
    service: FaceAnalysis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(key_set(issuers.public_jwk(KEY, "main")))
    with running_server(service, Settings.load(BASE | {"auth.jwt.jwks": str(file)})) as started:
        assert by_grpc(started.address, issuers.token(OTHER, "next")).startswith("UNAUTHENTICATED TOKEN_KEY_UNKNOWN")
        file.write_text(key_set(issuers.public_jwk(KEY, "main"), issuers.public_jwk(OTHER, "next")))
        assert by_grpc(started.address, issuers.token(OTHER, "next")) == "OK"
        with caplog.at_level(logging.ERROR):
            file.write_text("{")
            assert by_grpc(started.address, issuers.token(OTHER, "next")) == "OK"
        assert "keeping the previous keys" in caplog.text
        file.write_text(key_set(issuers.public_jwk(OTHER, "next")))
        assert by_grpc(started.address, issuers.token(KEY, "main")).startswith("UNAUTHENTICATED TOKEN_KEY_UNKNOWN")


def test_the_keys_of_a_url_follow_the_issuer_and_unknown_keys_fetch_once(service: FaceAnalysis) -> None:
    with serve_keys(issuers.public_jwk(KEY, "main")) as issuer:
        settings = Settings.load(BASE | {"auth.jwt.jwks": issuer.url})
        with running_server(service, settings) as started:
            assert by_grpc(started.address, issuers.token(KEY, "main")) == "OK"
            assert issuer.requests == 1
            for number in range(30):
                answer = by_grpc(started.address, issuers.token(OTHER, f"unknown-{number}"))
                assert answer.startswith("UNAUTHENTICATED TOKEN_KEY_UNKNOWN")
            assert issuer.requests == 1


def test_without_its_keys_a_server_rejects_every_token(service: FaceAnalysis, caplog: pytest.LogCaptureFixture) -> None:
    with serve_keys(issuers.public_jwk(KEY, "main")) as issuer:
        issuer.status = 500
        with (
            caplog.at_level(logging.ERROR),
            running_server(service, Settings.load(BASE | {"auth.jwt.jwks": issuer.url})) as started,
        ):
            answer = by_grpc(started.address, issuers.token(KEY, "main"))
            assert answer.startswith("UNAVAILABLE JWT_KEYS_UNAVAILABLE")
        assert "rejecting all JSON Web Tokens: HTTP Error 500" in caplog.text


def test_other_calls_go_on_while_the_keys_are_fetched(service: FaceAnalysis, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(token_line("tablet", "plain") + "\n")
    with serve_keys(issuers.public_jwk(KEY, "main")) as issuer:
        issuer.held.clear()
        settings = Settings.load(BASE | {"auth.jwt.jwks": issuer.url, "auth.token_file": tmp_path / "tokens"})
        with running_server(service, settings) as started, grpc.insecure_channel(started.address) as channel:
            stub = FaceAnalysisServiceStub(channel)
            metadata = [("authorization", f"Bearer {issuers.token(KEY, 'main')}")]
            waiting = stub.GetServerInfo.future(pb.GetServerInfoRequest(), timeout=20, metadata=metadata)
            assert by_grpc(started.address, "plain") == "OK"
            assert not waiting.done()
            issuer.held.set()
            assert waiting.result().version


def test_limits_per_caller_are_by_the_claim_with_the_name(service: FaceAnalysis, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(key_set(issuers.public_jwk(KEY, "main")))
    settings = Settings.load(BASE | {"auth.jwt.jwks": str(tmp_path / "keys.json"), "auth.jwt.name_claim": "client_id"})
    with running_server(service, settings, metrics := Metrics()) as started:
        assert by_grpc(started.address, issuers.token(KEY, "main", client_id="shop|7")) == "OK"
        assert by_grpc(started.address, issuers.token(KEY, "main")).startswith("UNAUTHENTICATED TOKEN_INVALID")
    assert 'mien_caller_requests_total{caller="shop|7",code="OK"} 1.0' in metrics.text()[0].decode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON Web Key Set"),
        ('{"keys": [7, {"kty": ["RSA"]}]}', "no public key"),
        (key_set(issuers.public_jwk(KEY, "main", use="enc")), "no public key"),
        (key_set(issuers.public_jwk(KEY, "main", alg="RSA-OAEP")), "no public key"),
        (key_set(issuers.public_jwk(issuers.rsa_key(1024), "main")), "no public key"),
        (key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "main"}), "private or symmetric key"),
        (key_set(jwt.algorithms.RSAAlgorithm.to_jwk(KEY, as_dict=True)), "private or symmetric key"),
    ],
)
def test_an_unusable_file_of_keys_is_an_error_at_the_start(
    service: FaceAnalysis, tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content)
    settings = Settings.load(BASE | {"auth.jwt.jwks": str(file)})
    with (
        pytest.raises(SettingsError, match=f"auth.jwt.jwks: {file}: .*{problem}"),
        running_server(service, settings),
    ):
        pass


def test_without_pyjwt_the_start_names_the_extra(
    service: FaceAnalysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mien_orchestrator.edge.auth.jwt.verifier", None)
    settings = Settings.load(BASE | {"auth.jwt.jwks": str(tmp_path / "keys.json")})
    with pytest.raises(SettingsError, match=r"pip install 'mien\[jwt\]'"), running_server(service, settings):
        pass
