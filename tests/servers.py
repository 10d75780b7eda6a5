"""A real gRPC server in this process on a free port."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mien_orchestrator.edge.server import Server
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import Metrics

Running = Callable[[FaceAnalysis, Settings], AbstractContextManager[str]]


@contextmanager
def run_server(service: FaceAnalysis, settings: Settings, metrics: Metrics | None = None) -> Iterator[str]:
    """Serve on a separate thread; yield the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(service, settings, metrics=metrics)
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        try:
            yield server.address
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
