"""Tests of HTTP proxies in the environment: not used for loopback addresses and NO_PROXY; reported on failure."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

import mien

DEAD = "http://user:secret@127.0.0.1:1"


class Proxy(socketserver.ThreadingTCPServer):
    """Tunnels every CONNECT to one address and records the requested one."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.target, self.requested = target, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Proxy)
        self.server.requested.append(self.rfile.readline().decode().split()[1])
        while self.rfile.readline().strip():
            pass
        host, _, port = self.server.target.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(upstream, self.connection), daemon=True)
            back.start()
            pump(self.connection, upstream)
            back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()  # the other direction ends as well


@pytest.fixture
def proxy(single: str) -> Iterator[Proxy]:
    with Proxy(single) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
async def test_loopback_addresses_are_called_directly(
    single: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, DEAD)
    port = single.rpartition(":")[2]
    for server in (single, f"localhost:{port}", [single, f"localhost:{port}"], f"dns:///localhost:{port}"):
        with mien.Client(server) as client:
            assert client.server_info(timeout=5).tasks
    async with mien.AsyncClient(single) as twin:
        assert (await twin.server_info(timeout=5)).tasks


def test_other_addresses_go_through_the_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    with mien.Client("mien.example:50051") as client:
        assert client.server_info(timeout=5).tasks
    assert proxy.requested == ["mien.example:50051"]


@pytest.mark.parametrize("listed", ["mien.example", ".example", "other, example", "*"])
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_hosts_of_no_proxy_are_called_directly(
    proxy: Proxy, variable: str, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv(variable, listed)
    with mien.Client("mien.example:50051") as client, pytest.raises(mien.ServerUnavailableError) as caught:
        client.server_info(timeout=1)
    assert proxy.requested == []
    assert "proxy" not in caught.value.message


def test_networks_of_no_proxy_are_called_directly(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, 192.0.2.0/24")
    with mien.Client("192.0.2.7:50051") as client, pytest.raises(mien.MienError):
        client.server_info(timeout=0.5)
    assert proxy.requested == []


def test_an_error_names_the_proxy_but_not_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", DEAD)
    with mien.Client("mien.example:50051") as client, pytest.raises(mien.ServerUnavailableError) as caught:
        client.server_info(timeout=1)
    assert "through the proxy 127.0.0.1:1 of the variable https_proxy" in caught.value.message
    assert "NO_PROXY" in caught.value.message
    assert "secret" not in caught.value.message
