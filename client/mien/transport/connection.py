"""The connection parameters of a client: addresses, TLS, token, connect timeout."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from mien.errors import InvalidRequestError
from mien.transport.addresses import host, split, target
from mien.transport.proxy import Proxy, proxy_for
from mien.transport.retries import WINDOW
from mien.transport.tls import Tls


@dataclass(frozen=True, slots=True)
class Connection:
    """Connection parameters for one server, or for several with the same models."""

    servers: tuple[str, ...]
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    connect_timeout: float = WINDOW
    """Seconds for which the first connection is attempted again while it is refused or a name is not resolved."""

    @classmethod
    def find(
        cls,
        server: str | Sequence[str] | None,
        tls: Tls | None,
        token: str | None,
        connect_timeout: float = WINDOW,
    ) -> Self | None:
        """Build a connection from arguments and environment variables; None selects local mode.

        Args:
            server: One address or several; None for `MIEN_SERVER`.
            tls: TLS options; None for an unencrypted connection.
            token: The caller's token; None for `MIEN_TOKEN`.
            connect_timeout: Seconds for which the first connection is attempted again; 0 for one attempt.

        Raises:
            InvalidRequestError: an argument or a variable is invalid.

        """
        if server is None:
            server = os.environ.get("MIEN_SERVER") or None
        if server is None:
            if tls or token:
                raise InvalidRequestError("tls and token require a server; pass its address, or set MIEN_SERVER")
            return None
        if tls is not None and not isinstance(tls, Tls):
            raise InvalidRequestError(f"tls must be a mien.Tls, not {tls!r}")
        token = (token if token is not None else os.environ.get("MIEN_TOKEN", "")).strip()
        if not all("!" <= letter <= "~" for letter in token):
            raise InvalidRequestError(
                "a token must be printable ASCII without spaces; check that it was copied completely"
            )
        if not isinstance(connect_timeout, int | float) or not 0 <= connect_timeout < math.inf:
            raise InvalidRequestError(
                f"connect_timeout must be 0 or more seconds, not {connect_timeout!r}",
                reason="OPTION_OUT_OF_RANGE",
            )
        return cls(split(server), tls, token or None, connect_timeout)

    def check(self) -> None:
        """Raise `InvalidRequestError` if an address or a TLS file is invalid."""
        _ = self.target
        if self.tls:
            self.tls.read()

    @property
    def name(self) -> str:
        """All addresses, separated by commas, for messages."""
        return ", ".join(self.servers)

    @property
    def server_name(self) -> str:
        """Expected name in the server's certificate if it differs from the address; otherwise empty."""
        if self.tls and (self.tls.server_name or len(self.servers) > 1):
            return self.tls.server_name or host(self.servers[0])
        return ""

    @property
    def credentials(self) -> dict[str, str]:
        """Metadata that authenticates a call."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def proxy(self) -> Proxy | None:
        """Proxy from the environment, or None for direct connections."""
        return proxy_for(self.servers)

    @property
    def target(self) -> str:
        """The gRPC target; raises `InvalidRequestError`."""
        return target(self.servers)
