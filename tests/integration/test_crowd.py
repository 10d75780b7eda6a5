"""Tests that many concurrent calls with distinct photographs get their own responses."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import mien
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.backends import within
from tests.photographs import EXAMPLE, distinct, nearest_is_own, numbers
from tests.servers import Running

CROWD = 400
"""Calls at once: twice the calls that one connection takes, three times those that a server takes by default."""

PARTS = {"box": slice(0, 4), "age and gender": slice(4, 8), "emotion": slice(8, 15)}
"""The difference that one step or one model call may cause in `numbers`."""

ROUNDING = 1e-3
"""How far an answer may be from the same one given alone: a model's last digits depend on its batch."""

SMALL = {
    "age": {"model": "ssrnet-age"},
    "gender": {"model": "mini-xception-gender"},
    "emotion": {"model": "mini-xception-emotion"},
}
"""Models of a few milliseconds, each called by itself."""


def assert_own(together: Sequence[pb.AnalyzeResponse], alone: Sequence[pb.AnalyzeResponse]) -> None:
    """Each answer is the one given alone; and of all those, each part is nearest to its own."""
    assert all(task.status.code == 0 for reply in together for task in reply.tasks)
    output, expected = (np.stack([numbers(reply) for reply in replies]) for replies in (together, alone))
    assert np.abs(output - expected).max() < ROUNDING
    for name, part in PARTS.items():
        assert nearest_is_own(output[:, part], expected[:, part]), name


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_crowd_of_calls_get_their_own_responses() -> None:
    requests = [pb.AnalyzeRequest(image=image) for image in distinct(CROWD)]
    settings = Settings.load({"limits.max_concurrent_requests": CROWD})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_EMBEDDED)
        alone = [await service.analyze(request, within(60)) for request in requests]
        together = await asyncio.gather(*(service.analyze(request, within(600)) for request in requests))
    assert_own(together, alone)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_crowd_of_remote_calls_get_their_own_responses(running: Running) -> None:
    images = distinct(CROWD, seed=1)
    settings = Settings.load(
        {"server.port": 0, "server.drain_s": 1, "limits.max_concurrent_requests": CROWD, "tasks": SMALL}
    )
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address:
            async with mien.AsyncClient(address, timeout=300) as client:
                alone = [(await client.analyze(image)).message for image in images]
                together = await asyncio.gather(*(client.analyze(image) for image in images))
    assert_own([analysis.message for analysis in together], alone)


async def test_two_hundred_concurrent_first_calls_succeed(running: Running) -> None:
    """A fresh server; the calls use eight connections."""
    settings = Settings.load({"server.port": 0, "server.drain_s": 1, "limits.max_concurrent_requests": 200})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running(service, settings) as address:
            clients = [mien.AsyncClient(address, timeout=300) for _ in range(8)]
            analyses = await asyncio.gather(*(clients[call % 8].analyze(EXAMPLE) for call in range(200)))
            for client in clients:
                await client.close()
    assert all(task.ok for analysis in analyses for task in analysis.tasks)
    output: NDArray[np.float64] = np.stack([numbers(analysis.message) for analysis in analyses])
    assert np.ptp(output, axis=0).max() < ROUNDING


async def test_an_invalid_image_does_not_fail_concurrent_calls(service: FaceAnalysis) -> None:
    images = distinct(24, seed=2)
    images[5::8] = [b"", b"no image", images[0][:900]]
    outcomes = await asyncio.gather(
        *(service.analyze(pb.AnalyzeRequest(image=image), within(60)) for image in images), return_exceptions=True
    )
    failed = {place: outcome for place, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)}
    assert sorted(failed) == [5, 13, 21]
    assert all(isinstance(error, mien.ImageError) for error in failed.values())
    assert all(len(reply.faces) == 1 for reply in outcomes if isinstance(reply, pb.AnalyzeResponse))
