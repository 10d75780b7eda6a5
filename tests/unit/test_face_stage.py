"""What is seen of a photograph: the same whether it is decoded whole or reduced."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.v1 import face_pb2
from mien_models.crops import cut
from mien_models.decode import ImageLimits
from mien_models.faces import Faces
from mien_models.quality import QualityLimits
from mien_models.registry import TASKS, Registry
from mien_models.runtimes import load
from mien_models.spec import Task
from mien_orchestrator.build import make_sight
from mien_orchestrator.pipeline.face_stage import Seen, Sight
from mien_orchestrator.pipeline.timing import Stopwatch
from mien_orchestrator.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SPECS = {Registry().for_task(task).spec.crop for task in TASKS}


def photograph(*, size: int, orientation: int = 1) -> bytes:
    """The astronaut, `size` pixels wide and high."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = Image.open(EXAMPLE).resize((size, size), Image.Resampling.LANCZOS)
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


class Knowing:
    """A detector that knows where the face is."""

    name = "knowing"

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        self._box = np.array([box], np.float32)

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        height, width = image.shape[:2]
        return Faces(self._box * np.array([width, height, width, height], np.float32))


@pytest.mark.parametrize(("share", "decoded"), [(0.2, 1), (0.03, 2)])
def test_a_small_face_in_a_large_photograph_is_cut_from_a_larger_picture(share: float, decoded: int) -> None:
    data = photograph(size=2800)
    crops, steps = {}, {}
    for enough in (None, 1280):
        sight = Sight(
            detector=Knowing((0.36, 0.1, share, share)),
            limits=ImageLimits(),
            max_faces=9,
            quality_limits=QualityLimits(min_face=0, min_sharpness=0),
            enough=enough,
        )
        spans: list[face_pb2.Span] = []
        crops[enough] = sight.see(data, SPECS, 0, threading.Event(), Stopwatch(), spans).crops
        steps[enough] = [span.name for span in spans]
    assert (steps[None].count("decode"), steps[1280].count("decode")) == (1, decoded)
    for spec in SPECS:
        assert np.abs(crops[None][spec].astype(int) - crops[1280][spec]).mean() < (1 if decoded == 2 else 6)


def test_nobody_waits_so_nothing_more_is_done() -> None:
    gone = threading.Event()
    gone.set()
    steps: list[face_pb2.Span] = []
    with pytest.raises(mien.DeadlineExceededError):
        make_sight(Settings.load()).see(photograph(size=512), SPECS, 0, gone, Stopwatch(), steps)
    assert [step.name for step in steps] == ["decode"]


@pytest.mark.parametrize("task", TASKS)
def test_a_box_that_is_a_twentieth_off_changes_an_answer_little(task: Task) -> None:
    """Each model's own framing bears what a detector's boxes vary by, in each direction and in size."""
    entry = Registry().for_task(task)
    model = load(entry, task)
    with Image.open(EXAMPLE) as file:
        pixels = np.asarray(file.convert("RGB"))
    (box,) = make_sight(Settings.load()).detector.detect(pixels).largest_first(1).boxes
    off = 0.05 * box[3]
    steps = [(x, y, size) for x in (-off, 0, off) for y in (-off, 0, off) for size in (-off, 0, off)]
    boxes = box + np.array([(x - size / 2, y - size / 2, size, size) for x, y, size in steps], np.float32)
    answers = model.predict(cut(pixels, Faces(boxes), entry.spec.crop))
    match task:
        case "age":
            assert np.ptp(answers["years"]) < 10
        case "gender":
            assert (answers["p_male"] < 0.5).all()
        case "emotion":
            assert len(set(answers["probabilities"].argmax(axis=1))) == 1
