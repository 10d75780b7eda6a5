"""Measure the default models on degraded faces and derive the `min_face` and `min_sharpness` limits.

python -m mien_training.evaluation.quality --data DATA --photographs PHOTOGRAPHS --out models/results/quality.json

writes the result file and generates `docs/quality.md` from it; without --data it only regenerates the document from
the existing result file. The defaults of `min_face` and `min_sharpness` in the settings are its `limits`.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mien_models.crops import cut
from mien_models.detectors import create
from mien_models.errors import ModelError
from mien_models.faces import Faces
from mien_models.images.decode import decode
from mien_models.images.limits import ImageLimits
from mien_models.quality import QualityLimits, judge
from mien_models.registry import Entry, Registry
from mien_models.spec import CropSpec, Task
from mien_training.evaluation.evaluate import predict
from mien_training.faces.dataset import DatasetError, FaceData, load
from mien_training.faces.metrics import labels_of
from mien_training.reports.quality_document import DOCUMENT, document
from mien_training.results import provenance

RESULT = provenance.RESULTS / "quality.json"

DATA: dict[Task, tuple[str, int]] = {
    "gender": ("fairface.zip", 80),
    "age": ("utkface.zip", 80),
    "emotion": ("fer2013.zip", 48),
}
"""Data set of each task, and the side of its chips in pixels."""

HEIGHTS = (6, 8, 10, 12, 16, 20, 24, 32, 48)
"""Face box heights, in pixels, to which the chips are shrunk."""

SIGMAS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.1)
"""Standard deviations of the Gaussian blur, as fractions of the face's height."""

LOST, GROWN = 0.25, 0.5
"""Largest acceptable loss: a fraction of the accuracy above chance, or of the mean age error as growth."""

CHANCE = {"gender": 1 / 2, "emotion": 1 / 7}
"""Accuracy of a random guess."""

KEPT = 0.99
"""Fraction of good faces that `min_sharpness` must accept."""

RULE = {
    "min_face": f"the smallest height from which on no task loses more than {LOST:.0%} of its accuracy above chance, "
    f"and the mean age error grows by no more than {GROWN:.0%}",
    "min_sharpness": f"the highest limit that accepts {KEPT:.0%} of each of: the untouched faces of each data set, the "
    "same shrunk to min_face, and the faces of photographs that are at least min_face high",
}

_NO_LIMITS = QualityLimits(min_face_px=0, min_sharpness=0)
_DETECTOR, _LONG_SIDE = "mien", 640
_PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
_WITHOUT_FACES = "no_face"

Worsen = Callable[[NDArray[np.uint8], CropSpec], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Faces of one data set, and the model that is evaluated on them."""

    task: Task
    entry: Entry
    faces: FaceData
    chosen: NDArray[np.int64]
    """(N,) rows of `faces`."""

    def measure(self, worsen: Worsen) -> tuple[float, NDArray[np.float32]]:
        """Return the task's metric on degraded chips, cropped as a server does, and their sharpness (N,)."""
        crop = self.entry.spec.crop
        worse = [worsen(chip, crop) for chip in self.faces.images[self.chosen]]
        boxes = [framed(len(chip), crop) for chip in worse]
        crops = np.concatenate([cut(chip, box, crop) for chip, box in zip(worse, boxes, strict=True)])
        sharp = [judge(chip, box, _NO_LIMITS).sharpness for chip, box in zip(worse, boxes, strict=True)]
        return self._figure(predict(self.entry, [self.task], crops)), np.concatenate(sharp)

    def _figure(self, answers: Mapping[str, NDArray[np.float32]]) -> float:
        """Return the accuracy, or the mean age error in years."""
        match self.task:
            case "age":
                return round(float(np.abs(answers["years"] - self.faces.age[self.chosen, 0]).mean()), 2)
            case "gender":
                right = (answers["p_male"] >= 0.5) == (self.faces.male[self.chosen] == 1)
            case "emotion":
                right = answers["probabilities"].argmax(1) == emotion_labels(self.entry, self.faces)[self.chosen]
        return round(float(right.mean()), 4)


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the zips; omit to regenerate the document only.")] = None,
    photographs: Annotated[Path | None, typer.Option(help="Folder of photographs with faces.")] = None,
    out: Annotated[Path, typer.Option(dir_okay=False, help="Result file.")] = RESULT,
    faces: Annotated[int, typer.Option(min=2, max=1500, help="Faces per data set.")] = 400,
    seed: Annotated[int, typer.Option(help="Which faces.")] = 0,
) -> None:
    """Measure, choose the limits and write the document."""
    try:
        if data:
            options = {"--data": data, "--photographs": photographs, "--out": out, "--faces": faces, "--seed": seed}
            result = provenance.of_run(
                "mien_training.evaluation.quality", options, [data / file for file, _ in DATA.values()]
            )
            provenance.write({out: provenance.text(result | measure(data, photographs, faces, seed))})
        DOCUMENT.write_text(document(json.loads(out.read_text(encoding="utf-8"))), encoding="utf-8")
    except (DatasetError, ModelError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def measure(data: Path, photographs: Path | None, count: int, seed: int) -> dict[str, Any]:
    """Return the result file's content; raises `DatasetError` and `ModelError`."""
    samples = [sample(data, task, count, seed) for task in DATA]
    plain = _step(samples, lambda chip, crop: chip)
    sizes = {height: _step(samples, shrunk_to(height)) for height in HEIGHTS}
    blurs = {sigma: _step(samples, blurred_by(sigma)) for sigma in SIGMAS}
    min_face = smallest_face(
        {task: figure for task, (figure, _) in plain.items()},
        {height: {task: figure for task, (figure, _) in step.items()} for height, step in sizes.items()},
    )
    found = photograph_faces(photographs, min_face) if photographs else np.zeros(0, np.float32)
    good = [sharp for step in (plain, sizes[min_face]) for _, sharp in step.values()]
    limit = sharpness_limit([*good, *([found] if len(found) else [])])
    return {
        "rule": RULE,
        "limits": {"min_face": min_face, "min_sharpness": limit},
        "faces": count,
        "seed": seed,
        "models": {
            each.task: {
                "name": each.entry.spec.name,
                "version": each.entry.spec.version,
                "digest": each.entry.digest,
                "data": DATA[each.task][0],
            }
            for each in samples
        },
        "untouched": _result(plain, limit),
        "height_px": {str(height): _result(step, limit) for height, step in sizes.items()},
        "sigma": {str(sigma): _result(step, limit) for sigma, step in blurs.items()},
        "photographs": {"detector": _DETECTOR, "faces": len(found)} | (_sharpness(found, limit) if len(found) else {}),
    }


def sample(data: Path, task: Task, count: int, seed: int) -> Sample:
    """Return up to `count` labelled faces from the `val` part of the task's data set."""
    file, side = DATA[task]
    faces = load(data / file, split="val", size=side, usable=True)
    entry = Registry().for_task(task)
    label = {"age": faces.age[:, 0], "gender": faces.male, "emotion": emotion_labels(entry, faces)}[task]
    labelled = np.flatnonzero(label >= 0)
    chosen = np.sort(np.random.default_rng(seed).permutation(labelled)[:count])
    return Sample(task, entry, faces, chosen)


def emotion_labels(entry: Entry, faces: FaceData) -> NDArray[np.int64]:
    """Return the emotion labels (N,) in whose style a model answers; -1 where unknown. All -1 for other models."""
    if "emotion" not in entry.spec.heads:
        return np.full(len(faces), -1)
    return faces.majority if labels_of(entry.spec) == "ferplus" else faces.emotion


def framed(side: int, crop: CropSpec) -> Faces:
    """Return the face of a chip of `side` pixels, framed as the model's crops are."""
    height = side / crop.scale
    box = [side / 2 - 0.4 * height, side * crop.center_y - height / 2, 0.8 * height, height]
    return Faces(np.array([box], np.float32))


def shrunk_to(height: int) -> Worsen:
    """Return a degradation that shrinks the face to `height` pixels, as if the camera were further away."""

    def shrink(chip: NDArray[np.uint8], crop: CropSpec) -> NDArray[np.uint8]:
        side = min(len(chip), round(height * crop.scale))
        return np.asarray(cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA), np.uint8)

    return shrink


def blurred_by(sigma: float) -> Worsen:
    """Return a degradation: Gaussian blur of `sigma` times the face's height."""

    def blur(chip: NDArray[np.uint8], crop: CropSpec) -> NDArray[np.uint8]:
        pixels = sigma * len(chip) / crop.scale
        return np.asarray(cv2.GaussianBlur(chip, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE), np.uint8)

    return blur


def smallest_face(plain: Mapping[Task, float], sizes: Mapping[int, Mapping[Task, float]]) -> int:
    """Return `min_face` by the rule, from the metrics of untouched faces and of each height."""

    def fine(task: Task, figure: float) -> bool:
        if task == "age":
            return figure <= plain[task] * (1 + GROWN)
        return figure - CHANCE[task] >= (plain[task] - CHANCE[task]) * (1 - LOST)

    bad = [height for height, step in sizes.items() if not all(fine(task, figure) for task, figure in step.items())]
    left = [height for height in sizes if height > max(bad, default=0)]
    if not left:
        raise DatasetError(f"the loss is too large even at {max(sizes)} pixels, so no height can be the limit")
    return min(left)


def sharpness_limit(good: Sequence[NDArray[np.float32]]) -> float:
    """Return `min_sharpness` by the rule, from the sharpness of each set of good faces, rounded to thousandths."""
    lowest = min(float(np.quantile(sharp, 1 - KEPT, method="lower")) for sharp in good)
    return math.floor(lowest * 1000) / 1000


def photograph_faces(folder: Path, min_face: float) -> NDArray[np.float32]:
    """Return the sharpness of the faces detected in a folder's photographs that are at least `min_face` high."""
    detector = create(_DETECTOR, long_side=_LONG_SIDE)
    limits = ImageLimits(max_bytes=2**30, max_pixels=2**30)
    sharp = [np.zeros(0, np.float32)]
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _PHOTOGRAPHS and _WITHOUT_FACES not in path.parts:
            pixels = decode(path.read_bytes(), limits).pixels
            quality = judge(pixels, detector.detect(pixels), QualityLimits(min_face, 0))
            sharp.append(quality.sharpness[quality.answerable])
    return np.concatenate(sharp)


_Step = dict[Task, tuple[float, NDArray[np.float32]]]


def _step(samples: Sequence[Sample], worsen: Worsen) -> _Step:
    return {each.task: each.measure(worsen) for each in samples}


def _result(step: _Step, limit: float) -> dict[str, Any]:
    return {task: {"figure": figure} | _sharpness(sharp, limit) for task, (figure, sharp) in step.items()}


def _sharpness(sharp: NDArray[np.float32], limit: float) -> dict[str, float]:
    """Return the median, the quantile that must be accepted, and the fraction of faces below the limit."""
    lowest = float(np.quantile(sharp, 1 - KEPT, method="lower"))
    below = float((sharp < limit).mean())
    return {
        "sharpness": round(float(np.median(sharp)), 4),
        "lowest_kept": round(lowest, 4),
        "too_blurred": round(below, 4),
    }


if __name__ == "__main__":
    typer.run(main)
