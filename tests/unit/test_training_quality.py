"""Tests of the quality limits: the rule, and that settings and document follow the result file."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien_models.registry import Registry
from mien_models.spec import CropSpec
from mien_orchestrator.settings import Settings
from mien_training.evaluation import quality
from mien_training.faces.dataset import DatasetError
from mien_training.reports.quality_document import DOCUMENT, document
from tests.unit.conftest import ZipMaker

RESULT = json.loads(quality.RESULT.read_text())
PLAIN = {"age": 5.0, "gender": 0.9, "emotion": 0.7}
CROP = CropSpec(size=64)


def test_the_settings_defaults_are_the_measured_limits() -> None:
    settings = Settings.load()
    assert RESULT["limits"] == {"min_face": settings.limits.min_face_px, "min_sharpness": settings.limits.min_sharpness}


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text() == document(RESULT), "run mien_training.evaluation.quality"


def test_the_limits_are_of_the_shipped_models() -> None:
    for task, model in RESULT["models"].items():
        spec = Registry().for_task(task).spec
        digests = [f"sha256:{file.sha256}" for file in (spec.weights, spec.int8) if file]
        assert model["digest"] in digests, (
            "run mien_training.evaluation.quality, then set the settings' defaults to its limits"
        )


def test_min_face_is_the_smallest_height_without_a_large_loss_on_any_task() -> None:
    sizes = {
        8: PLAIN | {"gender": 0.9},  # better by chance than the next, and still too small
        12: PLAIN | {"age": 7.6},
        16: PLAIN | {"age": 7.4, "gender": 0.81, "emotion": 0.57},
        20: PLAIN,
    }
    assert quality.smallest_face(PLAIN, sizes) == 16
    assert quality.smallest_face(PLAIN, sizes | {16: PLAIN | {"gender": 0.79}}) == 20
    assert quality.smallest_face(PLAIN, sizes | {16: PLAIN | {"emotion": 0.55}}) == 20
    with pytest.raises(DatasetError, match="too large even at"):
        quality.smallest_face(PLAIN, {20: PLAIN | {"gender": 0.6}})


def test_the_sharpness_limit_keeps_99_of_100_of_every_set() -> None:
    high, low = np.linspace(0.2, 0.4, 100, dtype=np.float32), np.linspace(0.1004, 0.3, 100, dtype=np.float32)
    limit = quality.sharpness_limit([high, low])
    assert limit == 0.1
    assert (low >= limit).mean() >= 0.99


def test_chips_are_degraded_as_requested() -> None:
    chip = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    small = quality.shrunk_to(20)(chip, CROP)
    assert small.shape == (21, 21, 3)
    assert quality.framed(len(small), CROP).boxes[0, 3] == pytest.approx(20)
    assert quality.shrunk_to(500)(chip, CROP).shape == chip.shape
    assert quality.blurred_by(0.1)(chip, CROP).std() < chip.std() / 5


def test_a_task_is_measured_on_the_faces_of_its_zip(tmp_path: Path, make_zip: ZipMaker) -> None:
    make_zip("utkface.zip", ["file,age,split", *(f"{i}.png,{i + 20},val" for i in range(6))])
    sample = quality.sample(tmp_path, "age", 3, 0)
    figure, sharp = sample.measure(quality.blurred_by(0.1))
    assert figure > 0
    assert len(sharp) == 3
    assert sample.measure(lambda chip, crop: chip)[1].min() > sharp.max()


def test_faces_of_photographs_are_found_and_folders_without_faces_left_out(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
    for folder in ("portraits", "no_face"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.jpg").write_bytes(example.read_bytes())
    assert len(quality.photograph_faces(tmp_path, 16)) == 1
    assert len(quality.photograph_faces(tmp_path, 1000)) == 0
