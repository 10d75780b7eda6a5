"""Fixtures of the server's tests."""

from collections.abc import Iterator

import pytest

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from tests.certificates import Authority


@pytest.fixture(scope="session")
def service() -> Iterator[FaceAnalysis]:
    """A service with all models, for tests of the server around it."""
    settings = Settings.load()
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        yield make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
