"""Tests that large images, which take long and wait for memory, do not hold up small ones."""

import asyncio

from hostile_images import png
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.settings import Settings
from tests.backends import within
from tests.photographs import EXAMPLE

LARGE = png(4000, 4000)
COUNT = 12


async def test_a_small_image_is_not_queued_behind_large_ones() -> None:
    settings = Settings.load({"limits.cpu_threads": 2, "limits.max_decoded_bytes": 300_000_000})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_EMBEDDED)
        large = [asyncio.create_task(service.analyze(pb.AnalyzeRequest(image=LARGE), within(60))) for _ in range(COUNT)]
        await asyncio.sleep(0)  # the tasks begin first
        reply = await service.analyze(pb.AnalyzeRequest(image=EXAMPLE.read_bytes()), within(60))
        assert reply.faces
        assert sum(task.done() for task in large) < COUNT / 2
        assert all(not reply.faces for reply in await asyncio.gather(*large))
