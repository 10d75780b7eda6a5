"""Tests of the face stage, with full and with reduced decoding."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mien
from mien_models.crops import cut
from mien_models.detectors import DetectorInfo
from mien_models.faces import Faces
from mien_models.images.limits import ImageLimits
from mien_models.images.memory import PixelBudget
from mien_models.images.raw import RawImage
from mien_models.quality import QualityLimits
from mien_models.registry import TASKS, Registry
from mien_models.runtimes import load
from mien_models.spec import Task
from mien_orchestrator.build import make_face_stage
from mien_orchestrator.pipeline.face_stage import FaceStage, PreparedFaces
from mien_orchestrator.pipeline.request_context import RequestContext
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


def context() -> RequestContext:
    return RequestContext("/mien.v1.FaceAnalysisService/Analyze", "test")


def prepare(data: bytes, *, reduced: bool) -> tuple[PreparedFaces, list[str]]:
    request = context()
    prepared = make_face_stage(Settings.load({"detector.reduced_decoding": reduced})).run(data, SPECS, None, request)
    return prepared, [step.name for step in request.spans.steps]


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_finds_the_same_faces(orientation: int) -> None:
    data = photograph(size=2600, orientation=orientation)
    (whole, _), (reduced, steps) = prepare(data, reduced=False), prepare(data, reduced=True)
    assert steps == ["decode", "detect", "crop"]
    assert whole.image == reduced.image
    assert (whole.image.width, whole.image.height) == (2600, 2600)
    assert np.abs(whole.faces.boxes - reduced.faces.boxes).max() < 0.04 * whole.faces.boxes[0, 3]
    assert np.abs(whole.quality.size_px - reduced.quality.size_px).max() < 0.04 * whole.faces.boxes[0, 3]
    for spec in SPECS:
        assert np.abs(whole.crops[spec].astype(int) - reduced.crops[spec]).mean() < 12


class Knowing:
    """A detector that returns a known face."""

    info = DetectorInfo("knowing", "1", "sha256:")

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        self._box = np.array([box], np.float32)

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        height, width = image.shape[:2]
        return Faces(self._box * np.array([width, height, width, height], np.float32))


@pytest.mark.parametrize(("share", "decoded"), [(0.2, 1), (0.03, 2)])
def test_a_small_face_is_cropped_from_a_larger_decoding(share: float, decoded: int) -> None:
    data = photograph(size=2800)
    crops, steps = {}, {}
    for enough in (None, 1280):
        stage = FaceStage(
            detector=Knowing((0.36, 0.1, share, share)),
            limits=ImageLimits(),
            max_faces=9,
            quality_limits=QualityLimits(min_face_px=0, min_sharpness=0),
            enough=enough,
            budget=PixelBudget(2**30),
        )
        request = context()
        crops[enough] = stage.run(data, SPECS, None, request).crops
        steps[enough] = [span.name for span in request.spans.steps]
    assert (steps[None].count("decode"), steps[1280].count("decode")) == (1, decoded)
    for spec in SPECS:
        assert np.abs(crops[None][spec].astype(int) - crops[1280][spec]).mean() < (1 if decoded == 2 else 6)


def test_no_further_step_begins_after_a_cancellation() -> None:
    request = context()
    request.cancelled.set()
    with pytest.raises(mien.DeadlineExceededError):
        make_face_stage(Settings.load()).run(photograph(size=512), SPECS, None, request)
    assert [step.name for step in request.spans.steps] == ["decode"]


def test_raw_pixels_wait_for_memory_as_files_do() -> None:
    with Image.open(EXAMPLE) as file:
        pixels = np.asarray(file.convert("RGB"))
    height, width = pixels.shape[:2]
    budget = PixelBudget(width * height * 7)
    stage = FaceStage(
        detector=Knowing((0.2, 0.2, 0.5, 0.5)),
        limits=ImageLimits(),
        max_faces=9,
        quality_limits=QualityLimits(min_face_px=0, min_sharpness=0),
        enough=None,
        budget=budget,
    )
    image = RawImage("RGB", width, height, 0, pixels.tobytes())
    hurried = context()
    hurried.limit(0.05)
    with (
        budget.reserve(width * height * 2, deadline=time.monotonic() + 30),
        pytest.raises(mien.DeadlineExceededError, match="no memory"),
    ):
        stage.run(image, SPECS, None, hurried)
    assert len(stage.run(image, SPECS, None, context()).faces) == 1


@pytest.mark.parametrize("task", TASKS)
def test_a_small_box_error_changes_predictions_little(task: Task) -> None:
    """Each model's own framing bears what a detector's boxes vary by, in each direction and in size."""
    entry = Registry().for_task(task)
    model = load(entry, task)
    with Image.open(EXAMPLE) as file:
        pixels = np.asarray(file.convert("RGB"))
    (box,) = make_face_stage(Settings.load()).detector.detect(pixels).largest_first(1).boxes
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
