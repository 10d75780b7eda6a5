"""Bytes of a photograph in, a reply out: the work that every system does, by the public functions of `mien_models`.

The floor runs it as it is, the peers serve it; Mien's own servers do the same work in their own way. A reply is shaped
as the JSON of `mien.v1.AnalyzeResponse`. The environment says which detector, by the names that Mien's servers
read too: `MIEN_DETECTOR`, `MIEN_DETECTOR_LONG_SIDE`, and `MIEN_DETECTOR_PATH`.
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

_EVERY_FACE = QualityLimits(min_face=0, min_sharpness=0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A photograph whose faces are found and cut out, N of them."""

    width: int
    height: int
    faces: Faces
    quality: Quality
    crops: Mapping[Task, NDArray[np.uint8]]
    """(N, S, S, 3) uint8 RGB, as each task's model wants them."""


class Eyes:
    """Decodes, detects and cuts; safe to use from several threads."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)  # requests run beside each other
        path = os.environ.get("MIEN_DETECTOR_PATH")
        self._detector = create(
            os.environ["MIEN_DETECTOR"],
            model_path=Path(path) if path else None,
            long_side=int(os.environ["MIEN_DETECTOR_LONG_SIDE"]),
        )
        registry = Registry()
        self._specs: dict[Task, CropSpec] = {task: registry.for_task(task).spec.crop for task in TASKS}

    def see(self, data: bytes) -> Seen:
        """Find the faces of an image file, largest first."""
        pixels = decode(data).pixels
        found = self._detector.detect(pixels)
        faces = found.largest_first(len(found))
        quality = judge(pixels, faces, _EVERY_FACE)
        crops = {spec: cut(pixels, faces, spec) for spec in set(self._specs.values())}
        height, width = pixels.shape[:2]
        return Seen(width, height, faces, quality, {task: crops[spec] for task, spec in self._specs.items()})


class Pipeline:
    """Eyes and the three models in this process; safe to use from several threads."""

    def __init__(self) -> None:
        self._eyes = Eyes()
        registry = Registry()
        tasks: dict[str, list[Task]] = {}
        for task in TASKS:
            tasks.setdefault(registry.for_task(task).spec.name, []).append(task)
        self._models = [(load_model(shared[0]), shared) for shared in tasks.values()]

    def analyze(self, data: bytes) -> Reply:
        """Say what the faces of an image file look like; tasks of one model are answered by one call."""
        seen = self._eyes.see(data)
        answers: dict[Task, Answers] = {}
        for model, tasks in self._models:
            if len(seen.faces):
                answers |= dict.fromkeys(tasks, model.predict(seen.crops[tasks[0]], tasks))
        return merge(seen, answers)


def load_model(task: Task) -> Model:
    """Return the task's default model, run once."""
    return load(Registry().for_task(task), task)


def merge(seen: Seen, answers: Mapping[Task, Answers]) -> Reply:
    """Build the reply from what was seen and each task's answers, first axis N."""
    return {
        "image": {"width": seen.width, "height": seen.height},
        "faces": [
            _place(seen, index)
            | (_age(answers["age"], index) | _gender(answers["gender"], index))
            | _emotion(answers["emotion"], index)
            for index in range(len(seen.faces))
        ],
    }


def _place(seen: Seen, index: int) -> Reply:
    x, y, w, h = seen.faces.boxes[index].tolist()
    place: Reply = {
        "box": {"x": x, "y": y, "width": w, "height": h},
        "ratio_box": {
            "x": x / seen.width,
            "y": y / seen.height,
            "width": w / seen.width,
            "height": h / seen.height,
        },
    }
    if seen.faces.points is not None:
        points = seen.faces.points[index].tolist()
        place["landmarks"] = {name: {"x": px, "y": py} for name, (px, py) in zip(_POINTS, points, strict=True)}
    if seen.faces.scores is not None:
        place["detection_score"] = float(seen.faces.scores[index])
    place["quality"] = {
        "size_px": float(seen.quality.size_px[index]),
        "sharpness": float(seen.quality.sharpness[index]),
        "abstained_reasons": [],
    }
    return place


def _age(answers: Answers, index: int) -> Reply:
    return {"age": {name: float(answers[name][index]) for name in ("years", "low", "high")}}


def _gender(answers: Answers, index: int) -> Reply:
    male = float(answers["p_male"][index])
    value, probability = ("MALE", male) if male >= 0.5 else ("FEMALE", 1 - male)
    return {"gender": {"value": f"GENDER_VALUE_{value}", "probability": probability}}


def _emotion(answers: Answers, index: int) -> Reply:
    probabilities = dict(zip(EMOTIONS, answers["probabilities"][index].tolist(), strict=True))
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    point = mood(probabilities)
    return {
        "emotions": [{"label": label, "probability": p} for label, p in ranked],
        "mood": {"valence": point.valence, "arousal": point.arousal, "label": f"MOOD_LABEL_{point.label.upper()}"},
    }
