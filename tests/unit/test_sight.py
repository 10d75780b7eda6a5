"""What is seen of a photograph: the same whether it is decoded whole or reduced."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.v1 import face_pb2
from mien_models.registry import TASKS, Registry
from mien_orchestrator.assembly import make_sight
from mien_orchestrator.settings import Settings
from mien_orchestrator.sight import Seen
from mien_orchestrator.timing import Stopwatch

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SPECS = {Registry().for_task(task).spec.crop for task in TASKS}


def photograph(*, size: int, around: int = 0, orientation: int = 1) -> bytes:
    """The astronaut `size` pixels wide, at the top left of a grey ground `around` pixels wider and higher."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = Image.new("RGB", (size + around, size + around), "grey")
    picture.paste(Image.open(EXAMPLE).resize((size, size), Image.Resampling.LANCZOS), (0, 0))
    if orientation == 6:  # stored turned left, to be turned right
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, exif=tags)
    return buffer.getvalue()


def see(data: bytes, *, reduced: bool) -> tuple[Seen, list[str]]:
    steps: list[face_pb2.Span] = []
    sight = make_sight(Settings.load(reduced_decoding=reduced))
    seen = sight.see(data, SPECS, 0, threading.Event(), Stopwatch(), steps)
    return seen, [step.name for step in steps]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph_is_seen_as_if_it_were_whole(orientation: int) -> None:
    data = photograph(size=2600, orientation=orientation)
    (whole, _), (reduced, steps) = see(data, reduced=False), see(data, reduced=True)
    assert steps == ["decode", "detect", "cut"]
    assert whole.image == reduced.image
    assert (whole.image.width, whole.image.height) == (2600, 2600)
    assert np.abs(whole.faces.boxes - reduced.faces.boxes).max() < 0.04 * whole.faces.boxes[0, 3]
    assert np.abs(whole.quality.size_px - reduced.quality.size_px).max() < 0.04 * whole.faces.boxes[0, 3]
    for spec in SPECS:
        assert np.abs(whole.crops[spec].astype(int) - reduced.crops[spec]).mean() < 12


def test_a_small_face_in_a_large_photograph_is_cut_from_a_larger_picture() -> None:
    data = photograph(size=512, around=2050)
    (whole, _), (reduced, steps) = see(data, reduced=False), see(data, reduced=True)
    assert steps == ["decode", "detect", "decode", "cut"]
    assert len(whole.faces) == len(reduced.faces) == 1
    for spec in SPECS:
        assert np.abs(whole.crops[spec].astype(int) - reduced.crops[spec]).mean() < 12


def test_nobody_waits_so_nothing_more_is_done() -> None:
    gone = threading.Event()
    gone.set()
    steps: list[face_pb2.Span] = []
    with pytest.raises(mien.DeadlineExceededError):
        make_sight(Settings.load()).see(photograph(size=512), SPECS, 0, gone, Stopwatch(), steps)
    assert [step.name for step in steps] == ["decode"]
