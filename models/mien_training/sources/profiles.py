"""CFP, frontal and profile faces of 500 people, as photographs for a detector.

Sengupta et al., "Frontal to Profile Face Verification in the Wild", WACV 2016. Its landmarks were labelled by people
but differ from ours: another detector provides the box and the five landmarks, and images in which it does not detect
exactly one large face are skipped.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mien_models.detectors import Detector
from mien_models.faces import Faces
from mien_training.sources.errors import PrepareError

HELD_OUT = 401
"""The first person of the usual evaluation split, which is never packed."""

_VAL = 351  # the first person of `val`
_LONG_SIDE = 320  # pixels; longer images are shrunk to it
_SHARE = 0.3  # smallest face, as a fraction of the image's shorter side
_QUALITY = 92


def profile_rows(folder: Path, teacher: Detector) -> Iterator[tuple[dict[str, str | int], bytes]]:
    """Yield labels in the format of `detect.zip` and a JPEG for each image of people 1 to 400.

    `folder` contains, at any depth, NNN/frontal/NN.jpg and NNN/profile/NN.jpg; otherwise raises `PrepareError`.
    """
    everybody = sorted(folder.rglob("[0-9][0-9][0-9]/*/*.jpg"))
    paths = [path for path in everybody if int(path.parts[-3]) < HELD_OUT]
    if not paths:
        raise PrepareError(f"{folder} contains no NNN/frontal/NN.jpg of CFP")
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            continue
        scale = min(1.0, _LONG_SIDE / max(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = image.shape[:2]
        faces = teacher.detect(np.asarray(image, np.uint8))
        if len(faces) != 1 or faces.boxes[0, 2:].max() < _SHARE * min(height, width):
            continue
        person, side = path.parts[-3], path.parts[-2]
        yield (
            {
                "file": f"{person}_{side}_{path.name}",
                "kind": "face",
                "source_key": "cfp",
                "label_source": "teacher",
                "width": width,
                "height": height,
                "boxes": json.dumps([_face(faces)]),
                "ignore": "[]",
                "split": "val" if int(person) >= _VAL else "train",
            },
            bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]),
        )


def _face(faces: Faces) -> list[float]:
    assert faces.points is not None
    assert faces.scores is not None
    numbers = [*faces.boxes[0].tolist(), *faces.points[0].ravel().tolist()]
    return [*(round(value, 1) for value in numbers), round(float(faces.scores[0]), 3)]
