"""TLS options of a client: trusted authorities and the client certificate."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mien.errors import InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS options. `Tls()` trusts the root certificates that gRPC ships.

    mien.Client("host:50051", tls=mien.Tls(ca="ca.pem"))
    """

    ca: str | Path | None = None
    """PEM file of the authorities that are trusted to sign the server's certificate; None for gRPC's own."""
    certificate: str | Path | None = None
    """PEM file of the client certificate chain, for a server that requires one (mutual TLS); requires `key`."""
    key: str | Path | None = None
    """PEM file of that certificate's private key, without a passphrase."""
    server_name: str = ""
    """Name that the server's certificate must have; empty for the host of the (first) address."""

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Read the files of the authorities, the key and the certificate.

        Raises:
            InvalidRequestError: a file is missing or invalid (reason `TLS_FILES`).

        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequestError("certificate and key require each other; pass both files", reason="TLS_FILES")
        ca, key, certificate = (_content(path) for path in (self.ca, self.key, self.certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
            if self.certificate and self.key:
                context.load_cert_chain(self.certificate, self.key, password="")
        except ssl.SSLError as error:
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path)
            cause = (error.reason or str(error)).lower().replace("_", " ")
            raise InvalidRequestError(
                f"TLS files {files}: {cause}; they must be PEM files, and the key must be that of the certificate",
                reason="TLS_FILES",
            ) from error
        return ca, key, certificate


def _content(path: str | Path | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise InvalidRequestError(f"TLS file {path}: {error.strerror}", reason="TLS_FILES") from error
