"""Tests of what callers with names may have of a server at once."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.settings import Settings
from tests.servers import Running
from tests.waits import wait_until

FRAME = np.zeros((64, 64, 3), np.uint8)


def test_streams_are_limited_per_caller(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(token_line("a", "first") + "\n" + token_line("b", "second") + "\n")
    settings = Settings.load({"server.port": 0, "server.drain_s": 0, "auth.token_file": file, "auth.max_streams": 1})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with (
            running(service, settings) as address,
            mien.Client(address, token="first") as a,
            mien.Client(address, token="second") as b,
        ):
            first = a.stream(itertools.repeat(FRAME), drop_policy="latest")
            next(first)
            with pytest.raises(mien.OverloadedError, match=r"a has as many streams as it may have \(1\)") as caught:
                list(a.stream([FRAME]))
            assert caught.value.reason == "CALLER_LIMIT"
            assert list(b.stream([FRAME]))
            first.close()
            wait_until(lambda: not service.open_streams)
            assert list(a.stream([FRAME]))
