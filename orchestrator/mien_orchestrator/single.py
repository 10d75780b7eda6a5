"""Single mode: one process with a gRPC server and all models, without Ray."""

import asyncio
import signal
from collections.abc import Callable

import cv2

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_backend, make_service
from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.task_health import TaskHealth
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import make_metrics


async def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `ready` with the address once the server is ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    cv2.setNumThreads(1)  # requests run in parallel
    with make_executor(settings) as face_executor, make_executor(settings) as model_executor:
        metrics, health = make_metrics(settings), TaskHealth()
        backend = await loop.run_in_executor(
            face_executor, make_inline_backend, settings, model_executor, health, metrics
        )
        if stop.is_set():
            return
        server = Server(
            make_service(settings, backend, face_executor, pb.DEPLOYMENT_MODE_SINGLE, health), settings, metrics=metrics
        )
        await server.start()
        ready(server.address)
        await stop.wait()
        await server.stop()
