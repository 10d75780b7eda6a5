"""Tests of drawing on JPEGs that end too early."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli.annotate import Annotator
from mien.cli.sources import Source
from mien.v1 import face_service_pb2 as pb
from mien_models.images.decode import decode

from ..photographs import EXAMPLE

EMPTY = mien.Analysis.from_message(pb.AnalyzeResponse())


def jpeg(*, progressive: bool) -> bytes:
    buffer = io.BytesIO()
    with Image.open(EXAMPLE) as opened:
        opened.convert("RGB").save(buffer, "JPEG", progressive=progressive)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.99])
def test_a_jpeg_that_ends_too_early_is_drawn_as_the_server_decodes_it(progressive: bool, share: float) -> None:
    whole = jpeg(progressive=progressive)
    cut = whole[: int(len(whole) * share)]
    read = decode(cut)
    assert read.data_missing
    drawn = mien.draw(cut, EMPTY)
    assert drawn.shape == read.pixels.shape
    assert np.abs(drawn.astype(int) - read.pixels).mean() < 1


def test_a_jpeg_that_ends_too_early_is_annotated(tmp_path: Path) -> None:
    cut = jpeg(progressive=False)[:-5000]
    source = Source("cut", None)
    path = Annotator(tmp_path / "out.png", [source]).write(source, cut, EMPTY)
    with Image.open(path) as written:
        assert written.size == (512, 512)


@pytest.mark.parametrize("data", [b"\xff\xd8", b"\xff\xd8\xff\xd9", jpeg(progressive=False)[:100]])
def test_a_jpeg_without_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(mien.ImageError, match="cannot draw on the image"):
        mien.draw(data, EMPTY)


def test_another_file_that_ends_too_early_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    with pytest.raises(mien.ImageError, match="cannot draw on the image"):
        mien.draw(buffer.getvalue()[:-2000], EMPTY)
