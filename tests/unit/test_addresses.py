"""Tests of the conversion of server addresses to gRPC targets, and of their errors."""

import pytest

import mien
from mien.transport.addresses import host, is_loopback, split, target


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        ("mien.example:1", "dns:///mien.example:1"),
        ("[::1]:65535", "dns:///[::1]:65535"),
        ("127.0.0.1:1, 127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["localhost:1", "127.0.0.2:2"], "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["[::1]:1", "[::2]:2"], "ipv6:[::1]:1,[::2]:2"),
        ("unix:/tmp/a,b", "unix:/tmp/a,b"),
        ("ipv4:127.0.0.1:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
    ],
)
def test_addresses_become_targets(server: str | list[str], expected: str) -> None:
    assert target(split(server)) == expected


@pytest.mark.parametrize(
    ("server", "output"),
    [
        ("127.0.0.1:99999", "a port must be from 1 to 65535, not 99999"),
        ("localhost:0", "from 1 to 65535"),
        ("localhost:" + "9" * 5000, "from 1 to 65535"),
        ("ipv4:127.0.0.1:99999", "from 1 to 65535"),
        ("dns:///localhost:65536", "from 1 to 65535"),
        ("::1", r"needs brackets, such as \[::1\]:50051"),
        ("::1:50051", "needs brackets"),
        ("fe80::1:50051", "needs brackets"),
        ("localhost", "host:port"),
        ("http://localhost:50051", "host:port"),
        ("x" * 5000, "host:port"),
        (["a:1", "b:2"], "the same version"),
        (["127.0.0.1:1", "[::1]:1"], "the same version"),
    ],
)
def test_wrong_addresses_get_a_short_clear_error(server: str | list[str], output: str) -> None:
    with pytest.raises(mien.InvalidRequestError, match=output) as caught:
        mien.Client(server)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("server", "name", "loopback"),
    [
        ("localhost:1", "localhost", True),
        ("LOCALHOST:1", "LOCALHOST", True),
        ("a.localhost:1", "a.localhost", True),
        ("127.9.9.9:1", "127.9.9.9", True),
        ("[::1]:1", "::1", True),
        ("dns:///localhost:1", "localhost", True),
        ("dns://8.8.8.8/mien.example:1", "mien.example", False),
        ("ipv6:[::1]:1", "::1", True),
        ("unix:/tmp/socket", "", True),
        ("10.0.0.1:1", "10.0.0.1", False),
        ("localhost.example:1", "localhost.example", False),
    ],
)
def test_hosts_and_loopback_addresses_are_recognized(server: str, name: str, loopback: bool) -> None:
    assert host(server) == name
    assert is_loopback(server) is loopback
