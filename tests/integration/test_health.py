"""Tests of `mien health` against servers with TLS, other ports, IPv6 and a proxy in the environment."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.certificates import Authority
from tests.servers import Running, free_port

BIN = Path(sys.executable).parent
QUICK = {"server.port": 0, "server.drain_s": 0}


def health(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([BIN / "mien", "health", *words], capture_output=True, text=True, timeout=60, env=environment)


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


@pytest.fixture
def dead_proxy() -> dict[str, str]:
    """Variables of a proxy that refuses connections."""
    address = f"http://127.0.0.1:{free_port()}"
    return {"http_proxy": address, "https_proxy": address, "grpc_proxy": address}


def test_address_and_port_are_those_of_the_settings(
    running: Running, service: FaceAnalysis, dead_proxy: dict[str, str], tmp_path: Path
) -> None:
    with running(service, Settings.load({**QUICK, "server.host": "0.0.0.0"})) as address:
        port = port_of(address)
        found = health(MIEN_SERVER__PORT=port, MIEN_SERVER__HOST="0.0.0.0", **dead_proxy)
        assert (found.stdout, found.returncode) == ("SERVING\n", 0), found.stderr
        config = tmp_path / "mien.yaml"
        config.write_text(f"server: {{port: {port}}}")
        assert health("--config", config).returncode == 0
        assert health(MIEN_CONFIG=str(config)).returncode == 0
        task = health("--service", "age", MIEN_CONFIG=str(config))
        assert (task.stdout, task.returncode) == ("SERVING\n", 0)
        assert "does not know 'nose'" in health("--service", "nose", MIEN_CONFIG=str(config)).stderr
    stopped = health("--timeout", "1", MIEN_CONFIG=str(config))
    assert stopped.returncode == 1
    assert f"no server answers at 127.0.0.1:{port}" in stopped.stderr


def test_an_invalid_setting_is_a_usage_error() -> None:
    found = health(MIEN_SERVER__PORT="99999")
    assert found.returncode == 2
    assert "MIEN_SERVER__PORT" in found.stderr


@pytest.mark.parametrize("hosts", [("mien.example",), ("127.0.0.1",)])
def test_the_certificate_of_the_settings_is_trusted_whatever_its_name(
    running: Running, service: FaceAnalysis, authority: Authority, hosts: tuple[str, ...], dead_proxy: dict[str, str]
) -> None:
    certificate, key = authority.issue(f"health-{hosts[0]}", *hosts)
    files = {"tls.certificate": certificate, "tls.key": key}
    with running(service, Settings.load({**QUICK, **files})) as address:
        variables = {
            "MIEN_SERVER__PORT": port_of(address),
            "MIEN_TLS__CERTIFICATE": str(certificate),
            "MIEN_TLS__KEY": str(key),
        }
        found = health(**variables, **dead_proxy)
        assert (found.stdout, found.returncode) == ("SERVING\n", 0), found.stderr
        other, other_key = authority.issue("health-other", "other.example")
        variables |= {"MIEN_TLS__CERTIFICATE": str(other), "MIEN_TLS__KEY": str(other_key)}
        found = health(**variables)
        assert found.returncode == 1
        assert f"does not use the certificate {other}" in found.stderr
        assert health("--server", address, "--ca", authority.ca, "--timeout", "2").returncode == (
            0 if "127.0.0.1" in hosts else 1
        )
    stopped = health(**variables)
    assert stopped.returncode == 1
    assert "no server answers" in stopped.stderr


def test_a_server_that_requires_client_certificates_is_reported_as_listening(
    running: Running, service: FaceAnalysis, authority: Authority
) -> None:
    certificate, key = authority.issue("health-mutual")
    files = {"tls.certificate": certificate, "tls.key": key, "tls.client_ca": authority.ca}
    with running(service, Settings.load({**QUICK, **files})) as address:
        variables = {
            "MIEN_SERVER__PORT": port_of(address),
            "MIEN_TLS__CERTIFICATE": str(certificate),
            "MIEN_TLS__KEY": str(key),
            "MIEN_TLS__CLIENT_CA": str(authority.ca),
        }
        found = health(**variables)
        assert (found.stdout, found.returncode) == ("LISTENING\n", 0), found.stderr
        assert "--cert and --key" in found.stderr
        mine, mine_key = authority.issue("health-client")
        found = health("--cert", mine, "--key", mine_key, **variables)
        assert (found.stdout, found.returncode) == ("SERVING\n", 0), found.stderr
    assert health(**variables).returncode == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_a_server_listens_on_an_ipv6_address(running: Running, service: FaceAnalysis, host: str) -> None:
    with running(service, Settings.load({**QUICK, "server.host": host})) as address:
        assert address.startswith("[::")
        found = health(MIEN_SERVER__HOST=host, MIEN_SERVER__PORT=port_of(address))
        assert (found.stdout, found.returncode) == ("SERVING\n", 0), found.stderr
