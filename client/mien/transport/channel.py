"""The gRPC channel to a server: retries, round robin over its addresses, keepalive, TLS."""

import json

import grpc

from mien.transport.connection import Connection

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "mien.v1.FaceAnalysisService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
}

Options = list[tuple[str, str | int]]

OPTIONS: Options = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.per_rpc_retry_buffer_size", 64 * 2**20),  # a call with more than it, 256 KiB by default, is never retried
    ("grpc.max_send_message_length", -1),  # the server's limit counts, and its error says so
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),  # a server that vanished without a word is noticed before the deadline
    ("grpc.keepalive_timeout_ms", 10_000),
]
"""Options of every channel, encrypted or not."""


def open_channel(connection: Connection) -> grpc.Channel:
    """Return a channel that connects when it is first used; raises `InvalidRequestError`."""
    credentials, options = _credentials(connection), _options(connection)
    if credentials:
        return grpc.secure_channel(connection.target, credentials, options)
    return grpc.insecure_channel(connection.target, options)


def open_async_channel(connection: Connection) -> grpc.aio.Channel:
    """As `open_channel`, on the running event loop."""
    credentials, options = _credentials(connection), _options(connection)
    if credentials:
        return grpc.aio.secure_channel(connection.target, credentials, options)
    return grpc.aio.insecure_channel(connection.target, options)


def _credentials(connection: Connection) -> grpc.ChannelCredentials | None:
    return grpc.ssl_channel_credentials(*connection.tls.read()) if connection.tls else None


def _options(connection: Connection) -> Options:
    name = connection.server_name
    return [*OPTIONS, ("grpc.ssl_target_name_override", name)] if name else OPTIONS
