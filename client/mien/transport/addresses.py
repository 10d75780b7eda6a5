"""Server addresses: from `host:port` to a gRPC target."""

import ipaddress
import re
from collections.abc import Sequence

from mien.errors import InvalidRequestError

_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:///")
"""How full gRPC targets begin, which are taken as they are."""

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d+)")
_PORTS = re.compile(r":(\d+)(?:,|$)")
_IPV4 = re.compile(r"(\d{1,3}\.){3}\d{1,3}")


def split(server: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of an argument: one, several with commas, or a list.

    Raises:
        InvalidRequestError: there is none, or it is not text.

    """
    if isinstance(server, str):
        parts = [server] if server.startswith(_SCHEMES) else [part.strip() for part in server.split(",")]
    elif isinstance(server, Sequence) and all(isinstance(part, str) for part in server):
        parts = [part.strip() for part in server]
    else:
        raise InvalidRequestError(f"a server is 'host:port', or a list of such addresses, not {server!r}")
    parts = [part for part in parts if part]
    if not parts:
        raise InvalidRequestError(
            f"the server's address is empty ({server!r}); pass 'host:port', or use Client.local() to analyze in this "
            "process"
        )
    return tuple(parts)


def target(servers: Sequence[str]) -> str:
    """Return the gRPC target over which calls are spread: all addresses of a name, or those given.

    Raises:
        InvalidRequestError: an address is invalid, or several are not IP addresses of one version.

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
        f"several servers are given by IP addresses of one version, not {', '.join(servers)}; "
        "or give one DNS name that has all their addresses"
    )


def host(server: str) -> str:
    """Return the host of an address or target, without scheme, brackets and port; empty for a Unix socket."""
    if server.startswith("unix"):
        return ""
    return re.sub("^(dns|ipv4|ipv6|xds):(//[^/]*/)?", "", server).rpartition(":")[0].strip("[]")


def is_loopback(server: str) -> bool:
    """Whether an address is of this machine alone: localhost, 127.0.0.0/8, ::1 or a Unix socket."""
    name = host(server).lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in ("", "localhost") or name.endswith(".localhost")


def _checked(server: str) -> str:
    found = _HOST_AND_PORT.fullmatch(server)
    if not found:
        if server.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+", server):
            raise InvalidRequestError(f"an IPv6 address is written in brackets, such as [::1]:50051, not {server!r}")
        raise InvalidRequestError(f"a server is given as host:port, such as localhost:50051, not {server[:200]!r}")
    _check_port(found[2], server)
    return server


def _check_port(digits: str, server: str) -> None:
    if len(digits) > 5 or not 1 <= int(digits) <= 65535:
        raise InvalidRequestError(f"a port is a number from 1 to 65535, not {digits[:20]} (host:port, {server[:99]!r})")
