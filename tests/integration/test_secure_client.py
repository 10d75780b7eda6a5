"""Tests of the SDK and the command line against servers with TLS and tokens."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mien
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.certificates import Authority
from tests.photographs import EXAMPLE
from tests.servers import Running, run_server


@pytest.fixture(scope="module")
def secure(service: FaceAnalysis, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with TLS that requires a token."""
    certificate, key = authority.issue("server")
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(token_line("phone", "the-token") + "\n")
    settings = Settings.load(
        {
            "server.port": 0,
            "server.drain_s": 1,
            "tls.certificate": certificate,
            "tls.key": key,
            "auth.token_file": tokens,
        }
    )
    with run_server(service, settings) as address:
        yield address


def refusal(server: str, *, tls: mien.Tls | None = None, token: str | None = None) -> mien.MienError:
    with pytest.raises(mien.MienError) as caught, mien.Client(server, tls=tls, token=token, timeout=2) as client:
        client.server_info()
    return caught.value


async def test_both_clients_use_tls_and_send_their_token(secure: str, authority: Authority) -> None:
    tls = mien.Tls(ca=authority.ca)
    with mien.Client(secure, tls=tls, token="the-token") as client:
        assert len(client.analyze(EXAMPLE).faces) == 1
    async with mien.AsyncClient(secure, tls=tls, token="the-token") as twin:
        assert len((await twin.analyze(EXAMPLE)).faces) == 1


def test_the_token_may_come_from_the_environment(
    secure: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_TOKEN", "the-token")
    with mien.Client(secure, tls=mien.Tls(ca=authority.ca)) as client:
        assert client.server_info().deployment_mode == "single"


def test_a_wrong_key_is_refused(secure: str, authority: Authority) -> None:
    tls = mien.Tls(ca=authority.ca)
    wrong, missing = refusal(secure, tls=tls, token="wrong"), refusal(secure, tls=tls)
    assert (type(wrong), wrong.reason) == (mien.AuthenticationError, "TOKEN_UNKNOWN")
    assert (type(missing), missing.reason) == (mien.AuthenticationError, "TOKEN_MISSING")
    assert "MIEN_TOKEN" in missing.message


def test_a_plain_text_client_on_a_tls_port_gets_an_error_about_tls(secure: str) -> None:
    error = refusal(secure)
    assert isinstance(error, mien.ServerUnavailableError)
    assert "if it uses TLS, set tls=mien.Tls()" in error.message


def test_a_tls_client_on_a_plain_port_gets_an_error_about_tls(single: str, authority: Authority) -> None:
    assert "does not use TLS" in refusal(single, tls=mien.Tls(ca=authority.ca)).message


def test_an_unknown_authority_is_an_error(secure: str, tmp_path: Path) -> None:
    assert "Tls(ca)" in refusal(secure, tls=mien.Tls(ca=Authority(tmp_path).ca)).message
    assert "Tls(ca)" in refusal(secure, tls=mien.Tls()).message


@pytest.mark.parametrize(
    ("hosts", "days", "expected"),
    [
        ((), -1, "certificate has expired"),
        (("other.example",), 1, "is for another name"),
    ],
)
def test_an_invalid_server_certificate_is_an_error(
    running: Running, service: FaceAnalysis, authority: Authority, hosts: tuple[str, ...], days: float, expected: str
) -> None:
    certificate, key = authority.issue("bad", *hosts, days=days)
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "tls.certificate": certificate, "tls.key": key})
    with running(service, settings) as address:
        assert expected in refusal(address, tls=mien.Tls(ca=authority.ca)).message


def test_the_server_name_may_differ_from_the_address(
    running: Running, service: FaceAnalysis, authority: Authority
) -> None:
    certificate, key = authority.issue("named", "mien.example")
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "tls.certificate": certificate, "tls.key": key})
    tls = mien.Tls(ca=authority.ca, server_name="mien.example")
    with running(service, settings) as address, mien.Client([address, address], tls=tls) as client:
        assert client.server_info().deployment_mode == "single"


def test_mutual_tls_requires_a_client_certificate(
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
    own, stranger = authority.issue("own", "me.example"), Authority(tmp_path).issue("stranger")
    with running(service, settings) as address:
        with mien.Client(address, tls=mien.Tls(ca=authority.ca, certificate=own[0], key=own[1])) as client:
            assert client.server_info().deployment_mode == "single"
        for wrong in (
            mien.Tls(ca=authority.ca),
            mien.Tls(ca=authority.ca, certificate=stranger[0], key=stranger[1]),
        ):
            assert "Tls(certificate, key)" in refusal(address, tls=wrong).message


def test_an_expired_client_certificate_is_rejected(
    running: Running, service: FaceAnalysis, authority: Authority
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
    expired = authority.issue("expired", "me.example", days=-1)
    with running(service, settings) as address:
        error = refusal(address, tls=mien.Tls(ca=authority.ca, certificate=expired[0], key=expired[1]))
    assert isinstance(error, mien.ServerUnavailableError)
    assert "Tls(certificate, key)" in error.message


def test_wrong_tls_files_are_errors_before_any_call(authority: Authority, tmp_path: Path) -> None:
    own, other = authority.issue("own", "me.example"), authority.issue("other", "me.example")
    for tls, expected in (
        (mien.Tls(ca=tmp_path / "none.pem"), "No such file"),
        (mien.Tls(ca=own[1]), "PEM"),
        (mien.Tls(certificate=own[0]), "require each other"),
        (mien.Tls(certificate=own[0], key=other[1]), "mismatch"),
    ):
        error = refusal("127.0.0.1:1", tls=tls)
        assert (type(error), error.reason) == (mien.InvalidRequestError, "TLS_FILES")
        assert expected in error.message


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (["a:1", "b:2"], "IP addresses of the same version"),
        (["127.0.0.1:1", "[::1]:1"], "IP addresses of the same version"),
        ("127.0.0.1:1,nonsense", "host:port"),
        ([], "empty"),
    ],
)
def test_wrong_addresses_are_errors(server: str | list[str], expected: str) -> None:
    assert expected in refusal(server, token="x").message  # type: ignore[arg-type]


def test_an_invalid_token_is_an_error_that_does_not_show_it() -> None:
    assert "copied completely" in refusal("127.0.0.1:1", token="two words").message
    with pytest.raises(mien.InvalidRequestError, match="pass its address"):
        mien.Client(token="secret")


def test_the_command_line_has_the_same_options(secure: str, authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-token\n")
    command = [Path(sys.executable).parent / "client", "info", "--server", secure]

    def run(*words: object) -> tuple[int, str]:
        done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    assert run("--ca", authority.ca, "--token-file", file)[0] == 0
    code, text = run("--ca", authority.ca)
    assert (code, "--token-file" in text) == (1, True)
    code, text = run("--token-file", file)
    assert (code, "--tls" in text) == (3, True)
    code, text = run("--tls", "--token-file", tmp_path / "none")
    assert (code, "none: No such file" in text) == (2, True)
    assert run("--cert", authority.ca)[0] == 2
