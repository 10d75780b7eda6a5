"""Query a server's health over gRPC."""

import socket
import ssl
from dataclasses import replace
from pathlib import Path
from time import monotonic

import grpc

from mien.errors import ServerUnavailableError
from mien.transport.channel import open_channel
from mien.transport.connection import Connection
from mien.transport.tls import Tls
from mien_orchestrator.settings import Settings

SERVING = "SERVING"
LISTENING = "LISTENING"
"""Status of a server that requires a client certificate, if the probe has none."""

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Wildcard addresses, with the loopback address that reaches a server listening on them."""


def check(address: str, *, service: str = "", timeout: float, tls: Tls | None = None) -> str:
    """Query the health service of a server. Loopback addresses are called without a proxy.

    Args:
        address: `host:port`.
        service: A task or gRPC service; empty for the server.
        timeout: Seconds to wait, for the connection too.
        tls: TLS options; None for an unencrypted connection.

    Returns:
        `SERVING`.

    Raises:
        InvalidRequestError: The address or a TLS file is invalid.
        ServerUnavailableError: The server does not answer, or does not serve.

    """
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # of the extra `serve`; the commands need the rest without

    request = health_pb2.HealthCheckRequest(service=service)
    with open_channel(Connection((address,), tls)) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise ServerUnavailableError(f"the server at {address} does not know {service!r}") from error
            raise ServerUnavailableError(f"no server answers at {address}") from error
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise ServerUnavailableError(f"the server at {address} does not serve {service or 'anything'} now")
    return SERVING


def check_own(settings: Settings, *, service: str = "", timeout: float, client: Tls | None = None) -> str:
    """Query the health of the server with these settings, from the same machine.

    With TLS, exactly the certificate of the settings is trusted, whatever its name and authority.

    Args:
        settings: Settings of the server.
        service: A task or gRPC service; empty for the server.
        timeout: Seconds to wait, for the connection too.
        client: The client certificate, for a server with `tls.client_ca`.

    Returns:
        `SERVING`, or `LISTENING` if `tls.client_ca` requires a client certificate and none is given.

    Raises:
        InvalidRequestError: A TLS file is invalid.
        ServerUnavailableError: The server does not answer, or does not serve.

    """
    ends = monotonic() + timeout
    address, tls = own_address(settings, timeout, client)
    if settings.tls.client_ca and not (client and client.certificate):
        return LISTENING
    return check(address, service=service, timeout=max(0.1, ends - monotonic()), tls=tls)


def own_address(settings: Settings, timeout: float, client: Tls | None = None) -> tuple[str, Tls | None]:
    """Return the address of the server with these settings, on this machine, and its TLS options.

    Args:
        settings: Settings of the server.
        timeout: Seconds to wait for the server's certificate.
        client: The client certificate, for a server with `tls.client_ca`.

    Returns:
        `host:port`, and options that trust exactly the certificate of the settings; None without TLS.

    Raises:
        InvalidRequestError: A TLS file is invalid.
        ServerUnavailableError: The server does not present the certificate.

    """
    server = settings.server
    reachable = server.model_copy(update={"host": _WILDCARDS.get(server.host, server.host)})
    certificate = settings.tls.certificate
    if certificate is None:
        return reachable.address(), None
    name = _certificate_name(reachable.host, server.port, certificate, timeout)
    return reachable.address(), replace(client or Tls(), ca=certificate, server_name=name)


def _certificate_name(host: str, port: int, certificate: Path, timeout: float) -> str:
    """Check that a server presents the certificate of a file, and return a name in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the server's own certificate is trusted, not its authority
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(certificate)
        with (
            socket.create_connection((host, port), timeout) as connection,
            context.wrap_socket(connection) as encrypted,
        ):
            presented = encrypted.getpeercert() or {}
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise ServerUnavailableError(
            f"the server at {host}, port {port}, does not use the certificate {certificate}: {reason}"
        ) from error
    except OSError as error:
        raise ServerUnavailableError(f"no server answers at {host}, port {port}: {error}") from error
    names = [str(entry[1]) for entry in presented.get("subjectAltName", ())]
    if not names:
        raise ServerUnavailableError(f"the certificate {certificate} has no subject alternative name")
    return names[0]
