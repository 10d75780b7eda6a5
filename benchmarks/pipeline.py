"""The pipeline that every system runs, built from the public functions of `mien_models`: image bytes in, response out.

The baseline runs it directly, the peers serve it; Mien's servers implement the same pipeline themselves. A response has
the form of `mien.v1.AnalyzeResponse` as JSON. The environment selects the detector, with the variables that Mien's
servers read: `MIEN_DETECTOR__NAME`, `MIEN_DETECTOR__LONG_SIDE_PX` and `MIEN_DETECTOR__PATH`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.detectors import create
from mien_models.faces import Faces
from mien_models.images.decode import decode
from mien_models.mood import mood
from mien_models.quality import Quality, QualityLimits, judge
from mien_models.registry import TASKS, Registry
from mien_models.runtimes import Model, load
from mien_models.spec import EMOTIONS, CropSpec, Task

_POINTS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")

Reply = dict[str, object]
Answers = Mapping[str, NDArray[np.float32]]

_UNCERTAIN_BELOW: float = getattr(Registry().for_task("gender").spec.heads["gender"], "uncertain_below", None) or 0.0
"""Probability below which the default model's gender is uncertain."""

_EVERY_FACE = QualityLimits(min_face_px=0, min_sharpness=0)


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """A photograph with its N faces detected and cropped."""

    width: int
    height: int
    faces: Faces
    quality: Quality
    crops: Mapping[Task, NDArray[np.uint8]]
    """(N, S, S, 3) uint8 RGB per task, in the form its model takes."""


class FaceFinder:
    """Decodes, detects and crops; safe to use from several threads."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)  # requests run in parallel
        path = os.environ.get("MIEN_DETECTOR__PATH")
        self._detector = create(
            os.environ["MIEN_DETECTOR__NAME"],
            model_path=Path(path) if path else None,
            long_side=int(os.environ["MIEN_DETECTOR__LONG_SIDE_PX"]),
        )
        registry = Registry()
        self._specs: dict[Task, CropSpec] = {task: registry.for_task(task).spec.crop for task in TASKS}

    def find(self, data: bytes) -> FoundFaces:
        """Detect and crop the faces of an image file, largest first."""
        pixels = decode(data).pixels
        found = self._detector.detect(pixels)
        faces = found.largest_first(len(found))
        quality = judge(pixels, faces, _EVERY_FACE)
        crops = {spec: cut(pixels, faces, spec) for spec in set(self._specs.values())}
        height, width = pixels.shape[:2]
        return FoundFaces(width, height, faces, quality, {task: crops[spec] for task, spec in self._specs.items()})


class Pipeline:
    """Face finder and the three models in one process; safe to use from several threads."""

    def __init__(self) -> None:
        self._finder = FaceFinder()
        registry = Registry()
        tasks: dict[str, list[Task]] = {}
        for task in TASKS:
            tasks.setdefault(registry.for_task(task).spec.name, []).append(task)
        self._models = [(load_model(shared[0]), shared) for shared in tasks.values()]

    def analyze(self, data: bytes) -> Reply:
        """Analyze an image file; tasks that share a model take one call."""
        found = self._finder.find(data)
        answers: dict[Task, Answers] = {}
        for model, tasks in self._models:
            if len(found.faces):
                answers |= dict.fromkeys(tasks, model.predict(found.crops[tasks[0]], tasks))
        return merge(found, answers)


def load_model(task: Task) -> Model:
    """Return the task's default model after one warm-up run."""
    return load(Registry().for_task(task), task)


def merge(found: FoundFaces, answers: Mapping[Task, Answers]) -> Reply:
    """Build the response from the faces and each task's predictions, first axis N."""
    return {
        "image": {"width": found.width, "height": found.height},
        "faces": [
            _place(found, index)
            | (_age(answers["age"], index) | _gender(answers["gender"], index))
            | _emotion(answers["emotion"], index)
            for index in range(len(found.faces))
        ],
    }


def _place(found: FoundFaces, index: int) -> Reply:
    x, y, w, h = found.faces.boxes[index].tolist()
    place: Reply = {
        "box": {"x": x, "y": y, "width": w, "height": h},
        "ratio_box": {
            "x": x / found.width,
            "y": y / found.height,
            "width": w / found.width,
            "height": h / found.height,
        },
    }
    if found.faces.points is not None:
        points = found.faces.points[index].tolist()
        place["landmarks"] = {name: {"x": px, "y": py} for name, (px, py) in zip(_POINTS, points, strict=True)}
    if found.faces.scores is not None:
        place["detection_score"] = float(found.faces.scores[index])
    place["quality"] = {
        "size_px": float(found.quality.size_px[index]),
        "sharpness": float(found.quality.sharpness[index]),
        "abstained_reasons": [],
    }
    return place


def _age(answers: Answers, index: int) -> Reply:
    return {"age": {name: float(answers[name][index]) for name in ("years", "low", "high")}}


def _gender(answers: Answers, index: int) -> Reply:
    male = float(answers["p_male"][index])
    value, probability = ("MALE", male) if male >= 0.5 else ("FEMALE", 1 - male)
    if probability < _UNCERTAIN_BELOW:
        value = "UNCERTAIN"
    return {"gender": {"value": f"GENDER_VALUE_{value}", "probability": probability, "male_probability": male}}


def _emotion(answers: Answers, index: int) -> Reply:
    probabilities = dict(zip(EMOTIONS, answers["probabilities"][index].tolist(), strict=True))
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    point = mood(probabilities)
    return {
        "emotions": [{"label": label, "probability": p} for label, p in ranked],
        "mood": {"valence": point.valence, "arousal": point.arousal, "label": f"MOOD_LABEL_{point.label.upper()}"},
    }
