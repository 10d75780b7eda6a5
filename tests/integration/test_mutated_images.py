"""Tests of corrupt images: no crash, bounded memory, an analysis or a clear error. `make fuzz` runs 2,000 of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COUNT = int(os.environ.get("FUZZ", "200"))
"""Number of corrupt files; the environment variable FUZZ overrides it."""

OUTCOMES = {"faces", "no face", "IMAGE_EMPTY", "IMAGE_UNDECODABLE", "IMAGE_TOO_LARGE", "IMAGE_FORMAT_UNSUPPORTED"}

MOST_MIB = 400
"""Accepted growth of memory: several images of four million pixels, in several copies."""


def run(count: int, folder: Path, *photographs: Path) -> None:
    command = [sys.executable, "-m", "tests.mutations", "0", str(count), folder, *photographs]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, f"a crash at {folder / 'last'}: {result.stderr[-3000:]}"
    assert result.stderr == "", "a decoder printed a message"
    figures = json.loads(result.stdout)
    print(figures)  # `make fuzz` shows it
    assert sum(figures["outcomes"].values()) == count
    assert figures["outcomes"].keys() <= OUTCOMES
    assert figures["grown_mib"] < MOST_MIB


@pytest.mark.timeout(3600)
def test_a_corrupt_image_is_analyzed_or_rejected(tmp_path: Path) -> None:
    run(COUNT, tmp_path)


@pytest.mark.shared
@pytest.mark.timeout(3600)
def test_corrupt_images_of_many_cameras_are_analyzed_or_rejected(shared: Path, tmp_path: Path) -> None:
    photographs = [path for path in sorted((shared / "photos").rglob("*.*g")) if path.stat().st_size < 400_000]
    assert len(photographs) > 10
    run(COUNT // 2, tmp_path, *photographs)
