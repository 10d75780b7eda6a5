"""Fixtures for every test."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data (photographs, reference weights), which is no part of the repository."""
    folder = (ROOT / os.environ.get("MIEN_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip("no shared data here: set MIEN_SHARED to its folder")
    return folder
