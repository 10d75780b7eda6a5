"""Which server a client talks to, and how: addresses, TLS, token."""

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mien.errors import InvalidRequestError

_SCHEMES = ("unix:", "dns:///", "ipv4:", "ipv6:", "xds:///")
"""How full gRPC targets begin, which are taken as they are."""

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}")

_IPV4 = re.compile(r"(\d{1,3}\.){3}\d{1,3}:\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to a server. `Tls()` trusts the authorities that gRPC brings along.

    mien.Client("host:50051", tls=mien.Tls(ca="ca.pem"))
    """

    ca: str | Path | None = None
    """PEM file of the authorities that may have signed the server's certificate; None takes gRPC's own."""
    certificate: str | Path | None = None
    """PEM file of the caller's certificate chain, for a server that wants one (mutual TLS); goes with `key`."""
    key: str | Path | None = None
    """PEM file of that certificate's key, without a passphrase."""
    server_name: str = ""
    """Name that the server's certificate must have; empty takes the address's own, of several addresses the first's."""

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the contents of authorities, key and certificate; raises `InvalidRequestError`."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequestError("a certificate and its key belong together; name both files", reason="TLS_FILES")
        ca, key, certificate = (_content(path) for path in (self.ca, self.key, self.certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
            if self.certificate and self.key:
                context.load_cert_chain(self.certificate, self.key, password="")
        except ssl.SSLError as error:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path)
            said = (error.reason or str(error)).lower().replace("_", " ")
            raise InvalidRequestError(
                f"TLS files {files}: {said}; they are PEM files, a key is its certificate's own", reason="TLS_FILES"
            ) from error
        return ca, key, certificate


def _content(path: str | Path | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise InvalidRequestError(f"TLS file {path}: {error.strerror}", reason="TLS_FILES") from error


@dataclass(frozen=True, slots=True)
class Connection:
    """One server, or several that answer alike."""

    servers: tuple[str, ...]
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)

    @classmethod
    def find(cls, server: str | Sequence[str] | None, tls: Tls | None, token: str | None) -> Self | None:
        """Return the connection that arguments and environment name, None where this process is to analyze.

        `MIEN_SERVER` and `MIEN_TOKEN` count where the argument is None. Raises `InvalidRequestError`.
        """
        named = server if server is not None else os.environ.get("MIEN_SERVER", "")
        servers = _split(named)
        if not servers:
            if tls or token:
                raise InvalidRequestError("tls and token are for a server; name one, or set MIEN_SERVER")
            return None
        if tls is not None and not isinstance(tls, Tls):
            raise InvalidRequestError(f"tls is a mien.Tls, not {tls!r}")
        token = (token if token is not None else os.environ.get("MIEN_TOKEN", "")).strip()
        if not all("!" <= letter <= "~" for letter in token):
            raise InvalidRequestError("a token has no spaces and no letters beyond ASCII; was it copied whole?")
        return cls(servers, tls, token or None)

    def check(self) -> None:
        """Raise `InvalidRequestError` where an address is none, or a TLS file is wrong."""
        _ = self.target
        if self.tls:
            self.tls.read()

    @property
    def name(self) -> str:
        """The addresses as messages tell them."""
        return ", ".join(self.servers)

    @property
    def server_name(self) -> str:
        """The name that certificates must have where it is not the address's own; empty where it is."""
        if self.tls and (self.tls.server_name or len(self.servers) > 1):
            return self.tls.server_name or self.servers[0].rpartition(":")[0].strip("[]")
        return ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def target(self) -> str:
        """The gRPC target: calls are spread over a name's addresses, or over the addresses given.

        Raises `InvalidRequestError`.
        """
        if len(self.servers) == 1:
            (server,) = self.servers
            return server if server.startswith(_SCHEMES) else f"dns:///{_checked(server)}"
        addresses = [re.sub("^localhost:", "127.0.0.1:", _checked(server)) for server in self.servers]
        if all(_IPV4.fullmatch(address) for address in addresses):
            return "ipv4:" + ",".join(addresses)
        if all(address.startswith("[") for address in addresses):
            return "ipv6:" + ",".join(addresses)
        raise InvalidRequestError(
            f"several servers are named by IP addresses of one kind, not {self.name}; "
            "or name one DNS name that has all their addresses"
        )


def _split(server: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(server, str):
        return (server,) if server.startswith(_SCHEMES) else tuple(part.strip() for part in server.split(",") if part)
    if not isinstance(server, Sequence) or not all(isinstance(part, str) for part in server):
        raise InvalidRequestError(f"a server is named as host:port, or several as a list of them, not {server!r}")
    return tuple(server)


def _checked(server: str) -> str:
    if not _HOST_AND_PORT.fullmatch(server):
        raise InvalidRequestError(f"a server is named as host:port, such as localhost:50051, not {server!r}")
    return server
