"""Evaluate all detectors in one run: labelled and counted photographs, crops, landmarks and time.

Run from the repository's root, for example:

    python -m mien_training.evaluation.judge_detector --data DATA --photographs PHOTOGRAPHS --out result.json
"""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mien_models import runtimes
from mien_models.crops import cut
from mien_models.detectors import DETECTORS, Detector, create
from mien_models.detectors.spec import SHIPPED, read
from mien_models.detectors.yunet import YuNet
from mien_models.errors import DetectorError
from mien_models.faces import Faces
from mien_models.registry import Registry
from mien_models.spec import Task
from mien_training import installation
from mien_training.detection.metrics import (
    ALL,
    COMMON,
    Sizes,
    average_precision,
    false_boxes,
    match,
    matches,
    recall,
)
from mien_training.detection.photographs import Photograph, load_photographs
from mien_training.evaluation import tilt
from mien_training.evaluation.counted import Counted
from mien_training.evaluation.evaluate_detector import run_interleaved
from mien_training.results import provenance

SIZES: dict[str, Sizes] = {"all": ALL, "<24": (0, 24), "24-64": (24, 64), ">64": (64, math.inf), ">24": COMMON}
"""Face sizes: longer side, in pixels."""

POSES = {"frontal": (0.0, 0.25), "half": (0.25, 0.6), "profile": (0.6, math.inf)}
"""Head pose: distance of the nose from the midpoint of the eyes along the eye line, in eye distances."""

LEAST_CROP = 32
"""Smallest height, in pixels, of faces whose predictions are compared."""

_LONG_SIDE = 640
_LOW = 0.02  # lowest score that enters the average precision
_TIMED = {"640x480": (480, 640), "320x320": (320, 320)}
_PASSES = 41

Metrics = dict[str, object]


def main(
    data: Annotated[Path, typer.Option(help="Folder with detect.zip.")],
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain, no_face.")],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Result file; default: standard output.")] = None,
) -> None:
    """Evaluate all detectors."""
    options: provenance.Options = {"--data": data, "--photographs": photographs, "--out": out}
    labelled = data / "detect.zip"
    val = load_photographs(labelled, split="val")
    detectors = {name: _detector(name) for name in DETECTORS}
    turns = run_interleaved(detectors, [item.image for item in val])
    found = {name: turn.faces for name, turn in turns.items()}
    counted = Counted.read(photographs)
    spec, _ = read(SHIPPED)
    result = {
        "detector": spec.name,
        "version": spec.version,
        "digest": f"sha256:{spec.weights.sha256 if spec.weights else ''}",
        "parameters": spec.parameters,
        "bytes": spec.weights.bytes if spec.weights else None,
        "min_score": spec.min_score,
        **provenance.of_run("mien_training.evaluation.judge_detector", options, [labelled]),
        "machine": provenance.machine(),
        "val": {name: _labelled(name, faces, val) for name, faces in found.items()},
        "counted": {name: counted.metrics(detector) for name, detector in detectors.items()},
        "tilt": tilt.measure(
            {name: detectors[name] for name in ("mien", "yunet")}, val, YuNet(_yunet(), long_side=_LONG_SIDE)
        ),
        "points": {name: _point_error(found[name], val) for name in ("mien", "yunet")},
        "crops": _changed_answers(found["mien"], found["yunet"], val),
        "time": _times(detectors, val),
    }
    report = provenance.text(result)
    if out:
        provenance.write({out: report})
    else:
        typer.echo(report, nl=False)


def _yunet() -> Path:
    path = installation.detector_file("yunet")
    if path is None:
        raise DetectorError("no YuNet in the model store: run `mien models fetch yunet`, or set MIEN_YUNET to its file")
    return path


def _detector(name: str, min_score: float | None = None) -> Detector:
    path = None if name == "mien" else installation.detector_file(name)
    return create(name, model_path=path, long_side=_LONG_SIDE, min_score=min_score)


def _labelled(name: str, found: Sequence[Faces], val: Sequence[Photograph]) -> Metrics:
    """Return metrics on labelled photographs at the detector's threshold; average precision over all thresholds."""
    sought = found
    if name != "haar":  # its boxes have no scores
        low = _detector(name, _LOW)
        sought = [low.detect(item.image) for item in val]
    sizes = {}
    for label, which in SIZES.items():
        own = matches(found, val, which)
        sizes[label] = {
            "faces": sum(item.faces for item in own),
            "recall": _rounded(recall(own)),
            "false_boxes": false_boxes(own),
            "average_precision": _rounded(average_precision(matches(sought, val, which))) if name != "haar" else None,
        }
    human = [(faces, item) for faces, item in zip(found, val, strict=True) if item.human]
    drawn = matches([faces for faces, _ in human], [item for _, item in human])
    return {
        "photographs": len(val),
        "by_size": sizes,
        "by_pose": _by_pose(found, val),
        "drawn_by_people": {"faces": sum(item.faces for item in drawn), "recall": _rounded(recall(drawn))},
    }


def _by_pose(found: Sequence[Faces], val: Sequence[Photograph]) -> Metrics:
    """Return recall by pose, for faces from 24 pixels on with all five landmarks."""
    hits: dict[str, list[bool]] = {pose: [] for pose in POSES}
    for faces, item in zip(found, val, strict=True):
        seen = set(match(faces, item.boxes, item.ignored).pairs[:, 1].tolist())
        for row, (box, points) in enumerate(zip(item.boxes, item.points, strict=True)):
            if box[2:].max() >= COMMON[0] and not np.isnan(points).any():
                hits[_pose(points)].append(row in seen)
    return {
        pose: {"faces": len(seen), "recall": _rounded(sum(seen) / len(seen)) if seen else None}
        for pose, seen in hits.items()
    }


def _pose(points: NDArray[np.float32]) -> str:
    right, left, nose = points[:3].astype(float)
    line = left - right
    aside = abs((nose - (right + left) / 2) @ line) / max(float(line @ line), 1e-6)
    return next(pose for pose, (low, high) in POSES.items() if low <= aside < high)


def _point_error(found: Sequence[Faces], val: Sequence[Photograph]) -> Metrics:
    """Return the mean distance of the landmarks from the labels, relative to the box's size (root of its area)."""
    errors = []
    for faces, item in zip(found, val, strict=True):
        for row, truth in match(faces, item.boxes, item.ignored, sizes=COMMON).pairs.tolist():
            if item.human and faces.points is not None and not np.isnan(item.points[truth]).any():
                distance = np.linalg.norm(faces.points[row] - item.points[truth], axis=1).mean()
                errors.append(float(distance / np.sqrt(item.boxes[truth, 2:].prod())))
    return {
        "faces": len(errors),
        "mean": _rounded(float(np.mean(errors))) if errors else None,
        "median": _rounded(float(np.median(errors))) if errors else None,
    }


def _changed_answers(ours: Sequence[Faces], theirs: Sequence[Faces], val: Sequence[Photograph]) -> Metrics:
    """Return the fraction of faces whose prediction changes between our crop and YuNet's, per task."""
    images, left, right = zip(*_both(ours, theirs, val), strict=True)
    registry = Registry()
    changed: Metrics = {"faces": sum(map(len, left))}
    tasks: tuple[Task, ...] = ("age", "gender", "emotion")
    for task in tasks:
        entry = registry.for_task(task)
        model = runtimes.load(entry, task)
        mine, other = (
            model.predict(
                np.concatenate([cut(image, face, entry.spec.crop) for image, face in zip(images, faces, strict=True)])
            )
            for faces in (left, right)
        )
        if task == "age":
            changed["age_years"] = _rounded(float(np.abs(mine["years"] - other["years"]).mean()))
        elif task == "gender":
            changed["gender"] = _rounded(float(((mine["p_male"] >= 0.5) != (other["p_male"] >= 0.5)).mean()))
        else:
            labels = (answer["probabilities"].argmax(1) for answer in (mine, other))
            changed["emotion"] = _rounded(float(np.not_equal(*labels).mean()))
    return changed


def _both(
    ours: Sequence[Faces], theirs: Sequence[Faces], val: Sequence[Photograph]
) -> Iterator[tuple[NDArray[np.uint8], Faces, Faces]]:
    """Yield the faces that both detect, in pairs, if they are large enough to crop."""
    for mine, other, item in zip(ours, theirs, val, strict=True):
        pairs = match(mine, other.boxes, item.ignored).pairs
        pairs = pairs[other.boxes[pairs[:, 1], 3] >= LEAST_CROP]
        if len(pairs):
            yield item.image, mine.take(pairs[:, 0]), other.take(pairs[:, 1])


def _times(detectors: Mapping[str, Detector], val: Sequence[Photograph]) -> Metrics:
    """Return the median milliseconds of processor time per image, interleaved, and the ratio to YuNet's."""
    cv2.setNumThreads(1)
    metrics: Metrics = {"passes": _PASSES}
    pictures = [item.image for item in val if len(item.boxes)]
    for label, (height, width) in _TIMED.items():
        spent: dict[str, list[float]] = {name: [] for name in detectors}
        images = [np.asarray(cv2.resize(image, (width, height)), np.uint8) for image in pictures[:_PASSES]]
        for image in itertools.chain(images[:2], images):
            for name, detector in detectors.items():
                started = time.thread_time()
                detector.detect(image)
                spent[name].append((time.thread_time() - started) * 1000)
        median = {name: float(np.median(values[2:])) for name, values in spent.items()}
        metrics[label] = {
            name: {"median_ms": _rounded(value, 2), "of_yunet": _rounded(value / median["yunet"])}
            for name, value in median.items()
        }
    return metrics


def _rounded(value: float, digits: int = 4) -> float:
    return round(value, digits)


if __name__ == "__main__":
    typer.run(main)
