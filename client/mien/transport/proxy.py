"""Find the HTTP proxy that gRPC uses according to the environment.

gRPC sends calls through `grpc_proxy`, `https_proxy` or `http_proxy`, to loopback addresses too, and reads `no_proxy` in
lower case only (grpc/grpc#29718, grpc/grpc#15942). Here loopback addresses and the hosts of `NO_PROXY` are called
directly.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mien.transport.addresses import host, is_loopback

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
"""In gRPC's order of precedence."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy from the environment."""

    variable: str
    """Name of the environment variable."""
    address: str
    """`host:port`, without the password that the URL may have."""


def proxy_for(servers: Sequence[str]) -> Proxy | None:
    """Return the proxy for calls to the servers, or None for direct connections."""
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    if variable is None or all(is_loopback(server) or _excluded(host(server)) for server in servers):
        return None
    url = os.environ[variable]
    return Proxy(variable, urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2])


def _excluded(name: str) -> bool:
    """Return whether `no_proxy` or `NO_PROXY` contains a host, a parent domain, a network of its address, or `*`."""
    listed = ",".join(filter(None, map(os.environ.get, ("no_grpc_proxy", "no_proxy", "NO_PROXY"))))
    entries = [entry.strip().lower() for entry in listed.split(",") if entry.strip()]
    return any(
        entry == "*" or f".{name.lower()}".endswith(f".{entry.lstrip('.')}") or _in_network(name, entry)
        for entry in entries
    )


def _in_network(name: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        return False
