"""Parse server addresses and convert them to gRPC targets."""

import ipaddress
import re
from collections.abc import Sequence

from mien.errors import InvalidRequestError

_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:///")
"""Schemes of gRPC targets, which are used unchanged."""

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d+)")
_PORTS = re.compile(r":(\d+)(?:,|$)")
_IPV4 = re.compile(r"(\d{1,3}\.){3}\d{1,3}")


def split(server: str | Sequence[str]) -> tuple[str, ...]:
    """Split an argument into addresses: one address, several separated by commas, or a list.

    Raises:
        InvalidRequestError: the argument is empty or not text.

    """
    if isinstance(server, str):
        parts = [server] if server.startswith(_SCHEMES) else [part.strip() for part in server.split(",")]
    elif isinstance(server, Sequence) and all(isinstance(part, str) for part in server):
        parts = [part.strip() for part in server]
    else:
        raise InvalidRequestError(f"server must be 'host:port' or a list of such addresses, not {server!r}")
    parts = [part for part in parts if part]
    if not parts:
        raise InvalidRequestError(
            f"the server's address is empty ({server!r}); pass 'host:port', or use Client.local() to analyze in this "
            "process"
        )
    return tuple(parts)


def target(servers: Sequence[str]) -> str:
    """Return the gRPC target for one address, or for several IP addresses.

    Raises:
        InvalidRequestError: an address is invalid, or several addresses are not IP addresses of the same version.

    """
    if len(servers) == 1:
        (server,) = servers
        if not server.startswith(_SCHEMES):
            return f"dns:///{_checked(server)}"
        for port in [] if server.startswith("unix") else _PORTS.findall(server):
            _check_port(port, server)
        return server
    pairs = [re.sub("^localhost:", "127.0.0.1:", _checked(server)) for server in servers]
    if all(_IPV4.fullmatch(host(pair)) for pair in pairs):
        return "ipv4:" + ",".join(pairs)
    if all(pair.startswith("[") for pair in pairs):
        return "ipv6:" + ",".join(pairs)
    raise InvalidRequestError(
        f"several servers must be IP addresses of the same version, not {', '.join(servers)}; "
        "or pass one DNS name that resolves to all of them"
    )


def host(server: str) -> str:
    """Return the host of an address or target, without scheme, brackets and port; empty for a Unix socket."""
    if server.startswith("unix"):
        return ""
    return re.sub("^(dns|ipv4|ipv6|xds):(//[^/]*/)?", "", server).rpartition(":")[0].strip("[]")


def is_loopback(server: str) -> bool:
    """Return whether an address is a loopback address or a Unix socket."""
    name = host(server).lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in ("", "localhost") or name.endswith(".localhost")


def _checked(server: str) -> str:
    found = _HOST_AND_PORT.fullmatch(server)
    if not found:
        if server.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+", server):
            raise InvalidRequestError(f"an IPv6 address needs brackets, such as [::1]:50051, not {server!r}")
        raise InvalidRequestError(f"a server must be host:port, such as localhost:50051, not {server[:200]!r}")
    _check_port(found[2], server)
    return server


def _check_port(digits: str, server: str) -> None:
    if len(digits) > 5 or not 1 <= int(digits) <= 65535:
        raise InvalidRequestError(f"a port must be from 1 to 65535, not {digits[:20]} (in {server[:99]!r})")
