"""Open gRPC channels: load balancing, keepalive, reconnection, TLS and proxy."""

import json
from collections.abc import Sequence

import grpc

from mien.transport.connection import Connection

Options = Sequence[tuple[str, str | int]]

OPTIONS: Options = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.enable_retries", 0),  # `mien.transport.retries` is the only layer
    ("grpc.max_send_message_length", -1),  # the server's limit applies, and its error states it
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),  # a restarted server is found within a second
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # the time that one attempt to connect may take, TLS included
    ("grpc.keepalive_time_ms", 10_000),  # a server that vanished without closing its connections is noticed
    ("grpc.keepalive_timeout_ms", 10_000),  # not less: a ping waits behind the uploads of a slow line
    ("grpc.http2.ping_timeout_ms", 10_000),  # the one that counts in grpcio 1.85, where it is 60 s by default
    ("grpc.http2.bdp_probe", 0),  # sends pings in the middle of uploads
    ("grpc.http2.max_pings_without_data", 0),  # by default pings stop after two, however long the call lasts
)
"""Options of every channel, encrypted or not."""


def open_channel(connection: Connection) -> grpc.Channel:
    """Return a channel that connects on first use; raises `InvalidRequestError`."""
    credentials, options = _credentials(connection), _options(connection)
    if credentials:
        return grpc.secure_channel(connection.target, credentials, options)
    return grpc.insecure_channel(connection.target, options)


def open_async_channel(connection: Connection) -> grpc.aio.Channel:
    """The asyncio version of `open_channel`, for the running event loop."""
    credentials, options = _credentials(connection), _options(connection)
    if credentials:
        return grpc.aio.secure_channel(connection.target, credentials, options)
    return grpc.aio.insecure_channel(connection.target, options)


def _credentials(connection: Connection) -> grpc.ChannelCredentials | None:
    return grpc.ssl_channel_credentials(*connection.tls.read()) if connection.tls else None


def _options(connection: Connection) -> Options:
    options = [*OPTIONS, ("grpc.enable_http_proxy", int(connection.proxy is not None))]
    if connection.server_name:
        options.append(("grpc.ssl_target_name_override", connection.server_name))
    return options
