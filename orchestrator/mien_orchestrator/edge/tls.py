"""The server's TLS credentials, from PEM files that are reloaded when they change."""

import logging
import ssl
import threading
from pathlib import Path

import grpc

from mien.errors import SettingsError
from mien_orchestrator.file_watch import WatchedFiles
from mien_orchestrator.settings import Settings

_LOG = logging.getLogger(__name__)


class TlsFiles:
    """A certificate chain, its key and, for mutual TLS, the authority of client certificates."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files; raises `SettingsError` if they are not a certificate and its key."""
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._watched = WatchedFiles([path for path in (certificate, key, client_ca) if path])
        self._lock = threading.Lock()
        self._configuration = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that check the files for changes before each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self._replacement,  # type: ignore[arg-type]  # the stubs forget None, for no change
            require_client_authentication=self._client_ca is not None,
        )

    def context(self) -> ssl.SSLContext:
        """Return the context of Python's TLS (HTTP), which also checks the files before each handshake."""
        first = current = self._context()

        def renew(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, used: ssl.SSLContext) -> None:
            nonlocal current
            if self._watched.changed():
                try:
                    current = self._context()
                except (SettingsError, OSError) as error:
                    _LOG.error("the new certificate is invalid, keeping the previous one: %s", error)
                else:
                    _LOG.info("the certificate was reloaded")
            connection.context = current

        first.sni_callback = renew
        return first

    def _replacement(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the replacement of the current certificate, or None; called on gRPC's threads."""
        with self._lock:
            if not self._watched.changed():
                return None
            try:
                replacement = self._read()
            except SettingsError as error:
                _LOG.error("the new certificate is invalid, keeping the previous one: %s", error)
                return None
        _LOG.info("the certificate was reloaded")
        return replacement

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            self._context()
            key, certificate = self._key.read_bytes(), self._certificate.read_bytes()
            client_ca = self._client_ca.read_bytes() if self._client_ca else None
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise SettingsError(
                f"TLS files {self._certificate}, {self._key}: {reason}; "
                "expected a certificate chain and its own key without a passphrase, both as PEM"
            ) from error
        except OSError as error:
            raise SettingsError(f"TLS file {error.filename or self._certificate}: {error.strerror}") from error
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)

    def _context(self) -> ssl.SSLContext:
        """Validate the files with OpenSSL, since gRPC would only fail each handshake."""
        for path in (self._certificate, self._key):
            path.open("rb").close()  # OpenSSL does not report which file is missing
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._certificate, self._key, password="")
        if self._client_ca:
            self._client_ca.open("rb").close()
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return credentials from the settings' files, or None without TLS; raises `SettingsError`."""
    files = _files(settings)
    return files.credentials() if files else None


def http_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of HTTP from the same files, or None without TLS; raises `SettingsError`."""
    files = _files(settings)
    return files.context() if files else None


def _files(settings: Settings) -> TlsFiles | None:
    if settings.tls.certificate is None or settings.tls.key is None:
        return None
    return TlsFiles(settings.tls.certificate, settings.tls.key, settings.tls.client_ca)
