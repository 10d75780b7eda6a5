"""Tests of the upload gate: a bounded number of uploads; stalled ones are evicted."""

import asyncio
import time

import pytest

import mien
from mien_orchestrator.edge.uploads import GUARANTEED_SECONDS, UploadGate


class Upload:
    """A message that arrives when it is sent."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()
        self.began = asyncio.Event()

    async def receive(self) -> bytes:
        self.began.set()
        await self.sent.wait()
        return b"image"


async def started(*uploads: Upload) -> None:
    for upload in uploads:
        await upload.began.wait()


async def test_a_slow_upload_is_served_while_there_is_room() -> None:
    gate, slow = UploadGate(2), Upload()
    reading = asyncio.create_task(gate.read(slow.receive))
    await asyncio.wait([reading], timeout=2 * GUARANTEED_SECONDS)
    slow.sent.set()
    assert await reading == b"image"


async def test_no_more_uploads_than_slots_are_read_at_the_same_time() -> None:
    gate, uploads = UploadGate(2), [Upload() for _ in range(3)]
    reading = [asyncio.create_task(gate.read(upload.receive)) for upload in uploads]
    await started(*uploads[:2])
    assert not uploads[2].began.is_set()
    uploads[0].sent.set()
    await started(uploads[2])
    for upload in uploads:
        upload.sent.set()
    assert await asyncio.gather(*reading) == [b"image"] * 3


async def test_a_crowd_of_stalled_uploads_delays_a_new_caller_by_the_guaranteed_time_at_most() -> None:
    gate, stalled = UploadGate(4), [Upload() for _ in range(40)]
    crowd = [asyncio.create_task(gate.read(upload.receive)) for upload in stalled]
    await started(*stalled[:4])
    new = Upload()
    new.sent.set()
    requested = time.monotonic()
    assert await gate.read(new.receive) == b"image"
    assert time.monotonic() - requested < 2 * GUARANTEED_SECONDS
    with pytest.raises(mien.OverloadedError) as refused:
        await crowd[0]
    assert refused.value.reason == "UPLOAD_TOO_SLOW"
    assert refused.value.retry_after
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_cancelled_uploads_release_their_slots() -> None:
    gate, uploads = UploadGate(1), [Upload() for _ in range(5)]
    reading = [asyncio.create_task(gate.read(upload.receive)) for upload in uploads]
    await started(uploads[0])
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    last = Upload()
    last.sent.set()
    assert await asyncio.wait_for(gate.read(last.receive), 5) == b"image"
