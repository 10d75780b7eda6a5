"""Single mode: one process with a gRPC server and all models, without Ray."""

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial

import cv2

from mien.errors import MienError
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.settings.origins import differences
from mien_orchestrator.telemetry import logs
from mien_orchestrator.telemetry.metrics import make_metrics

_log = logging.getLogger(__name__)

_FIXED = (
    "server.host",
    "server.port",
    "server.pid_file",
    "server.reflection",
    "server.open_inference",
    "http.",
    "tls.",
    "telemetry.metrics_port",
    "telemetry.otlp_endpoint",
)
_HTTP_PORT = 8080
"""Port of HTTP on a loopback address, unless the settings have another or switch it off."""

_FIXED_LIMITS = ("limits.cpu_threads", "limits.max_image_bytes", "limits.max_concurrent_bytes")
"""Settings that a reload does not change; the files of `tls` are reloaded when they change."""


async def serve(
    settings: Settings, ready: Callable[[str, str], None], load: Callable[[], Settings] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM.

    SIGHUP reloads settings, models and tokens without losing a call: new calls use the new models once these are
    loaded, and calls in flight end with the former ones. If something is invalid, the former settings stay.

    Args:
        settings: The settings.
        ready: Called with the address, and with the URL of HTTP (empty without it), once the server is ready.
        load: Reads the settings again; None for the same.

    Raises:
        ServerUnavailableError: The server cannot listen at the address.
        SettingsError: A TLS or token file is invalid.
        ModelError: A model cannot be loaded.
        DetectorError: The detector cannot be loaded.

    """
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    cv2.setNumThreads(1)  # requests run in parallel
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        http_port = _HTTP_PORT if settings.server.port else 0  # a free port each, or a known one each
        metrics = make_metrics(settings, http_port)
        make = partial(
            make_inline_service, seeing=seeing, computing=computing, mode=pb.DEPLOYMENT_MODE_SINGLE, metrics=metrics
        )
        service = await asyncio.to_thread(make, settings)
        if stop.is_set():
            return
        server = Server(service, settings, metrics=metrics, default_http_port=http_port)
        await server.start()
        ready(server.address, server.http_address)
        reloading = asyncio.create_task(_reload(server, reload, load or (lambda: settings), make, settings))
        await stop.wait()
        reloading.cancel()
        await server.stop()


async def _reload(
    server: Server,
    requested: asyncio.Event,
    load: Callable[[], Settings],
    make: Callable[[Settings], FaceAnalysis],
    settings: Settings,
) -> None:
    """Reload for each request, one after the other."""
    while True:
        await requested.wait()
        requested.clear()
        try:
            changed = await asyncio.to_thread(load)
            service = await asyncio.to_thread(make, changed)
            server.replace(service, changed)
        except MienError as error:
            _log.error("the reload failed, keeping the previous settings and models: %s", error)
            continue
        except Exception:
            _log.exception("the reload failed, keeping the previous settings and models")
            continue
        logs.configure(changed)
        names = differences(settings, changed)
        fixed = [name for name in names if name.startswith(_FIXED) or name in _FIXED_LIMITS]
        if fixed:
            _log.warning("%s: requires a restart", ", ".join(fixed))
        _log.info("reloaded: %s", ", ".join(names) or "the same settings, with the models and tokens as they are now")
        settings = changed
