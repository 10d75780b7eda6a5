"""The single shape: one process, one gRPC server, all models inside, no Ray."""

import asyncio
import signal
from collections.abc import Callable

import cv2

from mien_orchestrator.assembly import make_executor, make_inline_service
from mien_orchestrator.server import Server
from mien_orchestrator.settings import Settings


async def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls `ready` with the address once requests are answered."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    cv2.setNumThreads(1)  # requests run beside each other
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = await loop.run_in_executor(seeing, make_inline_service, settings, seeing, computing, "single")
        if stop.is_set():
            return
        server = Server(service, settings)
        await server.start()
        ready(server.address)
        await stop.wait()
        await server.stop()
