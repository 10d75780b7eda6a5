"""A real gRPC server of this process on a free port."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from mien_orchestrator.assembly import make_executor, make_inline_service
from mien_orchestrator.server import Server
from mien_orchestrator.service import FaceAnalysis
from mien_orchestrator.settings import Settings

Running = Callable[[FaceAnalysis, Settings], AbstractContextManager[str]]


@contextmanager
def run_server(service: FaceAnalysis, settings: Settings) -> Iterator[str]:
    """Serve on a thread of its own; yields the address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(service, settings)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield server.address
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def running() -> Running:
    return run_server


@pytest.fixture(scope="session")
def single() -> Iterator[str]:
    """The address of a server in the single shape."""
    settings = Settings.load(port=0, drain_seconds=1, max_image_bytes=4 * 2**20)
    with make_executor(settings) as executor:
        service = make_inline_service(settings, executor, "single")
        with run_server(service, settings) as address:
            yield address
