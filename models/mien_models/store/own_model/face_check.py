"""Check a model on a face: its answers must be possible, and the same alone and in a batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.detectors.mien import MienDetector
from mien_models.errors import ModelError
from mien_models.faces import Faces
from mien_models.registry import read_entry
from mien_models.runtimes import load
from mien_models.spec import EMOTIONS, CropSpec, ModelSpec, Task

Answers = dict[str, NDArray[np.float32]]

FACE = Path(__file__).with_name("face.jpg")
"""The face that models are checked on: a detail of NASA's portrait of Eileen Collins, in the public domain."""

_NOISE = 15
"""Crops of noise with which outputs are inspected beside the face."""

_OLDEST_PERSON = 130
"""Years."""


def _face_crop(crop: CropSpec) -> NDArray[np.uint8]:
    """Return the crop of `FACE`, (1, S, S, 3) uint8 RGB."""
    encoded = np.frombuffer(FACE.read_bytes(), np.uint8)
    picture = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB)
    faces: Faces = MienDetector(long_side=320).detect(np.asarray(picture, np.uint8)).largest_first(1)
    return cut(np.asarray(picture, np.uint8), faces, crop)


def sample_crops(crop: CropSpec) -> NDArray[np.uint8]:
    """Return crops of `FACE` (the first) and of noise, (N, S, S, 3) uint8 RGB."""
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, crop.size, crop.size, 3), np.uint8)
    return np.concatenate([_face_crop(crop), noise])


def check_on_face(specification: Path) -> Answers:
    """Return a model's answers for `FACE`.

    Raises:
        ModelError: The model fails, its answers are impossible, or a face has other answers in a batch than alone.

    """
    entry = read_entry(specification)
    spec = entry.spec
    crops = sample_crops(spec.crop)
    results: Answers = {}
    for task in spec.heads:
        model = load(entry, task)
        try:
            alone, together = model.predict(crops[:1]), model.predict(crops)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            reason = str(error).partition("\n")[0]
            raise ModelError(f"{spec.name} fails for {len(crops)} faces at once: {reason}") from error
        for name, values in together.items():
            if not np.isfinite(values).all():
                raise ModelError(f"{spec.name}: {name} is not a number for some faces; check shift and scale")
            if not np.allclose(values[:1], alone[name], atol=1e-3, rtol=1e-3):
                raise ModelError(
                    f"{spec.name}: a face has another {name} in a batch than alone; export it in evaluation mode and "
                    "with an open batch dimension"
                )
        _check_range(spec, task, together)
        results |= alone
    return results


def _check_range(spec: ModelSpec, task: Task, answers: Answers) -> None:
    if task == "age" and not 1 < float(answers["years"][0]) < _OLDEST_PERSON:
        raise ModelError(
            f"{spec.name}: the age of an adult is {answers['years'][0]:.3g} years; set the years that an output of 1 "
            "stands for, and check shift and scale"
        )
    if task == "gender" and not ((answers["p_male"] >= 0) & (answers["p_male"] <= 1)).all():
        raise ModelError(f"{spec.name}: p_male is not between 0 and 1")
    if task == "emotion":
        probabilities = answers["probabilities"]
        if probabilities.shape[1:] != (len(EMOTIONS),) or not np.allclose(probabilities.sum(1), 1, atol=1e-3):
            raise ModelError(f"{spec.name}: the probabilities are not {len(EMOTIONS)} per face with the sum 1")


def describe(answers: Mapping[str, NDArray[np.float32]], labels: Sequence[str]) -> str:
    """Return the answers for one face in words."""
    words = []
    if "years" in answers:
        words.append(f"age {answers['years'][0]:.0f} ({answers['low'][0]:.0f} to {answers['high'][0]:.0f})")
    if "p_male" in answers:
        p_male = float(answers["p_male"][0])
        words.append(f"{'male' if p_male > 0.5 else 'female'} ({max(p_male, 1 - p_male):.0%})")
    if "probabilities" in answers:
        best = int(answers["probabilities"][0].argmax())
        words.append(f"{labels[best]} ({answers['probabilities'][0, best]:.0%})")
    return ", ".join(words)
