"""Measure the savings of decoding large JPEGs at reduced size, and its effect on predictions.

python benchmarks/reduced.py --photographs ../shared/photos --detector yunet --out benchmarks/results/reduced.json

Every photograph is analyzed in full and reduced and, as a reference for the changes, in full after it was saved again
one pixel narrower and lower. `--long-side` first enlarges smaller photographs, for lack of large ones with faces:
their scenes are typical of phones, their fine detail is not.
"""

import io
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import weights
from mien_models.images.limits import ImageLimits
from mien_models.images.memory import PixelBudget
from mien_models.quality import QualityLimits
from mien_models.registry import TASKS, Registry
from mien_models.runtimes import Model, load
from mien_orchestrator.build import make_detector
from mien_orchestrator.pipeline.face_stage import FINENESS, FaceStage, PreparedFaces
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.settings import Settings

_SUFFIXES = {".jpg", ".jpeg"}
_SAME_FACE = 0.5
"""IoU from which two boxes are the same face."""
_SAME_YEARS = 2.0


@dataclass(frozen=True, slots=True)
class View:
    """Predictions for one photograph."""

    prepared: PreparedFaces
    answers: dict[str, NDArray[np.float32]]
    cpu_ms: float
    """CPU time of decoding, detection and cropping."""


def main(
    photographs: Annotated[Path, typer.Option(help="Folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Result file.")],
    detector: Annotated[str, typer.Option(help="Detector.")] = "yunet",
    long_side: Annotated[int, typer.Option(help="Enlarge smaller photographs to this size; 0 to disable.")] = 0,
) -> None:
    """Compare full and reduced decoding, photograph by photograph."""
    settings = Settings.load({"detector.name": detector})
    stages = {
        "whole": _face_stage(settings, None),
        "reduced": _face_stage(settings, FINENESS * settings.detector.long_side_px),
    }
    models = [load(Registry().for_task(task), task) for task in TASKS]
    cpu = dict.fromkeys(stages, 0.0)
    found: dict[str, Counter[str]] = {"reduced": Counter(), "saved again": Counter()}
    paths = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in _SUFFIXES)
    for path in paths:
        data = _enlarged(path.read_bytes(), long_side)
        views = {name: _view(stage, models, data) for name, stage in stages.items()}
        for name, view in views.items():
            cpu[name] += view.cpu_ms
        found["reduced"].update(_differences(views["whole"], views["reduced"]))
        found["saved again"].update(_differences(views["whole"], _view(stages["whole"], models, _saved_again(data))))
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults(detector),
        "photographs": len(paths),
        "long_side": long_side,
        "cpu_ms_a_photograph": {name: round(total / len(paths), 2) for name, total in cpu.items()},
        "reduced_over_whole": round(cpu["reduced"] / cpu["whole"], 3),
        "faces": found,
    }
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))


def _face_stage(settings: Settings, enough: int | None) -> FaceStage:
    return FaceStage(
        detector=make_detector(settings),
        limits=ImageLimits(),
        max_faces=settings.limits.max_faces,
        quality_limits=QualityLimits(
            min_face_px=settings.limits.min_face_px, min_sharpness=settings.limits.min_sharpness
        ),
        enough=enough,
        budget=PixelBudget(2**30),
    )


def _enlarged(data: bytes, long_side: int) -> bytes:
    picture = Image.open(io.BytesIO(data))
    ratio = long_side / max(picture.size)
    if ratio <= 1:
        return data
    buffer = io.BytesIO()
    size = round(picture.width * ratio), round(picture.height * ratio)
    picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _saved_again(data: bytes) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    buffer = io.BytesIO()
    picture.crop((1, 1, *picture.size)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _view(stage: FaceStage, models: list[Model], data: bytes) -> View:
    specs = {model.entry.spec.crop for model in models}
    started = time.thread_time()
    prepared = stage.run(data, specs, None, RequestContext("/benchmark", "benchmark"))
    cpu_ms = (time.thread_time() - started) * 1e3
    answers: dict[str, NDArray[np.float32]] = {}
    if len(prepared.quality.answerable):
        for model in models:
            answers |= model.predict(prepared.crops[model.entry.spec.crop])
    return View(prepared, answers, cpu_ms)


def _differences(whole: View, reduced: View) -> Counter[str]:
    """Count the faces that both have in common, and how their predictions differ."""
    counts: Counter[str] = Counter({"in whole": len(whole.prepared.faces), "in this": len(reduced.prepared.faces)})
    rows = {name: view.prepared.quality.answerable.tolist() for name, view in (("whole", whole), ("reduced", reduced))}
    for place, box in enumerate(whole.prepared.faces.boxes):
        overlaps = [_overlap(box, other) for other in reduced.prepared.faces.boxes]
        if not overlaps or max(overlaps) < _SAME_FACE:
            counts["not found in this"] += 1
            continue
        twin = int(np.argmax(overlaps))
        if (place in rows["whole"]) != (twin in rows["reduced"]):
            counts["answered in one way only"] += 1
        elif place in rows["whole"]:
            counts["answered"] += 1
            before = {name: values[rows["whole"].index(place)] for name, values in whole.answers.items()}
            after = {name: values[rows["reduced"].index(twin)] for name, values in reduced.answers.items()}
            counts["gender changed"] += int((before["p_male"] >= 0.5) != (after["p_male"] >= 0.5))
            counts["emotion changed"] += int(before["probabilities"].argmax() != after["probabilities"].argmax())
            counts[f"age changed by more than {_SAME_YEARS} years"] += int(
                abs(before["years"] - after["years"]) > _SAME_YEARS
            )
    return counts


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the IoU of two boxes x, y, width, height."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    return both / (float(np.prod(one[2:])) + float(np.prod(other[2:])) - both)


if __name__ == "__main__":
    typer.run(main)
